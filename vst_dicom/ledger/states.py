"""States and the transitions between them."""

from enum import StrEnum
from typing import Final


class SlideState(StrEnum):
    """Where a slide of a received study stands."""

    COLLECTING = "collecting"
    """Instances still arrive, or the slide is not whole; the reason says what is missing."""

    HELD = "held"
    """Whole, but not processed, for a reason that a person may change: stain, rule, spacing."""

    IGNORED = "ignored"
    """Nothing to do, on purpose: own result, duplicate, excluded by a rule."""

    QUEUED = "queued"
    """A job exists for its present content."""


class JobState(StrEnum):
    """Where the processing of one slide by one bundle stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    """The slide cannot be processed; the sender must act."""

    PARKED = "parked"
    """Failed too often, or killed its worker too often; waits for a person."""

    CANCELLED = "cancelled"


JOB_TRANSITIONS: Final[dict[JobState, frozenset[JobState]]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED, JobState.PARKED}),
    JobState.RUNNING: frozenset(
        {JobState.DONE, JobState.REFUSED, JobState.QUEUED, JobState.PARKED, JobState.CANCELLED, JobState.RUNNING}
    ),
    JobState.DONE: frozenset({JobState.QUEUED}),
    JobState.REFUSED: frozenset({JobState.QUEUED}),
    JobState.PARKED: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.CANCELLED: frozenset({JobState.QUEUED}),
}
"""From each state, where a job may go; everything else is refused."""


class DeliveryState(StrEnum):
    """Where the delivery of one result to one destination stands."""

    WAITING = "waiting"
    """Due at ``next_attempt_at``."""

    SENT = "sent"
    """Every instance was accepted; commitment or verification is not asked for, or not answered yet."""

    COMMITTED = "committed"
    """The destination has taken responsibility (PS3.4 J), or a query found every instance."""

    PARKED = "parked"
    """Refused for good, or tried for days; waits for a person."""


class ProcedureStepState(StrEnum):
    """Where a work item stands: Procedure Step State (0074,1000), PS3.4 CC.1.1."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"

    @property
    def is_final(self) -> bool:
        """Whether nothing follows it."""
        return self in (ProcedureStepState.COMPLETED, ProcedureStepState.CANCELED)
