"""What becomes of storage commitment reports; the listener knows no more than this of deliveries."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import Engine

from vst_dicom.deliver.commitment import CommitmentReport
from vst_dicom.deliver.outcome import judge_report
from vst_dicom.deliver.schedule import RetrySchedule, jitter
from vst_dicom.ledger.deliveries import find_by_transaction, list_result_instances, record_committed, record_missing
from vst_dicom.ledger.states import DeliveryState

_SCHEDULE: Final = RetrySchedule()

log = structlog.get_logger()


def handle_commitment_report(
    database: Engine,
    transaction_uid: str,
    committed: Collection[str],
    failed: Collection[str],
    *,
    now: datetime | None = None,
    schedule: RetrySchedule = _SCHEDULE,
) -> None:
    """Take a storage commitment report that came to the listener (PS3.4 J.3.3).

    Reports of requests that are not open, repeated ones too, change nothing.

    Parameters
    ----------
    transaction_uid
        Of the request.
    committed, failed
        SOP Instance UIDs; `failed` may be a mapping to Failure Reasons (0008,1197).
    now
        The time; the clock's if None.
    schedule
        When to send again what failed.
    """
    moment = now or datetime.now(UTC)
    reasons = dict(failed) if isinstance(failed, dict) else dict.fromkeys(failed, 0)
    report = CommitmentReport(transaction_uid, frozenset(committed) - set(reasons), reasons)
    with database.begin() as connection:
        delivery = find_by_transaction(connection, transaction_uid) if transaction_uid else None
        if delivery is None or delivery.state is DeliveryState.COMMITTED:
            log.info("commitment report of no open request", transaction_uid=transaction_uid)
            return
        uids = [part.sop_instance_uid for part in list_result_instances(connection, delivery.job_key)]
        outcome = judge_report(report, uids)
        if outcome.state is DeliveryState.COMMITTED:
            record_committed(connection, delivery.id)
        elif delivery.state is not DeliveryState.PARKED:
            wait_s = schedule.wait_s(delivery.attempts - delivery.attempts_forgiven, jitter(delivery))
            record_missing(
                connection,
                delivery.id,
                outcome.missing,
                next_attempt_at=moment + timedelta(seconds=wait_s),
                reason=outcome.reason,
            )
    log.info(
        "commitment reported", delivery=delivery.id, destination=delivery.destination, missing=len(outcome.missing)
    )
