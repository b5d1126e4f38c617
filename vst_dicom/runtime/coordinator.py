"""From received instances to jobs: group, wait until a slide is whole, decide, and write the job.

One pass does what is due and can be killed anywhere: each series is grouped in one transaction, each slide decided in
one, and the job is written with the slide's state. Files are read outside of transactions, so that the receiver never
waits for them; what came meanwhile is noticed, and left for the next pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from vst_dicom.config import Settings
from vst_dicom.dicom.procedure_step import OBJECTS_NOT_SUPPORTED
from vst_dicom.dicom.uids import derive_device_uid
from vst_dicom.domain.errors import BundleError, InputError, ResourceError, UsageError
from vst_dicom.ledger.coarse_jobs import coarse_key, create_coarse
from vst_dicom.ledger.decisions import What, record_decision
from vst_dicom.ledger.jobs import create_job, move_job, read_job
from vst_dicom.ledger.slides import (
    Slide,
    SpooledInstance,
    change_slide,
    latest_job_key,
    list_due_slides,
    list_series_instances,
    list_slide_instances,
    list_ungrouped_series,
    read_slide,
    store_sha256,
)
from vst_dicom.ledger.states import JobState, SlideState
from vst_dicom.ledger.workitems import Workitem, change_workitem, list_claims
from vst_dicom.predict.bundle import list_bundles, read_identity
from vst_dicom.runtime.considering import (
    Consideration,
    consider,
    current_revisions,
    read_site_rules,
    unreadable,
)
from vst_dicom.runtime.ordered_work import read_order
from vst_dicom.runtime.regrouping import regroup_series
from vst_dicom.runtime.spooled_headers import SpooledHeaders
from vst_dicom.runtime.workitems import cancel
from vst_dicom.study.content import job_key
from vst_dicom.study.selection import Selection

_MOST_PER_PASS: Final = 200
"""Series and slides of one pass; the next pass takes the others."""

_LOOK_AGAIN: Final = timedelta(seconds=60)
"""When a slide is looked at again whose files or bundle could not be read."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Work:
    """A job to be made."""

    key: str
    instance_ids: tuple[int, ...]
    bundle: str
    selection: Selection
    destinations: tuple[str, ...]
    order: Workitem | None


def coordinate(database: Engine, settings: Settings, now: datetime) -> int:
    """Make one pass, see `Coordinator.coordinate`; a process that makes many keeps a `Coordinator`."""
    return Coordinator(database, settings).coordinate(now)


