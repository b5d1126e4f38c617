"""What happens to work items: create, update, claim, end, cancel; each tells its subscribers in the same transaction.

The rules are those of PS3.4 CC.2; messages begin with the words that PS3.18 11 prescribes for the Warning header field.
"""

import hmac
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from vst_dicom.dicom.codes import Code
from vst_dicom.dicom.procedure_step import (
    DISCONTINUED,
    FILTERED_WORKLIST,
    INCONSISTENT_STATE,
    UPS_EVENT,
    WORKLIST,
    Json,
    check_create,
    check_final,
    check_update,
    code_item,
    data_set,
    date_time,
    element,
    first_of,
    is_scheduled_information,
    items_of,
    key_of,
    values_of,
)
from vst_dicom.domain.errors import ConflictError, UsageError
from vst_dicom.ledger.jobs import read_job
from vst_dicom.ledger.slides import change_slide, read_slide
from vst_dicom.ledger.states import JobState, ProcedureStepState
from vst_dicom.ledger.workitem_events import (
    Subscription,
    add_events,
    list_subscriptions,
    subscribe,
    subscribe_to_all,
    unsubscribe,
)
from vst_dicom.ledger.workitems import (
    Workitem,
    add_workitem,
    change_workitem,
    list_open_of_job,
    list_workitems,
    read_workitem,
)
from vst_dicom.runtime.ordered_work import asks_for_prediction
from vst_dicom.runtime.orders import cancel_jobs

Matches = Callable[[Mapping[str, Any], tuple[tuple[str, str], ...]], bool]
"""Whether a data set has the values of a filter."""

_STATE_REPORT, _CANCEL_REQUESTED, _PROGRESS_REPORT, _ASSIGNED = 1, 2, 3, 5
"""Event Type IDs (PS3.4 table CC.2.4-1)."""

_ASSIGNMENT: Final = ("ScheduledStationNameCodeSequence", "ScheduledHumanPerformersSequence")
_PROGRESS: Final = "ProcedureStepProgressInformationSequence"
_REASONS: Final = (
    "ReasonForCancellation", "ProcedureStepDiscontinuationReasonCodeSequence", "ContactURI", "ContactDisplayName"
)  # fmt: skip
_PAGE: Final = 500


def create(connection: Connection, uid: str, asked: Mapping[str, Any], now: datetime, matches: Matches) -> None:
    """Create a work item and subscribe to it who wants to know of new ones (N-CREATE, PS3.4 CC.2.5).

    Raises
    ------
    UsageError
        If it is not what table CC.2.5-3 asks for.
    ConflictError
        If there is one of this UID.
    """
    attributes = check_create(asked, uid)
    attributes |= element("ScheduledProcedureStepModificationDateTime", date_time(now))
    attributes = dict(sorted(attributes.items()))
    add_workitem(connection, uid, attributes, is_ours=asks_for_prediction(attributes), now=now)
    told: dict[str, bool] = {}
    for one in list_subscriptions(connection, [WORKLIST, FILTERED_WORKLIST]):
        if one.filter is None or matches(attributes, one.filter):
            told[one.ae_title] = told.get(one.ae_title, False) or one.deletion_lock
    for ae_title, deletion_lock in told.items():
        subscribe(connection, Subscription(ae_title, uid, deletion_lock, None))
    reports = [_state_report(attributes)]
    if any(values_of(attributes, name) for name in _ASSIGNMENT):
        reports.append(_assigned(attributes))
    _tell(connection, uid, reports, now)


def update(connection: Connection, uid: str, changes: Mapping[str, Any], transaction_uid: str, now: datetime) -> None:
    """Change attributes of a work item (N-SET, PS3.4 CC.2.6).

    Raises
    ------
    UsageError
        If a change is not allowed, the transaction is not that of the claim, or the work item is final.
    """
    check_update(changes)
    workitem = read_workitem(connection, uid, lock=True)
    if workitem.state.is_final:
        msg = f"The submitted request is inconsistent with the current state of the Workitem. It is {workitem.state}"
        raise UsageError(msg)
    _check_transaction(workitem, transaction_uid)
    _write(connection, workitem, changes, now)


