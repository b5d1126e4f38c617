"""Slides, jobs and deliveries as the API shows them."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from vst_dicom.ledger.decisions import Decision
from vst_dicom.ledger.deliveries import NEVER, Delivery
from vst_dicom.ledger.jobs import Job
from vst_dicom.ledger.states import DeliveryState, JobState, SlideState
from vst_dicom.ledger.worklist import WorklistEntry


class JobRead(BaseModel):
    """The processing of one slide by one bundle."""

    key: str
    slide_id: int
    state: JobState
    stage: str = Field(description="What is done now; empty if it does not run")
    progress: float = Field(description="From 0 to 1 within the stage")
    reason: str = Field(description="Why it stands where it stands, for people")
    bundle: str
    genes: list[str] | None = Field(description="Genes asked for; null for all that evidence supports")
    destinations: list[str]
    priority: int = Field(description="Smaller goes first")
    attempts: int
    predecessor_key: str | None = Field(description="Job of the slide's earlier content, or its coarse one")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, job: Job) -> Self:
        """Show a job."""
        return cls(
            key=job.key,
            slide_id=job.slide_id,
            state=job.state,
            stage=job.stage,
            progress=job.progress,
            reason=job.reason,
            bundle=job.bundle,
            genes=None if job.genes is None else list(job.genes),
            destinations=list(job.destinations),
            priority=job.priority,
            attempts=job.attempts,
            predecessor_key=job.predecessor_key,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
        )


class DeliveryRead(BaseModel):
    """The delivery of one result to one destination."""

    destination: str
    state: DeliveryState
    attempts: int
    reason: str
    next_attempt_at: datetime | None = Field(description="null if nothing is left to do")

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        """Show a delivery."""
        is_open = delivery.state in (DeliveryState.WAITING, DeliveryState.SENT) and delivery.next_attempt_at < NEVER
        return cls(
            destination=delivery.destination,
            state=delivery.state,
            attempts=delivery.attempts,
            reason=delivery.reason,
            next_attempt_at=delivery.next_attempt_at if is_open else None,
        )


class SlideRead(BaseModel):
    """A slide of a received study, and all that came of it."""

    id: int
    study_instance_uid: str
    series_instance_uid: str
    state: SlideState
    reason: str = Field(description="Why it stands where it stands, for people")
    first_instance_at: datetime
    last_instance_at: datetime
    n_instances: int
    sender: str = Field(description="AE title that sent it first")
    job: JobRead | None = Field(description="Of its latest content")
    deliveries: list[DeliveryRead] = Field(description="Of that job's result")
    result: str | None = Field(description="Key of its newest result that is on disk")

    @classmethod
    def of(cls, entry: WorklistEntry) -> Self:
        """Show a slide."""
        slide = entry.slide
        return cls(
            id=slide.id,
            study_instance_uid=slide.study_instance_uid,
            series_instance_uid=slide.series_instance_uid,
            state=slide.state,
            reason=slide.reason,
            first_instance_at=slide.first_instance_at,
            last_instance_at=slide.last_instance_at,
            n_instances=entry.n_instances,
            sender=slide.reply_to_ae,
            job=None if entry.job is None else JobRead.of(entry.job),
            deliveries=[DeliveryRead.of(row) for row in entry.deliveries],
            result=entry.result_key,
        )


class DecisionRead(BaseModel):
    """What was decided about a received object, and why."""

    at: datetime
    study_instance_uid: str
    slide_id: int | None
    job_key: str | None
    what: str
    reason: str

    @classmethod
    def of(cls, decision: Decision) -> Self:
        """Show a decision."""
        return cls(
            at=decision.at,
            study_instance_uid=decision.study_instance_uid,
            slide_id=decision.slide_id,
            job_key=decision.job_key,
            what=decision.what,
            reason=decision.reason,
        )
