"""Join deliveries in the ledger with the settings and with what sends them."""

import time
import traceback
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import Engine

from vst_dicom.config import DeliverySettings, Destination, Settings, TlsSettings
from vst_dicom.deliver.association import DicomPeer, TlsFiles
from vst_dicom.deliver.attempt import Target, attempt_delivery
from vst_dicom.deliver.dicomweb import WebServer
from vst_dicom.deliver.files import InstanceFile, SentInstance, read_instance_file
from vst_dicom.deliver.outcome import Outcome
from vst_dicom.deliver.schedule import RetrySchedule, jitter
from vst_dicom.dicom.uids import derive_uid
from vst_dicom.domain.errors import InputError
from vst_dicom.ledger.deliveries import (
    NEVER,
    Delivery,
    ResultInstance,
    begin_attempt,
    bring_forward,
    list_due,
    list_result_instances,
    read_delivery,
    record_accepted,
    record_committed,
    record_missing,
    record_outcome,
    record_transaction,
)
from vst_dicom.ledger.states import DeliveryState

_SLOWEST_BYTES_PER_S: Final = 65_536
_MOST_DUE: Final = 1000
_UNFINISHED: Final = (DeliveryState.WAITING, DeliveryState.SENT)
_SCHEDULE: Final = RetrySchedule()

log = structlog.get_logger()


def due_deliveries(database: Engine, now: datetime, limit: int = _MOST_DUE) -> list[Delivery]:
    """Read what is due: by priority, then age."""
    with database.connect() as connection:
        return list_due(connection, now, limit)


def deliver_once(database: Engine, settings: Settings, delivery_id: int, now: datetime) -> Outcome:
    """Make one attempt at a delivery and note how it ended.

    Parameters
    ----------
    database, settings
        Where the delivery stands, and where results and destinations are.
    delivery_id
        Which row.
    now
        The time, UTC.

    Returns
    -------
    Outcome
        With `after_s` where the delivery is to be continued. No failure of the destination, of the settings or of
        the files raises.
    """
    started_s = time.monotonic()
    with database.begin() as connection:
        delivery = read_delivery(connection, delivery_id)
        parts = list_result_instances(connection, delivery.job_key)
        due_again = now + timedelta(seconds=_longest_attempt_s(settings, delivery, parts))
        if not begin_attempt(connection, delivery, now=now, due_again=due_again):
            return Outcome(delivery.state, delivery.reason)
        delivery = read_delivery(connection, delivery_id)
    try:
        outcome = _attempt(database, settings, delivery, parts, now)
    except Exception as error:  # a fault of ours must not end the delivery
        place = traceback.extract_tb(error.__traceback__)[-1]
        log.error(
            "delivery attempt broke",
            delivery=delivery_id,
            destination=delivery.destination,
            error=type(error).__name__,  # its text may quote a header
            place=f"{place.name}:{place.lineno}",
        )
        outcome = Outcome(DeliveryState.WAITING, f"an attempt broke with {type(error).__name__}; see the log")
    ended = now + timedelta(seconds=time.monotonic() - started_s)
    outcome = _plan(settings.delivery, delivery, outcome, ended)
    _record(database, delivery, outcome, ended)
    log.info(
        "delivery attempted",
        delivery=delivery_id,
        destination=delivery.destination,
        attempt=delivery.attempts,
        state=outcome.state.value,
        reason=outcome.reason,
        after_s=outcome.after_s,
    )
    return outcome


def names_of_destinations(
    settings: Settings, chosen: Collection[str], *, reply_to_ae: str = "", reply_to_address: str = ""
) -> tuple[str, ...]:
    """Names of where a result goes: those chosen, and the sender of the slide where settings say so.

    The sender is found among the configured destinations only, by AE title, of several by address: nobody makes
    this server send to a place that no operator entered.
    """
    names = list(dict.fromkeys(chosen))
    if settings.delivery.reply_to_sender and reply_to_ae:
        fitting = [name for name, there in settings.destinations.items() if there.ae_title == reply_to_ae]
        same_address = [name for name in fitting if settings.destinations[name].host == reply_to_address]
        for name in (same_address or fitting)[:1]:
            if name not in names:
                names.append(name)
    return tuple(names)


def make_target(destination: Destination) -> Target:
    """Translate settings into what the sending part understands."""
    tls = make_tls(destination.tls)
    address: DicomPeer | WebServer
    if destination.ae_title:
        address = DicomPeer(destination.ae_title, destination.host, destination.port, tls, destination.timeout_s)
    else:
        address = WebServer(destination.url, tls, destination.timeout_s)
    query = WebServer(destination.query_url, tls, destination.timeout_s) if destination.query_url else None
    return Target(address, destination.storage_commitment, destination.notify_availability, query)