def _write(
    connection: Connection, workitem: Workitem, changes: Mapping[str, Any], now: datetime, **columns: Any
) -> Json:
    """Write attributes, and tell of it what must be told."""
    before = workitem.attributes
    after = before | dict(changes)
    if is_scheduled_information(changes):
        after |= element("ScheduledProcedureStepModificationDateTime", date_time(now))
    after = dict(sorted(after.items()))
    if workitem.state is ProcedureStepState.SCHEDULED and "is_ours" not in columns:
        is_ours = asks_for_prediction(after)
        columns |= {"is_ours": is_ours, "due_at": now if is_ours else None}
    if not change_workitem(connection, workitem, attributes=after, **columns):
        raise ConflictError(f"{INCONSISTENT_STATE} It changed meanwhile")
    reports = []
    state, ready = key_of("ProcedureStepState"), key_of("InputReadinessState")
    if any(before.get(key) != after.get(key) for key in (state, ready)):
        reports.append(_state_report(after))
    if before.get(key_of(_PROGRESS)) != after.get(key_of(_PROGRESS)):
        reports.append(_progress_report(after))
    if any(before.get(key_of(name)) != after.get(key_of(name)) for name in _ASSIGNMENT):
        reports.append(_assigned(after))
    _tell(connection, workitem.sop_instance_uid, reports, now)
    return after


def change_state(connection: Connection, uid: str, to: str, transaction_uid: str, now: datetime) -> str:
    """Claim, complete or cancel a work item (N-ACTION, PS3.4 CC.2.1); of two who claim it one succeeds.

    Returns
    -------
    str
        What to warn of: that it was in this state already. Empty as a rule.

    Raises
    ------
    UsageError
        If the transaction is missing or not that of the claim.
    ConflictError
        If the state forbids it, or the final state asks for more (PS3.4 tables CC.1.1-2 and CC.2.5-3).
    """
    wanted = next((state for state in ProcedureStepState if state == to), None)
    if wanted in (None, ProcedureStepState.SCHEDULED):
        raise UsageError("Procedure Step State (0074,1000) must be IN PROGRESS, COMPLETED or CANCELED")
    if not transaction_uid:
        raise UsageError("The Transaction UID is missing.")
    workitem = read_workitem(connection, uid, lock=True)
    if wanted is ProcedureStepState.IN_PROGRESS:
        if workitem.state is not ProcedureStepState.SCHEDULED:
            raise ConflictError(f"{INCONSISTENT_STATE} It is {workitem.state}")
        claim(connection, workitem, transaction_uid, now)
        return ""
    if workitem.state is ProcedureStepState.SCHEDULED:
        raise ConflictError(f"{INCONSISTENT_STATE} Claim it first: IN PROGRESS")
    _check_transaction(workitem, transaction_uid)
    if workitem.state is wanted:
        return f"The UPS is already in the requested state of {wanted}."
    if workitem.state.is_final:
        raise ConflictError(f"{INCONSISTENT_STATE} It is {workitem.state}")
    assert wanted is not None  # noqa: S101 - for the type checker; refused above
    end(connection, workitem, wanted, {}, now)
    return ""


def claim(connection: Connection, workitem: Workitem, transaction_uid: str, now: datetime, **columns: Any) -> None:
    """Bring a scheduled work item to IN PROGRESS under a transaction."""
    change = element("ProcedureStepState", ProcedureStepState.IN_PROGRESS.value)
    columns = {"is_ours": False, "due_at": None} | columns
    state = ProcedureStepState.IN_PROGRESS
    _write(connection, workitem, change, now, state=state, transaction_uid=transaction_uid, **columns)


def end(
    connection: Connection, workitem: Workitem, to: ProcedureStepState, changes: Mapping[str, Any], now: datetime
) -> None:
    """Bring a work item that is in progress to a final state.

    Raises
    ------
    ConflictError
        If the final state asks for more than it says, or it changed meanwhile.
    """
    after = workitem.attributes | dict(changes)
    if to is ProcedureStepState.CANCELED:
        after = _dated_cancellation(after, now)
    check_final(after, completed=to is ProcedureStepState.COMPLETED)
    changed = {key: value for key, value in after.items() if workitem.attributes.get(key) != value}
    changed |= element("ProcedureStepState", to.value)
    _write(connection, workitem, changed, now, state=to, due_at=None)


