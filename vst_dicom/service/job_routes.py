"""Routes of jobs: what is processed, what waits for a person, and what to do about it."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from vst_dicom.domain.errors import NotFoundError
from vst_dicom.ledger.deliveries import list_deliveries, list_result_instances
from vst_dicom.ledger.jobs import count_jobs, list_jobs, read_job
from vst_dicom.ledger.shadows import Shadow, list_shadows, read_shadow
from vst_dicom.ledger.slides import read_slide
from vst_dicom.ledger.states import JobState
from vst_dicom.runtime.orders import cancel_jobs, deliver_again, retry_jobs, set_priority
from vst_dicom.service.addresses import API
from vst_dicom.service.holdings import Changing, JobKey, Limit, Now, Offset, Reading
from vst_dicom.service.worklist_models import DeliveryRead, JobRead

router: Final = APIRouter(prefix=f"{API}/jobs", tags=["Jobs"])


class Jobs(BaseModel):
    """A page of jobs."""

    jobs: list[JobRead]
    total: int


class ResultObject(BaseModel):
    """A DICOM object of a result."""

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    file_name: str
    sha256: str


class ShadowRead(BaseModel):
    """How a bundle that runs beside another agrees with it."""

    job_key: str
    of_key: str
    figures: dict[str, Any] | None = Field(description="null until it is done")


class JobDetail(JobRead):
    """A job with what came of it."""

    study_instance_uid: str
    series_instance_uid: str
    deliveries: list[DeliveryRead]
    objects: list[ResultObject]
    shadow: ShadowRead | None = Field(description="If the job itself runs beside another")
    shadows: list[ShadowRead] = Field(description="What runs beside it")


class Priority(BaseModel):
    """How soon a job goes."""

    model_config = ConfigDict(extra="forbid")

    priority: int = Field(ge=1, le=10_000, description="Smaller goes first: 1 stat, 50 high, 100 routine")


class DeliverAgain(BaseModel):
    """Which deliveries to try again."""

    model_config = ConfigDict(extra="forbid")

    destination: str = Field(default="", max_length=100, description="Only to this one; to each if empty")


class Tried(BaseModel):
    """What is tried again."""

    destinations: list[str]


@router.get("")
def list_all(
    connection: Reading,
    limit: Limit = 100,
    offset: Offset = 0,
    state: Annotated[list[JobState] | None, Query(description="Only jobs in these states")] = None,
) -> Jobs:
    """List jobs, the newest first."""
    states = state or list(JobState)
    found = list_jobs(connection, states=states, limit=limit, offset=offset)
    return Jobs(jobs=[JobRead.of(job) for job in found], total=count_jobs(connection, states))


@router.get("/{key}")
def read_one(key: JobKey, connection: Reading) -> JobDetail:
    """Show a job, its deliveries and the objects of its result."""
    job = read_job(connection, key)
    slide = read_slide(connection, job.slide_id)
    if slide is None:
        raise NotFoundError("there is no such job")
    shadow = read_shadow(connection, key)
    return JobDetail(
        **dict(JobRead.of(job)),
        study_instance_uid=slide.study_instance_uid,
        series_instance_uid=slide.series_instance_uid,
        deliveries=[DeliveryRead.of(row) for row in list_deliveries(connection, key)],
        objects=[
            ResultObject(
                sop_instance_uid=row.sop_instance_uid,
                sop_class_uid=row.sop_class_uid,
                series_instance_uid=row.series_instance_uid,
                file_name=row.file_name,
                sha256=row.sha256,
            )
            for row in list_result_instances(connection, key)
        ],
        shadow=None if shadow is None else _show_shadow(shadow),
        shadows=[_show_shadow(row) for row in list_shadows(connection, key)],
    )


@router.post("/{key}/retry", status_code=HTTPStatus.ACCEPTED)
def retry(key: JobKey, connection: Changing, now: Now) -> JobRead:
    """Queue a job again that is parked, refused, cancelled or done; in any other state this answers 409.

    Earlier attempts are forgiven. A job that is done keeps its result, which is sent again.
    """
    retry_jobs(connection, [read_job(connection, key)], now)
    return _show(connection, key)


@router.post("/{key}/cancel", status_code=HTTPStatus.ACCEPTED)
def cancel(key: JobKey, connection: Changing, now: Now) -> JobRead:
    """Cancel a job that has not ended; a running one stops within seconds, and nothing is sent."""
    cancel_jobs(connection, [read_job(connection, key)], now)
    return _show(connection, key)


@router.post("/{key}/deliver", status_code=HTTPStatus.ACCEPTED)
def deliver(key: JobKey, connection: Changing, now: Now, wanted: DeliverAgain | None = None) -> Tried:
    """Try deliveries again that were given up; what other destinations have is not sent again."""
    to = wanted.destination if wanted else ""
    tried = deliver_again(connection, [read_job(connection, key)], now, to=to)
    return Tried(destinations=[row.destination for row in tried])


@router.patch("/{key}")
def change(key: JobKey, wanted: Priority, connection: Changing, now: Now) -> JobRead:
    """Let a job go sooner or later; one that has ended answers 409."""
    set_priority(connection, read_job(connection, key), wanted.priority, now)
    return _show(connection, key)


def _show(connection: Connection, key: str) -> JobRead:
    return JobRead.of(read_job(connection, key))


def _show_shadow(shadow: Shadow) -> ShadowRead:
    figures = None if shadow.figures is None else dict(shadow.figures)
    return ShadowRead(job_key=shadow.job_key, of_key=shadow.of_key, figures=figures)
