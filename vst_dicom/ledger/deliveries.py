"""Rows of `deliveries`: the outbox, one per result and destination."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select, update

from vst_dicom.domain.errors import ConflictError, NotFoundError
from vst_dicom.ledger.database import utc
from vst_dicom.ledger.states import DeliveryState
from vst_dicom.ledger.tables import deliveries, result_instances

NEVER: Final = datetime(9999, 12, 31, tzinfo=UTC)
"""Next attempt of a delivery that needs none."""

_REASON_LENGTH: Final = 500
"""Of the column; longer reasons are cut."""

_OPEN_STATES: Final = (DeliveryState.WAITING, DeliveryState.SENT)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One row.

    Parameters
    ----------
    id, job_key, destination, priority
        Which result goes where; smaller priorities go first.
    state, reason
        Where it stands, and why.
    attempts, attempts_forgiven
        Attempts so far; of those, how many a person has forgiven by retrying.
    first_attempt_at, next_attempt_at
        Since when it is tried, and when it is due again; `NEVER` if nothing is left to do.
    accepted
        SOP Instance UIDs that the destination has.
    transaction_uid, commitment_asked_at
        Of the storage commitment last asked for; since when a confirmation is waited for.
    """

    id: int
    job_key: str
    destination: str
    priority: int
    state: DeliveryState
    reason: str
    attempts: int
    attempts_forgiven: int
    first_attempt_at: datetime | None
    next_attempt_at: datetime
    accepted: frozenset[str]
    transaction_uid: str | None
    commitment_asked_at: datetime | None

    @property
    def is_finished(self) -> bool:
        """Whether the destination has everything, confirmed where that was asked for."""
        return self.state is DeliveryState.COMMITTED or (
            self.state is DeliveryState.SENT and self.next_attempt_at >= NEVER
        )


@dataclass(frozen=True, slots=True)
class ResultInstance:
    """One DICOM file of a result.

    Parameters
    ----------
    sop_instance_uid, sop_class_uid, series_instance_uid, study_instance_uid
        Its identity.
    file_name, sha256
        Its file in the result folder of the job, and the hash of that file.
    """

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    study_instance_uid: str
    file_name: str
    sha256: str


def create_deliveries(
    connection: Connection, job_key: str, destinations: Iterable[str], *, priority: int, now: datetime
) -> None:
    """Write one row for each destination that has none yet; due at once."""
    known = set(
        connection.execute(select(deliveries.c.destination).where(deliveries.c.job_key == job_key)).scalars().all()
    )
    for destination in dict.fromkeys(destinations):
        if destination not in known:
            row = {
                "job_key": job_key,
                "destination": destination,
                "state": DeliveryState.WAITING,
                "priority": priority,
                "next_attempt_at": now,
                "accepted": [],
            }
            connection.execute(insert(deliveries).values(row))


