"""Routes of the worklist: which studies and slides came, and where each stands."""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import Connection

from vst_dicom.domain.errors import ConflictError, NotFoundError
from vst_dicom.ledger.decisions import find_decisions
from vst_dicom.ledger.slides import list_slide_jobs
from vst_dicom.ledger.states import JobState, SlideState
from vst_dicom.ledger.worklist import StudySummary, WorklistEntry, list_entries, list_study_summaries, read_entries
from vst_dicom.runtime.orders import run_slides_now
from vst_dicom.service.addresses import API
from vst_dicom.service.holdings import Changing, Limit, Now, Offset, Reading, SlideId
from vst_dicom.service.worklist_models import DecisionRead, SlideRead

router: Final = APIRouter(prefix=API, tags=["Slides"])

_MOST_DECISIONS: Final = 200


class Slides(BaseModel):
    """A page of slides."""

    slides: list[SlideRead]
    total: int


class SlideDetail(SlideRead):
    """A slide with its history."""

    job_keys: list[str]
    """Of all its jobs, the oldest first."""
    decisions: list[DecisionRead]
    """About it, and about its study as a whole, the newest first."""


class Studies(BaseModel):
    """A page of studies."""

    studies: list[StudySummary]
    total: int


@router.get("/studies")
def list_studies(connection: Reading, limit: Limit = 100, offset: Offset = 0) -> Studies:
    """List studies of which slides came, those with the latest instances first."""
    found, total = list_study_summaries(connection, limit=limit, offset=offset)
    return Studies(studies=found, total=total)


@router.get("/slides")
def list_slides(
    connection: Reading,
    limit: Limit = 100,
    offset: Offset = 0,
    state: Annotated[list[SlideState] | None, Query(description="Only slides in these states")] = None,
    job_state: Annotated[
        list[JobState] | None, Query(description="Only slides whose latest job is in these states")
    ] = None,
    search: Annotated[
        str, Query(pattern=r"^[0-9.]{0,64}$", description="How the UID of the study or series begins")
    ] = "",
) -> Slides:
    """List slides, those with the latest instances first."""
    page, total = list_entries(
        connection, states=state or SlideState, job_states=job_state or (), search=search, limit=limit, offset=offset
    )
    return Slides(slides=[SlideRead.of(entry) for entry in page], total=total)


@router.get("/slides/{slide_id}")
def read_slide(slide_id: SlideId, connection: Reading) -> SlideDetail:
    """Show a slide, its jobs, and what was decided about it and why."""
    entry = _find(connection, slide_id)
    decisions, _ = find_decisions(
        connection,
        study_instance_uid=entry.slide.study_instance_uid,
        slide_id=slide_id,
        limit=_MOST_DECISIONS,
    )
    return SlideDetail(
        **dict(SlideRead.of(entry)),
        job_keys=[job.key for job in list_slide_jobs(connection, slide_id)],
        decisions=[DecisionRead.of(decision) for decision in decisions],
    )


@router.post("/slides/{slide_id}/run", status_code=HTTPStatus.ACCEPTED)
def run_slide(slide_id: SlideId, connection: Changing, now: Now) -> SlideRead:
    """Process a slide without waiting, also where a rule would hold or ignore it.

    What is missing of a divided image is still waited for, and stains other than H&E stay held.
    """
    entry = _find(connection, slide_id)
    if not entry.n_instances:
        raise ConflictError("the slide has no instances any more; they belong to another slide of the series")
    run_slides_now(connection, [entry.slide], now)
    return SlideRead.of(_find(connection, slide_id))


def _find(connection: Connection, slide_id: int) -> WorklistEntry:
    found = read_entries(connection, [slide_id])
    if not found:
        raise NotFoundError("there is no such slide")
    return found[0]