def cancel(connection: Connection, workitem: Workitem, reason: str, code: Code | Json, now: datetime) -> None:
    """Bring a work item that is scheduled or in progress to CANCELED, with a reason."""
    if workitem.state is ProcedureStepState.SCHEDULED:
        claim(connection, workitem, workitem.sop_instance_uid, now)
        workitem = read_workitem(connection, workitem.sop_instance_uid)
    progress = dict(next(iter(items_of(workitem.attributes, _PROGRESS)), {}))
    item = code_item(code) if isinstance(code, Code) else code
    progress |= element("ProcedureStepDiscontinuationReasonCodeSequence", item)
    if reason:
        progress |= element("ReasonForCancellation", reason[:10_240])
    end(connection, workitem, ProcedureStepState.CANCELED, element(_PROGRESS, progress), now)


def request_cancellation(
    connection: Connection, uid: str, asked: Mapping[str, Any], requester: str, now: datetime
) -> str:
    """Cancel a work item that nobody else performs, or ask its performer to (N-ACTION, PS3.4 CC.2.2).

    Returns
    -------
    str
        What to warn of; empty as a rule.

    Raises
    ------
    ConflictError
        If it is completed, our job has ended, or nobody could hear the request.
    """
    slide_id = read_workitem(connection, uid).slide_id
    if slide_id is not None:
        read_slide(connection, slide_id, lock=True)  # before the work item, as whoever claims and decides does
    workitem = read_workitem(connection, uid, lock=True)
    if workitem.state is ProcedureStepState.CANCELED:
        return "The UPS is already in the requested state of CANCELED."
    if workitem.state is ProcedureStepState.COMPLETED:
        raise ConflictError("The UPS is already COMPLETED.")
    if workitem.state is ProcedureStepState.IN_PROGRESS and not workitem.is_ours:
        if not list_subscriptions(connection, [uid]):
            raise ConflictError("The performer cannot be contacted.")
        _tell(connection, uid, [_cancel_requested(uid, asked, requester)], now)
        return ""
    if workitem.state is ProcedureStepState.IN_PROGRESS:
        _stop_own_work(connection, workitem, now)
    codes = items_of(asked, "ProcedureStepDiscontinuationReasonCodeSequence")
    reason = str(first_of(asked, "ReasonForCancellation"))
    cancel(connection, workitem, reason, codes[0] if codes else DISCONTINUED, now)
    return ""


def _stop_own_work(connection: Connection, workitem: Workitem, now: datetime) -> None:
    """Cancel the job of a work item, unless it performs another one too."""
    if workitem.job_key is None:
        if workitem.slide_id is not None:
            change_slide(connection, workitem.slide_id, run_now=False)
        return
    job = read_job(connection, workitem.job_key)
    if job.state is JobState.DONE:
        raise ConflictError("Performer chooses not to cancel. The job is done")
    if job.state in (JobState.QUEUED, JobState.RUNNING) and len(list_open_of_job(connection, job.key)) == 1:
        cancel_jobs(connection, [job], now)


def report_progress(
    connection: Connection, workitem: Workitem, percent: int, description: str, now: datetime, **columns: Any
) -> None:
    """Say how far a work item is, if that is anything new."""
    item = data_set(ProcedureStepProgress=percent, ProcedureStepProgressDescription=description)
    change = element(_PROGRESS, item)
    if workitem.attributes.get(key_of(_PROGRESS)) == change[key_of(_PROGRESS)]:
        change = {}
    if change or columns:
        _write(connection, workitem, change, now, **columns)