def read_delivery(connection: Connection, delivery_id: int) -> Delivery:
    """Read one row.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    row = connection.execute(select(deliveries).where(deliveries.c.id == delivery_id)).one_or_none()
    if row is None:
        msg = f"there is no delivery {delivery_id}"
        raise NotFoundError(msg)
    return _delivery(row)


def list_deliveries(connection: Connection, job_key: str) -> list[Delivery]:
    """Read all rows of one job."""
    query = select(deliveries).where(deliveries.c.job_key == job_key).order_by(deliveries.c.id)
    return [_delivery(row) for row in connection.execute(query)]


def list_deliveries_of(connection: Connection, job_keys: Collection[str]) -> dict[str, list[Delivery]]:
    """Read all rows of some jobs, by key."""
    found: dict[str, list[Delivery]] = {}
    query = select(deliveries).where(deliveries.c.job_key.in_(job_keys)).order_by(deliveries.c.id)
    for row in connection.execute(query):
        found.setdefault(row.job_key, []).append(_delivery(row))
    return found


def read_traffic(connection: Connection) -> dict[str, tuple[dict[DeliveryState, int], Delivery]]:
    """How many deliveries to each destination stand where, and the last that was begun."""
    counted = select(
        deliveries.c.destination, deliveries.c.state, func.count().label("n"), func.max(deliveries.c.id).label("last")
    ).group_by(deliveries.c.destination, deliveries.c.state)
    counts: dict[str, dict[DeliveryState, int]] = {}
    last: dict[str, int] = {}
    for row in connection.execute(counted):
        counts.setdefault(row.destination, {})[DeliveryState(row.state)] = row.n
        last[row.destination] = max(last.get(row.destination, 0), row.last)
    rows = connection.execute(select(deliveries).where(deliveries.c.id.in_(last.values())))
    return {row.destination: (counts[row.destination], _delivery(row)) for row in rows}


def list_due(connection: Connection, now: datetime, limit: int) -> list[Delivery]:
    """Read what is due: urgent ones first, then the oldest."""
    query = (
        select(deliveries)
        .where(deliveries.c.state.in_(_OPEN_STATES), deliveries.c.next_attempt_at <= now)
        .order_by(deliveries.c.priority, deliveries.c.id)
        .limit(limit)
    )
    return [_delivery(row) for row in connection.execute(query)]


def list_due_of_each(connection: Connection, now: datetime, most: int) -> list[Delivery]:
    """Read what is due, so many of each destination at most: urgent ones first, then the oldest."""
    rank = func.row_number().over(
        partition_by=deliveries.c.destination, order_by=(deliveries.c.priority, deliveries.c.id)
    )
    due = (
        select(deliveries.c.id, rank.label("rank"))
        .where(deliveries.c.state.in_(_OPEN_STATES), deliveries.c.next_attempt_at <= now)
        .subquery()
    )
    query = select(deliveries).join(due, due.c.id == deliveries.c.id).where(due.c.rank <= most)
    return [_delivery(row) for row in connection.execute(query.order_by(deliveries.c.priority, deliveries.c.id))]


def find_by_transaction(connection: Connection, transaction_uid: str) -> Delivery | None:
    """Find the delivery whose last storage commitment request has this Transaction UID (0008,1195)."""
    query = select(deliveries).where(deliveries.c.transaction_uid == transaction_uid)
    row = connection.execute(query).first()
    return _delivery(row) if row else None


def list_result_instances(connection: Connection, job_key: str) -> list[ResultInstance]:
    """Read the DICOM files of a result."""
    query = select(result_instances).where(result_instances.c.job_key == job_key).order_by("file_name")
    return [
        ResultInstance(
            row.sop_instance_uid,
            row.sop_class_uid,
            row.series_instance_uid,
            row.study_instance_uid,
            row.file_name,
            row.sha256,
        )
        for row in connection.execute(query)
    ]


def begin_attempt(connection: Connection, delivery: Delivery, *, now: datetime, due_again: datetime) -> bool:
    """Count an attempt before it is made, so that one that dies counts too.

    Parameters
    ----------
    delivery
        As it was read; if anything began since, nothing happens.
    now, due_again
        When it begins; when it is due again if nobody reports how it ended.

    Returns
    -------
    bool
        False if there is nothing to attempt any more.
    """
    values = {
        "attempts": delivery.attempts + 1,
        "first_attempt_at": delivery.first_attempt_at or now,
        "next_attempt_at": due_again,
        "unreachable": False,
    }
    unchanged = (
        deliveries.c.id == delivery.id,
        deliveries.c.attempts == delivery.attempts,
        deliveries.c.state == delivery.state,
        deliveries.c.next_attempt_at < NEVER,
    )
    return connection.execute(update(deliveries).where(*unchanged).values(values)).rowcount == 1


def record_accepted(connection: Connection, delivery_id: int, sop_instance_uid: str) -> None:
    """Note that the destination has an instance."""
    _change_accepted(connection, delivery_id, added=(sop_instance_uid,))


def record_transaction(connection: Connection, delivery_id: int, transaction_uid: str, now: datetime) -> None:
    """Note a storage commitment request before it is sent: its report may come first."""
    row = read_delivery(connection, delivery_id)
    values = {"transaction_uid": transaction_uid, "commitment_asked_at": row.commitment_asked_at or now}
    connection.execute(update(deliveries).where(deliveries.c.id == delivery_id).values(values))


def record_outcome(
    connection: Connection,
    delivery_id: int,
    state: DeliveryState,
    *,
    next_attempt_at: datetime,
    reason: str = "",
    unreachable: bool = False,
    waiting_since: datetime | None = None,
    asked: bool = False,
) -> None:
    """Note how an attempt ended; a storage commitment report that came meanwhile stands.

    Parameters
    ----------
    state, next_attempt_at, reason
        Where the delivery stands now.
    unreachable
        Whether nobody was there, so that the delivery may be brought forward once the destination answers others.
    waiting_since
        Since when a confirmation is waited for, if it was not before.
    asked
        Whether a storage commitment report is waited for.
    """
    row = read_delivery(connection, delivery_id)
    values: dict[str, Any] = {
        "state": state,
        "reason": reason[:_REASON_LENGTH],
        "next_attempt_at": next_attempt_at,
        "unreachable": unreachable,
    }
    if waiting_since is not None:
        values["commitment_asked_at"] = row.commitment_asked_at or waiting_since
    stands = [deliveries.c.id == delivery_id, deliveries.c.state != DeliveryState.COMMITTED]
    if asked:
        stands.append(deliveries.c.transaction_uid.is_not(None))  # a report of failure took it away
    connection.execute(update(deliveries).where(*stands).values(values))


def record_committed(connection: Connection, delivery_id: int) -> None:
    """Note that the destination has taken responsibility for everything."""
    values = {"state": DeliveryState.COMMITTED, "reason": "", "next_attempt_at": NEVER, "unreachable": False}
    connection.execute(update(deliveries).where(deliveries.c.id == delivery_id).values(values))


def record_missing(
    connection: Connection, delivery_id: int, missing: Collection[str], *, next_attempt_at: datetime, reason: str
) -> None:
    """Note that the destination does not have instances that it had accepted; they are due to be sent again."""
    _change_accepted(connection, delivery_id, removed=missing)
    values = {
        "state": DeliveryState.WAITING,
        "reason": reason[:_REASON_LENGTH],
        "next_attempt_at": next_attempt_at,
        "transaction_uid": None,
        "commitment_asked_at": None,
    }
    connection.execute(update(deliveries).where(deliveries.c.id == delivery_id).values(values))


def bring_forward(connection: Connection, destination: str, now: datetime) -> int:
    """Make due what found nobody at a destination that has just answered; returns how many."""
    waiting = (
        deliveries.c.destination == destination,
        deliveries.c.state == DeliveryState.WAITING,
        deliveries.c.unreachable.is_(True),
    )
    values = {"next_attempt_at": now, "unreachable": False}
    return connection.execute(update(deliveries).where(*waiting).values(values)).rowcount


def retry_parked(connection: Connection, delivery_id: int, now: datetime) -> None:
    """Make a parked delivery due, as if it were new.

    Raises
    ------
    ConflictError
        If it is not parked.
    """
    values = {
        "state": DeliveryState.WAITING,
        "reason": "",
        "attempts_forgiven": deliveries.c.attempts,
        "first_attempt_at": None,
        "commitment_asked_at": None,
        "next_attempt_at": now,
    }
    parked = (deliveries.c.id == delivery_id, deliveries.c.state == DeliveryState.PARKED)
    if not connection.execute(update(deliveries).where(*parked).values(values)).rowcount:
        msg = f"delivery {delivery_id} is not parked, so there is nothing to retry"
        raise ConflictError(msg)


def send_again(connection: Connection, job_key: str, now: datetime) -> None:
    """Make all deliveries of a result due as if they were new: a person asked for its job again."""
    values: dict[str, Any] = {
        "state": DeliveryState.WAITING,
        "reason": "",
        "accepted": [],
        "attempts_forgiven": deliveries.c.attempts,
        "first_attempt_at": None,
        "transaction_uid": None,
        "commitment_asked_at": None,
        "next_attempt_at": now,
    }
    connection.execute(update(deliveries).where(deliveries.c.job_key == job_key).values(values))


def _change_accepted(
    connection: Connection, delivery_id: int, *, added: Collection[str] = (), removed: Collection[str] = ()
) -> None:
    query = select(deliveries.c.accepted).where(deliveries.c.id == delivery_id)
    if connection.dialect.name != "sqlite":
        query = query.with_for_update()  # SQLite's IMMEDIATE transactions exclude each other anyway
    before = set(connection.execute(query).scalar_one())
    after = sorted((before | set(added)) - set(removed))
    connection.execute(update(deliveries).where(deliveries.c.id == delivery_id).values(accepted=after))


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        job_key=row.job_key,
        destination=row.destination,
        priority=row.priority,
        state=DeliveryState(row.state),
        reason=row.reason,
        attempts=row.attempts,
        attempts_forgiven=row.attempts_forgiven,
        first_attempt_at=None if row.first_attempt_at is None else utc(row.first_attempt_at),
        next_attempt_at=utc(row.next_attempt_at),
        accepted=frozenset(row.accepted),
        transaction_uid=row.transaction_uid,
        commitment_asked_at=None if row.commitment_asked_at is None else utc(row.commitment_asked_at),
    )