def make_tls(settings: TlsSettings | None) -> TlsFiles | None:
    """Translate TLS settings."""
    if settings is None:
        return None
    return TlsFiles(settings.certificate, settings.private_key, settings.authorities, settings.require_peer_certificate)


def _attempt(
    database: Engine, settings: Settings, delivery: Delivery, parts: list[ResultInstance], now: datetime
) -> Outcome:
    destination = settings.destinations.get(delivery.destination)
    if destination is None:
        reason = f"destination {delivery.destination!r} is not in the settings; add it and retry"
        return Outcome(DeliveryState.PARKED, reason)
    if not parts:
        return Outcome(DeliveryState.PARKED, "the result has no DICOM instance; run its job again")
    folder = settings.results / delivery.job_key

    def open_files(wanted: Collection[str]) -> list[InstanceFile]:
        return [
            read_instance_file(folder / part.file_name, part.sha256)
            for part in parts
            if part.sop_instance_uid in wanted
        ]

    def note_accepted(sop_instance_uid: str) -> None:
        with database.begin() as connection:
            record_accepted(connection, delivery.id, sop_instance_uid)
            # before this attempt ends, so that the most urgent of those that wait is next
            bring_forward(connection, delivery.destination, now)

    def new_transaction() -> str:
        uid = derive_uid("storage commitment", delivery.job_key, delivery.destination, str(delivery.attempts))
        with database.begin() as connection:
            record_transaction(connection, delivery.id, uid, now)
        return uid

    try:
        return attempt_delivery(
            make_target(destination),
            settings.dicom.ae_title,
            [
                SentInstance(
                    part.sop_class_uid, part.sop_instance_uid, part.series_instance_uid, part.study_instance_uid
                )
                for part in parts
            ],
            open_files,
            accepted=delivery.accepted,
            is_sent=delivery.state is DeliveryState.SENT,
            new_transaction=new_transaction,
            on_accepted=note_accepted,
        )
    except InputError as error:
        return Outcome(DeliveryState.PARKED, str(error))


def _plan(settings: DeliverySettings, delivery: Delivery, outcome: Outcome, now: datetime) -> Outcome:
    """Decide when to go on, and when to give up."""
    if outcome.state not in _UNFINISHED or (outcome.state is DeliveryState.SENT and not outcome.reason):
        return outcome
    if now - (delivery.first_attempt_at or now) >= settings.give_up_after:
        return Outcome(DeliveryState.PARKED, f"given up after {settings.give_up_after}: {outcome.reason}")
    schedule = RetrySchedule(settings.first_retry_s, settings.longest_retry_s)
    after_s = schedule.wait_s(delivery.attempts - delivery.attempts_forgiven, jitter(delivery))
    waited_s = (now - (delivery.commitment_asked_at or now)).total_seconds()
    if outcome.asked:
        after_s = max(settings.commitment_timeout_s, waited_s)  # doubles: a slow archive's late report still fits
    elif outcome.missing and waited_s >= settings.commitment_timeout_s:
        return replace(outcome, state=DeliveryState.WAITING, after_s=after_s)
    return replace(outcome, after_s=after_s)


def _record(database: Engine, delivery: Delivery, outcome: Outcome, now: datetime) -> None:
    next_attempt_at = NEVER if outcome.after_s is None else now + timedelta(seconds=outcome.after_s)
    with database.begin() as connection:
        if outcome.state is DeliveryState.COMMITTED:
            record_committed(connection, delivery.id)
        elif outcome.state is DeliveryState.WAITING and outcome.missing:
            record_missing(
                connection, delivery.id, outcome.missing, next_attempt_at=next_attempt_at, reason=outcome.reason
            )
        else:
            record_outcome(
                connection,
                delivery.id,
                outcome.state,
                next_attempt_at=next_attempt_at,
                reason=outcome.reason,
                unreachable=outcome.unreachable and outcome.state is DeliveryState.WAITING,
                waiting_since=now if outcome.state is DeliveryState.SENT and outcome.reason else None,
                asked=outcome.asked,
            )
        if outcome.state in (DeliveryState.SENT, DeliveryState.COMMITTED) and not outcome.unreachable:
            bring_forward(connection, delivery.destination, now)


def _longest_attempt_s(settings: Settings, delivery: Delivery, parts: list[ResultInstance]) -> float:
    """Seconds after which an attempt that nobody reports on must have died."""
    paths = [settings.results / delivery.job_key / part.file_name for part in parts]
    n_bytes = sum(path.stat().st_size for path in paths if path.is_file())
    destination = settings.destinations.get(delivery.destination)
    waits_s = (len(parts) + 5) * (destination.timeout_s if destination else 0)
    return waits_s + n_bytes / _SLOWEST_BYTES_PER_S + settings.delivery.first_retry_s