class Coordinator:
    """Groups instances, decides about slides, and writes jobs. Any number may run at once.

    Parameters
    ----------
    database, settings
        Where everything stands, and how the site wants it.
    bundle_sha256
        Answers the hash of a bundle's manifest by the bundle's name; raises `BundleError`. Reads the manifest if None.
    own_device_uids
        Answers the Device UIDs of all models that this product runs; those installed if None.

    Raises
    ------
    UsageError
        If the rules cannot be read or name an unknown destination.
    """

    def __init__(
        self,
        database: Engine,
        settings: Settings,
        *,
        bundle_sha256: Callable[[str], str] | None = None,
        own_device_uids: Callable[[], frozenset[str]] | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._bundle_sha256 = bundle_sha256 or _installed_bundle_sha256
        self._own_device_uids = own_device_uids or installed_device_uids
        self._headers = SpooledHeaders(settings.spool)
        self._rules_stamp = _stamp(settings.study.rules)
        self._rules = read_site_rules(settings)
        self._broken: dict[tuple[str, str], datetime] = {}

    def coordinate(self, now: datetime) -> int:
        """Do what is due.

        Parameters
        ----------
        now
            The time, UTC.

        Returns
        -------
        int
            How many slides and results were written; 0 if there was nothing to do. With more than 200 series or slides
            due, the next pass goes on.
        """
        self._refresh_rules()
        with self._database.begin() as connection:
            series = list_ungrouped_series(connection, _MOST_PER_PASS)
            due = list_due_slides(connection, now, _MOST_PER_PASS)
        own_device_uids = self._own_device_uids() if series else frozenset()
        n_changes = 0
        for one in dict.fromkeys(series + [(slide.study_instance_uid, slide.series_instance_uid) for slide in due]):
            n_changes += self._guarded(one, now, partial(self._group, one, own_device_uids, now))
        if n_changes:
            with self._database.begin() as connection:
                due = list_due_slides(connection, now, _MOST_PER_PASS)
        for slide in due:
            one = slide.study_instance_uid, slide.series_instance_uid
            n_changes += self._guarded(one, now, partial(self._decide, slide.id, now))
        return n_changes

    def _guarded(self, series: tuple[str, str], now: datetime, step: Callable[[], int]) -> int:
        """Keep one series that breaks us from stopping all others; the database's failures concern all."""
        if self._broken.get(series, now) > now:
            return 0
        try:
            return step()
        except SQLAlchemyError:
            raise
        except Exception:
            _log.exception("series broke the coordinator", study_instance_uid=series[0], series_instance_uid=series[1])
            self._broken = {one: until for one, until in self._broken.items() if until > now}
            self._broken[series] = now + _LOOK_AGAIN
            return 0

    def _refresh_rules(self) -> None:
        """Read changed rules; if they are wrong, the earlier ones stay in force."""
        stamp = _stamp(self._settings.study.rules)
        if stamp == self._rules_stamp:
            return
        self._rules_stamp = stamp
        try:
            self._rules = read_site_rules(self._settings)
        except UsageError as error:
            _log.error("changed rules are refused; the earlier ones stay in force", problem=str(error))
        else:
            _log.info("rules were read", n_rules=len(self._rules.rule))

    def _group(self, series: tuple[str, str], own_device_uids: frozenset[str], now: datetime) -> int:
        with self._database.begin() as connection:
            rows = list_series_instances(connection, *series)
        facts = {row.id: self._headers.facts(row) for row in rows}
        quiet = timedelta(seconds=self._settings.study.quiet_s)
        with self._database.begin() as connection:
            return regroup_series(connection, series, facts, own_device_uids, now=now, quiet=quiet)

    def _decide(self, slide_id: int, now: datetime) -> int:
        with self._database.begin() as connection:
            slide = read_slide(connection, slide_id)
            rows = list_slide_instances(connection, slide_id)
            claims = list_claims(connection, slide_id)
        if slide is None or slide.due_at is None or slide.due_at > now:
            return 0
        found = consider(current_revisions(rows), self._headers, self._rules, asked=slide.run_now)
        work = None
        if found.selection is not None and found.volumes:
            try:
                order = next(iter(claims), None)
                work = self._plan(slide, found.volumes, _as_ordered(found.selection, order), order)
            except (InputError, BundleError, ResourceError) as error:
                found = unreadable(str(error))
        with self._database.begin() as connection:
            fresh = read_slide(connection, slide_id, lock=True)
            same = [row.id for row in list_slide_instances(connection, slide_id)] == [row.id for row in rows]
            if fresh != slide or not same or list_claims(connection, slide_id) != claims:
                return 0
            self._carry_out(connection, slide, found, work, now)
            if work is not None:
                _answer(connection, slide, work, claims, now)
            elif found.state in (SlideState.HELD, SlideState.IGNORED):
                for claim in claims:
                    cancel(connection, claim, found.reason, OBJECTS_NOT_SUPPORTED, now)
        return 1

    def _plan(
        self, slide: Slide, volumes: Sequence[SpooledInstance], selection: Selection, order: Workitem | None
    ) -> _Work:
        bundle = selection.bundle or self._settings.predict.bundle
        bundle_sha256 = self._bundle_sha256(bundle)
        where = selection.destinations
        contents = [(row.sop_instance_uid, self._hash(row)) for row in volumes]
        return _Work(
            key=job_key(slide.study_instance_uid, contents, bundle_sha256, selection.genes),
            instance_ids=tuple(row.id for row in volumes),
            bundle=bundle,
            selection=selection,
            destinations=tuple(self._settings.destinations) if where is None else where,
            order=order,
        )

    def _hash(self, row: SpooledInstance) -> str:
        sha256 = self._headers.sha256(row)
        if row.sha256 is None:
            with self._database.begin() as connection:
                store_sha256(connection, row.id, sha256)
        return sha256

    def _carry_out(
        self, connection: Connection, slide: Slide, found: Consideration, work: _Work | None, now: datetime
    ) -> None:
        """Write state, decision and job."""
        what, reason = found.what, found.reason
        if work is not None:
            reason = f"{reason}; bundle {work.bundle}, priority {work.selection.priority.name.lower()}"
            if not self._create_job(connection, slide, work, now):
                state = read_job(connection, work.key).state
                what = What.DUPLICATE
                reason = f"job {work.key[:12]} has this content and is {state}; see: vst-dicom jobs show"
        change_slide(
            connection,
            slide.id,
            state=found.state,
            reason=reason,
            run_now=slide.run_now and found.state is SlideState.COLLECTING,
            due_at=now + _LOOK_AGAIN if found.look_again else None,
        )
        if what is not What.QUEUED and (found.state, reason) == (slide.state, slide.reason):
            return
        record_decision(
            connection,
            at=now,
            study_instance_uid=slide.study_instance_uid,
            slide_id=slide.id,
            job_key=None if work is None else work.key,
            what=what,
            reason=reason,
        )
        _log.info("slide decided", slide=slide.id, study_instance_uid=slide.study_instance_uid, what=what.value)

    def _create_job(self, connection: Connection, slide: Slide, work: _Work, now: datetime) -> bool:
        """Write a job, and where the settings want it a coarse one before it; False if one of this content exists."""
        latest = latest_job_key(connection, slide.id)
        earlier = latest if latest != work.key else None
        coarse = coarse_key(work.key) if self._settings.predict.coarse_first else None
        created = create_job(
            connection,
            key=work.key,
            slide_id=slide.id,
            predecessor_key=coarse or earlier,
            instance_ids=work.instance_ids,
            bundle=work.bundle,
            genes=work.selection.genes,
            destinations=work.destinations,
            priority=work.selection.priority,
            now=now,
        )
        if created and coarse:
            create_coarse(connection, read_job(connection, work.key), earlier)
        return created


def _as_ordered(selection: Selection, order: Workitem | None) -> Selection:
    """Choose as a work item says, and where it says nothing as the rules do."""
    if order is None:
        return selection
    ordered = read_order(order.attributes)
    return replace(
        selection,
        reason=f"a work item orders it ({selection.reason})",
        bundle=ordered.bundle or selection.bundle,
        genes=ordered.genes or selection.genes,
        priority=ordered.priority,
    )


def _answer(connection: Connection, slide: Slide, work: _Work, claims: Sequence[Workitem], now: datetime) -> None:
    """Have the job perform the work item that ordered it, also one that ended in vain before; others come next."""
    if work.order is None:
        return
    change_workitem(connection, work.order, job_key=work.key)
    if read_job(connection, work.key).state in (JobState.REFUSED, JobState.PARKED, JobState.CANCELLED):
        move_job(connection, work.key, JobState.QUEUED, now=now, reason="a work item orders it again")
    if len(claims) > 1:
        change_slide(connection, slide.id, run_now=True, due_at=now)


def _installed_bundle_sha256(name: str) -> str:
    return read_identity(name).sha256


def installed_device_uids() -> frozenset[str]:
    """Device UIDs of the models that come with the product."""
    uids = set()
    for listing in list_bundles():
        if listing.manifest is not None:
            uids.add(derive_device_uid(read_identity(listing.path).sha256))
    return frozenset(uids)


def _stamp(path: Path | None) -> tuple[int, int] | None:
    """Tell whether a file has changed; None where it cannot be seen."""
    try:
        facts = path.stat() if path is not None else None
    except OSError:
        return None
    return None if facts is None else (facts.st_mtime_ns, facts.st_size)