def add_subscription(connection: Connection, wanted: Subscription, now: datetime, matches: Matches) -> None:
    """Subscribe to one work item, to all, or to those that a filter lets through (PS3.4 CC.2.3).

    Raises
    ------
    NotFoundError
        If there is no such work item.
    """
    if wanted.sop_instance_uid in (WORKLIST, FILTERED_WORKLIST):
        subscribe(connection, wanted)
        if wanted.filter is None:
            subscribe_to_all(connection, wanted.ae_title, deletion_lock=wanted.deletion_lock)
        reports = []
        for workitem in _every_workitem(connection):
            fits = wanted.filter is not None and matches(workitem.attributes, wanted.filter)
            if fits:
                uid = workitem.sop_instance_uid
                subscribe(connection, Subscription(wanted.ae_title, uid, wanted.deletion_lock, None))
            if fits or (wanted.filter is None and wanted.deletion_lock):
                reports.append(_state_report(workitem.attributes))
        add_events(connection, [wanted.ae_title], reversed(reports), now)
        return
    workitem = read_workitem(connection, wanted.sop_instance_uid)
    subscribe(connection, wanted)
    add_events(connection, [wanted.ae_title], [_state_report(workitem.attributes)], now)


def remove_subscription(connection: Connection, ae_title: str, uid: str) -> None:
    """End a subscription; ending that of the whole worklist ends those of its work items too (PS3.4 CC.2.3.3)."""
    if uid in (WORKLIST, FILTERED_WORKLIST):
        unsubscribe(connection, ae_title, None)
    else:
        read_workitem(connection, uid)
        unsubscribe(connection, ae_title, [uid])


def suspend_subscription(connection: Connection, ae_title: str, uid: str) -> None:
    """Subscribe to no further work items; those that are subscribed stay so."""
    unsubscribe(connection, ae_title, [uid])


def _every_workitem(connection: Connection) -> Iterable[Workitem]:
    before = None
    while page := list_workitems(connection, limit=_PAGE, before=before):
        yield from page
        before = page[-1].id


def _check_transaction(workitem: Workitem, transaction_uid: str) -> None:
    if workitem.transaction_uid is None:
        if transaction_uid:
            raise UsageError("The target URI did not reference a claimed Workitem. Leave the Transaction UID out")
        return
    if not transaction_uid:
        raise UsageError("The Transaction UID is missing.")
    if not hmac.compare_digest(workitem.transaction_uid.encode(), transaction_uid.encode()):
        raise UsageError("The Transaction UID is incorrect.")


def _dated_cancellation(attributes: Json, now: datetime) -> Json:
    """Date the cancellation where its performer did not."""
    items = items_of(attributes, _PROGRESS)
    if not items or values_of(items[0], "ProcedureStepCancellationDateTime"):
        return attributes
    return attributes | element(_PROGRESS, items[0] | element("ProcedureStepCancellationDateTime", date_time(now)))


def _tell(connection: Connection, uid: str, reports: list[Json], now: datetime) -> None:
    if reports:
        add_events(connection, [one.ae_title for one in list_subscriptions(connection, [uid])], reports, now)


def _report(uid: str, event_type: int, content: Mapping[str, Any]) -> Json:
    """Write an event report (PS3.7 10.3.1); the channel adds the Message ID."""
    head = data_set(AffectedSOPClassUID=UPS_EVENT, AffectedSOPInstanceUID=uid, EventTypeID=event_type)
    return dict(sorted((head | dict(content)).items()))


def _state_report(attributes: Mapping[str, Any]) -> Json:
    names = ["ProcedureStepState", "InputReadinessState"]
    content = {key_of(name): attributes[key_of(name)] for name in names}
    for item in items_of(attributes, _PROGRESS)[:1]:
        content |= {key_of(name): item[key_of(name)] for name in _REASONS[:2] if key_of(name) in item}
    return _report(first_of(attributes, "SOPInstanceUID"), _STATE_REPORT, content)


def _progress_report(attributes: Mapping[str, Any]) -> Json:
    content = {key_of(_PROGRESS): attributes[key_of(_PROGRESS)]}
    return _report(first_of(attributes, "SOPInstanceUID"), _PROGRESS_REPORT, content)


def _assigned(attributes: Mapping[str, Any]) -> Json:
    content = {key_of(name): attributes[key_of(name)] for name in _ASSIGNMENT if values_of(attributes, name)}
    return _report(first_of(attributes, "SOPInstanceUID"), _ASSIGNED, content)


def _cancel_requested(uid: str, asked: Mapping[str, Any], requester: str) -> Json:
    content = element("RequestingAE", requester) if requester else element("RequestingAE")
    content |= {key_of(name): asked[key_of(name)] for name in _REASONS if values_of(asked, name)}
    return _report(uid, _CANCEL_REQUESTED, content)
