"""Tables. Times are UTC; text columns never hold a patient's name, birth date or identifier.

Only `workitems.attributes`, which is what another system entrusted to this worklist, may.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

metadata = MetaData()

_Uid = String(64)

instances = Table(
    "instances",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sop_instance_uid", _Uid, nullable=False),
    Column("revision", Integer, nullable=False, default=0),  # a changed instance with the same UID is a new revision
    Column("sop_class_uid", _Uid, nullable=False),
    Column("transfer_syntax_uid", _Uid, nullable=False),
    Column("study_instance_uid", _Uid, nullable=False),
    Column("series_instance_uid", _Uid, nullable=False),
    Column("file_name", String(100), nullable=False, unique=True),  # in the spool; never made from a UID
    Column("n_bytes", BigInteger, nullable=False),
    Column("sha256", String(64)),  # of the data set as stored; filled when first needed
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("calling_ae", String(16), nullable=False, default=""),
    Column("peer_address", String(64), nullable=False, default=""),
    Column("is_own", Boolean, nullable=False, default=False),  # loop guard: a result came back, or no slide at all
    Column("slide_id", Integer, ForeignKey("slides.id")),
    Column("facts", JSON(none_as_null=True)),  # what grouping took from the header; filled when grouped
    Column("removed_at", DateTime(timezone=True)),  # the file is no longer on disk
    UniqueConstraint("sop_instance_uid", "revision"),
    Index("ix_instances_series", "study_instance_uid", "series_instance_uid"),
    Index("ix_instances_ungrouped", "slide_id", "is_own"),
)

slides = Table(
    "slides",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("group_key", String(64), nullable=False, unique=True),  # hash of study, series, container, pyramid
    Column("study_instance_uid", _Uid, nullable=False),
    Column("series_instance_uid", _Uid, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(500), nullable=False, default=""),
    Column("first_instance_at", DateTime(timezone=True), nullable=False),
    Column("last_instance_at", DateTime(timezone=True), nullable=False),
    Column("run_now", Boolean, nullable=False, default=False),  # a person asked not to wait for the quiet time
    Column("due_at", DateTime(timezone=True), index=True),  # when to look at it; null until something happens to it
    Column("reply_to_ae", String(16), nullable=False, default=""),
    Column("reply_to_address", String(64), nullable=False, default=""),
    Index("ix_slides_state", "state", "last_instance_at"),
    Index("ix_slides_latest", "last_instance_at", "id"),
    Index("ix_slides_series", "study_instance_uid", "series_instance_uid"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("key", String(64), primary_key=True),  # sha256 of slide content, bundle, parameters
    Column("slide_id", Integer, ForeignKey("slides.id"), nullable=False, index=True),
    Column("predecessor_key", String(64)),  # earlier content of the same slide
    Column("instance_ids", JSON, nullable=False),  # rows of `instances` that make the slide
    Column("bundle", String(200), nullable=False),
    Column("genes", JSON),  # symbols, or null for all shown
    Column("destinations", JSON, nullable=False),  # names
    Column("priority", Integer, nullable=False, default=100),  # smaller goes first
    Column("state", String(16), nullable=False),
    Column("reason", String(500), nullable=False, default=""),
    Column("attempts", Integer, nullable=False, default=0),
    Column("attempts_forgiven", Integer, nullable=False, default=0),  # by a person who retried it
    Column("round", Integer, nullable=False, default=0),  # how often it was queued again; names the engine's workflow
    Column("stage", String(32), nullable=False, default=""),
    Column("progress", Float, nullable=False, default=0.0),  # 0 to 1 within the stage
    Column("enqueued", Boolean, nullable=False, default=False),  # the engine knows of it
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("started_at", DateTime(timezone=True)),  # the first start ever; dates the result, so that bytes repeat
    Column("finished_at", DateTime(timezone=True)),
    Column("copies_removed_at", DateTime(timezone=True)),  # slide and result are no longer on disk; the peers have them
    Index("ix_jobs_state", "state", "created_at"),
)

shadows = Table(
    "shadows",
    metadata,
    Column("job_key", String(64), ForeignKey("jobs.key"), primary_key=True),  # runs beside another, for comparison
    Column("of_key", String(64), ForeignKey("jobs.key"), nullable=False, index=True),  # the job whose result is used
    Column("figures", JSON(none_as_null=True)),  # how far both results agree; filled when it is done
)

coarse_jobs = Table(
    "coarse_jobs",
    metadata,
    Column("job_key", String(64), ForeignKey("jobs.key"), primary_key=True),  # answers from one tile of four
    Column("before_key", String(64), ForeignKey("jobs.key"), nullable=False, unique=True),  # answers from all after it
)

result_instances = Table(
    "result_instances",
    metadata,
    Column("sop_instance_uid", _Uid, primary_key=True),
    Column("job_key", String(64), ForeignKey("jobs.key"), nullable=False, index=True),
    Column("sop_class_uid", _Uid, nullable=False),
    Column("series_instance_uid", _Uid, nullable=False, index=True),
    Column("study_instance_uid", _Uid, nullable=False),
    Column("file_name", String(100), nullable=False),  # in the result folder of the job
    Column("sha256", String(64), nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_key", String(64), ForeignKey("jobs.key"), nullable=False),
    Column("destination", String(100), nullable=False),
    Column("state", String(16), nullable=False),
    Column("priority", Integer, nullable=False, default=100),
    Column("attempts", Integer, nullable=False, default=0),
    Column("attempts_forgiven", Integer, nullable=False, default=0),  # by a person who retried it
    Column("next_attempt_at", DateTime(timezone=True), nullable=False),
    Column("first_attempt_at", DateTime(timezone=True)),
    Column("unreachable", Boolean, nullable=False, default=False),  # nobody there at the last attempt: others say when
    Column("accepted", JSON, nullable=False, default=list),  # SOP Instance UIDs that the destination accepted
    Column("transaction_uid", _Uid),  # of the storage commitment asked for
    Column("commitment_asked_at", DateTime(timezone=True)),  # when confirmation was first waited for
    Column("reason", String(500), nullable=False, default=""),
    UniqueConstraint("job_key", "destination"),
    Index("ix_deliveries_due", "state", "next_attempt_at"),
    Index("ix_deliveries_transaction", "transaction_uid"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("study_instance_uid", _Uid, nullable=False, index=True),
    Column("slide_id", Integer),
    Column("job_key", String(64)),
    Column("what", String(40), nullable=False),  # such as "held", "queued", "duplicate", "alert"
    Column("reason", String(500), nullable=False),
)

heartbeats = Table(
    "heartbeats",
    metadata,
    Column("executor_id", String(100), primary_key=True),
    Column("role", String(20), nullable=False),
    Column("beat_at", DateTime(timezone=True), nullable=False),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("lookup", String(16), primary_key=True),  # the part of a token that is no secret
    Column("sha256", String(64), nullable=False),  # of the secret part
    Column("name", String(100), nullable=False),
    Column("role", String(16), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
)

web_sessions = Table(
    "web_sessions",
    metadata,
    Column("sha256", String(64), primary_key=True),  # of what the cookie holds
    Column("subject", String(255), nullable=False),  # who, as the identity provider or the token names them
    Column("role", String(16), nullable=False),
    Column("lookup", String(16), ForeignKey("api_tokens.lookup")),  # begun with this token, and ends with it
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
)

logins = Table(
    "logins",
    metadata,
    Column("sha256", String(64), primary_key=True),  # of the state sent to the identity provider; used once
    Column("nonce", String(64), nullable=False),
    Column("verifier", String(128), nullable=False),  # PKCE (RFC 7636)
    Column("return_to", String(2000), nullable=False),  # a path of this server
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, index=True),
    Column("who", String(300), nullable=False),  # staff or machine; empty if nobody said
    Column("role", String(16), nullable=False),
    Column("address", String(64), nullable=False),
    Column("method", String(8), nullable=False),
    Column("route", String(200), nullable=False),  # as declared, without values
    Column("study_instance_uid", _Uid, nullable=False, index=True),  # empty if it is about none, or many
    Column("target", String(64), nullable=False),  # UID, key or number that the request named
    Column("status", Integer, nullable=False),  # HTTP
)

workitems = Table(
    "workitems",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sop_instance_uid", _Uid, nullable=False, unique=True),
    Column("state", String(16), nullable=False),  # Procedure Step State (0074,1000)
    Column("transaction_uid", _Uid),  # of who performs it; an access lock, never shown
    Column("attributes", JSON, nullable=False),  # the data set in the DICOM JSON model, without the transaction
    Column("is_ours", Boolean, nullable=False, default=False),  # asks for what this product does
    Column("slide_id", Integer, ForeignKey("slides.id"), index=True),  # claimed for this slide
    Column("job_key", String(64), ForeignKey("jobs.key"), index=True),  # by which it is performed
    Column("due_at", DateTime(timezone=True)),  # when to look at it again; null once it is final or for others
    Column("created_at", DateTime(timezone=True), nullable=False),
    Index("ix_workitems_due", "is_ours", "due_at"),
    Index("ix_workitems_state", "state", "id"),
)

workitem_subscriptions = Table(
    "workitem_subscriptions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("ae_title", String(16), nullable=False),
    Column("sop_instance_uid", _Uid, nullable=False, index=True),  # of a work item, or of the worklist as a whole
    Column("deletion_lock", Boolean, nullable=False, default=False),
    Column("filter", JSON(none_as_null=True)),  # names and values, for the filtered worklist
    UniqueConstraint("ae_title", "sop_instance_uid"),
)

workitem_events = Table(
    "workitem_events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, index=True),
    Column("ae_title", String(16), nullable=False),  # who is told
    Column("report", JSON, nullable=False),  # the event report in the DICOM JSON model
    Column("is_sent", Boolean, nullable=False, default=False),
    Index("ix_workitem_events_of", "ae_title", "is_sent", "id"),
)
