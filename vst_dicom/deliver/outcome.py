"""How an attempt at a delivery ended, and what a storage commitment report makes of it."""

from collections.abc import Collection
from dataclasses import dataclass, field

from vst_dicom.deliver.commitment import CommitmentReport
from vst_dicom.ledger.states import DeliveryState


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    Parameters
    ----------
    state
        WAITING: try again; SENT: everything was accepted; COMMITTED: and confirmed; PARKED: a person must act.
    reason
        Why it is not finished, for a person.
    after_s
        In how many seconds to go on; None if nothing is left to do. An attempt leaves it to its caller.
    missing
        Instances that the destination accepted but does not have: to be sent again.
    unreachable
        Whether the destination failed as a whole, not for one instance.
    asked
        Whether the destination was asked for storage commitment and will report.
    """

    state: DeliveryState
    reason: str = ""
    after_s: float | None = None
    missing: frozenset[str] = field(default=frozenset())
    unreachable: bool = False
    asked: bool = False


def judge_report(report: CommitmentReport, sop_instance_uids: Collection[str]) -> Outcome:
    """Compare a storage commitment report with what was asked for; what it leaves out counts as failed."""
    missing = frozenset(sop_instance_uids) - report.committed
    if not missing:
        return Outcome(DeliveryState.COMMITTED)
    reasons = ", ".join(sorted({f"0x{report.failed[uid]:04X}" for uid in missing if uid in report.failed}))
    reason = f"not committed: {len(missing)} of {len(sop_instance_uids)} instances ({reasons or 'left out'})"
    return Outcome(DeliveryState.WAITING, reason, missing=missing)
