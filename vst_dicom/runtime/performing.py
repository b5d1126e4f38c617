"""Performs the work items that ask for predictions: claims them, has their slides processed, says how it goes.

Each step is one transaction, and the ledger says which is next, so that a kill anywhere loses and doubles nothing:
a claim is written with the order to process the slide, the job with its work item (`Coordinator`), and what came of the
job with the final state.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import Connection, Engine

from vst_dicom.config import Settings
from vst_dicom.dicom.codes import BUNDLE_TO_USE, OWN_SCHEME, PREDICT_EXPRESSION, Code
from vst_dicom.dicom.procedure_step import (
    DISCONTINUED,
    EQUIPMENT_FAILURE,
    OBJECTS_NOT_SUPPORTED,
    Json,
    code_item,
    data_set,
    date_time,
    element,
)
from vst_dicom.dicom.uids import derive_uid
from vst_dicom.domain.errors import UsageError, VstDicomError
from vst_dicom.ledger.deliveries import ResultInstance, list_result_instances
from vst_dicom.ledger.jobs import Job, read_job
from vst_dicom.ledger.slides import Slide, list_slide_instances, list_slides, read_slide
from vst_dicom.ledger.states import JobState, ProcedureStepState
from vst_dicom.ledger.workitem_events import forget_events
from vst_dicom.ledger.workitems import Workitem, change_workitem, list_due_workitems, read_workitem
from vst_dicom.predict.bundle import list_bundles
from vst_dicom.runtime.ordered_work import OrderedWork, is_ready, read_order
from vst_dicom.runtime.orders import run_slides_now
from vst_dicom.runtime.workitems import cancel, claim, end, report_progress

_MOST_PER_PASS: Final = 200
_MOST_SLIDES: Final = 1000
_WAIT: Final = timedelta(seconds=5)
"""Until a work item is looked at again whose slide has not come."""

_WATCH: Final = timedelta(seconds=1)
"""Until a work item is looked at again that is being performed."""

_KEEP_EVENTS: Final = timedelta(days=1)
_BEFORE_PREDICTION: Final = frozenset({"", "open", "thumbnail", "tissue", "grid"})
_REASONS: Final = {JobState.REFUSED: OBJECTS_NOT_SUPPORTED, JobState.PARKED: EQUIPMENT_FAILURE}

_log = structlog.get_logger(__name__)


class Performer:
    """Performs work items. Any number may run at once.

    Parameters
    ----------
    database, settings
        Where everything stands, and how the site wants it.
    has_bundle
        Whether a bundle of this id may be asked for; those installed, and the site's own, if None.
    """

    def __init__(
        self, database: Engine, settings: Settings, *, has_bundle: Callable[[str], bool] | None = None
    ) -> None:
        self._database = database
        self._settings = settings
        self._has_bundle = has_bundle or self._is_installed

    def perform(self, now: datetime) -> int:
        """Do what is due; answers how many work items were looked at."""
        with self._database.begin() as connection:
            due = list_due_workitems(connection, now, _MOST_PER_PASS)
        for workitem in due:
            try:
                if workitem.state is ProcedureStepState.SCHEDULED:
                    self._claim(workitem, now)
                else:
                    self._follow(workitem, now)
            except UsageError as error:  # somebody changed it meanwhile
                _log.info("work item left for the next pass", workitem=workitem.sop_instance_uid, code=error.code)
        return len(due)

    def forget(self, now: datetime) -> int:
        """Remove events that nobody fetched for a day."""
        with self._database.begin() as connection:
            return forget_events(connection, now - _KEEP_EVENTS)

    def _is_installed(self, bundle: str) -> bool:
        if bundle == self._settings.predict.bundle:
            return True
        return any(found.manifest is not None and found.manifest.id == bundle for found in list_bundles())

    def _claim(self, seen: Workitem, now: datetime) -> None:
        """Claim a scheduled work item once its slide is there; cancel one that cannot be performed."""
        slide, problem = None, ""
        try:
            order = read_order(seen.attributes)
            if order.bundle is not None and not self._has_bundle(order.bundle):
                problem = "the work item asks for a model bundle that this server does not have"
            elif is_ready(seen.attributes):
                with self._database.begin() as connection:
                    slide = find_slide(connection, order)
        except VstDicomError as error:
            problem = str(error)
        with self._database.begin() as connection:
            locked = read_slide(connection, slide.id, lock=True) if slide else None
            workitem = read_workitem(connection, seen.sop_instance_uid, lock=True)
            if (workitem.state, workitem.attributes) != (seen.state, seen.attributes):
                return
            if problem:
                cancel(connection, workitem, problem, DISCONTINUED, now)
            elif locked is None:
                change_workitem(connection, workitem, due_at=now + _WAIT)
            else:
                transaction_uid = derive_uid("perform", workitem.sop_instance_uid, str(workitem.id))
                claim(connection, workitem, transaction_uid, now, is_ours=True, slide_id=locked.id, due_at=now + _WATCH)
                run_slides_now(connection, [locked], now)
                _log.info("work item claimed", workitem=workitem.sop_instance_uid, slide=locked.id)

    def _follow(self, seen: Workitem, now: datetime) -> None:
        """Say how far a claimed work item is, or how it ended."""
        with self._database.begin() as connection:
            workitem = read_workitem(connection, seen.sop_instance_uid, lock=True)
            if workitem.state is not ProcedureStepState.IN_PROGRESS:
                return
            if workitem.job_key is None:
                if workitem.slide_id is None or not list_slide_instances(connection, workitem.slide_id):
                    reason = "its instances belong to another slide of the series by now"
                    cancel(connection, workitem, reason, DISCONTINUED, now)
                    return
                change_workitem(connection, workitem, due_at=now + _WATCH)
                return
            job = read_job(connection, workitem.job_key)
            if job.state is JobState.DONE:
                performed = self._performed(job, list_result_instances(connection, job.key), now)
                end(connection, workitem, ProcedureStepState.COMPLETED, performed, now)
            elif job.state in (JobState.QUEUED, JobState.RUNNING):
                percent, description = describe_progress(job)
                report_progress(connection, workitem, percent, description, now, due_at=now + _WATCH)
                return
            else:
                reason = f"job {job.key[:12]} is {job.state}: {job.reason}" if job.reason else f"the job is {job.state}"
                cancel(connection, workitem, reason, _REASONS.get(job.state, DISCONTINUED), now)
        _log.info("work item ended", workitem=seen.sop_instance_uid, job=seen.job_key, job_state=job.state.value)

    def _performed(self, job: Job, instances: list[ResultInstance], now: datetime) -> Json:
        """Write what was done and where its results are (PS3.3 C.30.3)."""
        station = Code(self._settings.dicom.ae_title, OWN_SCHEME, f"AE title {self._settings.dicom.ae_title}")
        bundle = data_set(ValueType="TEXT", ConceptNameCodeSequence=code_item(BUNDLE_TO_USE), TextValue=job.bundle)
        done = data_set(
            PerformedStationNameCodeSequence=code_item(station),
            PerformedProcedureStepStartDateTime=date_time(job.started_at or now),
            PerformedProcedureStepEndDateTime=date_time(job.finished_at or now),
            PerformedWorkitemCodeSequence=code_item(PREDICT_EXPRESSION),
            PerformedProcessingParametersSequence=bundle,
            OutputInformationSequence=self._references(instances),
        )
        progress = data_set(ProcedureStepProgress=100)
        return element("UnifiedProcedureStepPerformedProcedureSequence", done) | element(
            "ProcedureStepProgressInformationSequence", progress
        )

    def _references(self, instances: list[ResultInstance]) -> list[Json]:
        """Refer to results, series by series (PS3.3 10.3.1, Referenced Instances and Access)."""
        series: dict[tuple[str, str], list[ResultInstance]] = {}
        for one in instances:
            series.setdefault((one.study_instance_uid, one.series_instance_uid), []).append(one)
        base = web_address(self._settings)
        written = []
        for (study, one_series), found in sorted(series.items()):
            references = [
                data_set(ReferencedSOPClassUID=one.sop_class_uid, ReferencedSOPInstanceUID=one.sop_instance_uid)
                for one in sorted(found, key=lambda one: one.sop_instance_uid)
            ]
            item = data_set(
                TypeOfInstances="DICOM",
                StudyInstanceUID=study,
                SeriesInstanceUID=one_series,
                ReferencedSOPSequence=references,
            )
            if base:
                url = f"{base}/dicom-web/studies/{study}/series/{one_series}"
                item |= element("WADORSRetrievalSequence", data_set(RetrieveURL=url))
            written.append(dict(sorted(item.items())))
        return written


def find_slide(connection: Connection, order: OrderedWork) -> Slide | None:
    """Find the slide that a work item names; None if it has not come.

    Raises
    ------
    UsageError
        If it names several slides.
    """
    slides = [
        slide
        for slide in list_slides(connection, study_instance_uid=order.study_instance_uid, limit=_MOST_SLIDES)
        if not order.series_instance_uids or slide.series_instance_uid in order.series_instance_uids
    ]
    found = []
    for slide in slides:
        instances = {row.sop_instance_uid for row in list_slide_instances(connection, slide.id)}
        if instances and (not order.sop_instance_uids or not instances.isdisjoint(order.sop_instance_uids)):
            found.append(slide)
    if len(found) > 1:
        raise UsageError("the work item names more than one slide; refer to the instances of one")
    return found[0] if found else None


def describe_progress(job: Job) -> tuple[int, str]:
    """Say how far a job is: percent, and words."""
    if job.state is JobState.QUEUED:
        return 0, "queued"
    if job.stage in _BEFORE_PREDICTION:
        return 5, job.stage or "started"
    if job.stage == "predict":
        return 10 + 5 * int(16 * job.progress), "predict"
    return 95, job.stage


def web_address(settings: Settings) -> str:
    """Address of this server's web as others see it; empty if nobody can know it beforehand."""
    web = settings.web
    if web.public_url:
        return web.public_url.rstrip("/")
    host = f"[{web.host}]" if ":" in web.host else web.host
    return f"http://{host}:{web.port}" if web.port else ""
