"""What an answer to C-STORE means for the sender; STOW-RS gives its failures the same numbers."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Verdict(StrEnum):
    """What follows from an answer."""

    ACCEPTED = "accepted"
    """The peer has the instance."""

    RETRY = "retry"
    """Time, or the peer's operator, may heal it."""

    REFUSED = "refused"
    """The same bytes will be refused again."""


@dataclass(frozen=True, slots=True)
class InstanceAnswer:
    """How the peer answered for one instance.

    Parameters
    ----------
    sop_instance_uid
        Which instance.
    verdict
        What follows.
    reason
        Why, for a person; empty on success.
    """

    sop_instance_uid: str
    verdict: Verdict
    reason: str = ""


_STATUS: Final[tuple[tuple[int, int, Verdict, str], ...]] = (
    (0x0000, 0xFFFF, Verdict.ACCEPTED, ""),
    (0x0107, 0xFFFF, Verdict.ACCEPTED, "attribute list warning"),
    (0x0110, 0xFFFF, Verdict.RETRY, "processing failure"),
    (0x0111, 0xFFFF, Verdict.ACCEPTED, "already there"),
    (0x0116, 0xFFFF, Verdict.ACCEPTED, "attribute value out of range"),
    (0x0117, 0xFFFF, Verdict.REFUSED, "invalid SOP instance"),
    (0x0122, 0xFFFF, Verdict.REFUSED, "SOP class not supported"),
    (0x0124, 0xFFFF, Verdict.RETRY, "not authorized"),
    (0x0213, 0xFFFF, Verdict.RETRY, "resource limitation"),
    (0xA700, 0xFF00, Verdict.RETRY, "out of resources"),
    (0xA900, 0xFF00, Verdict.REFUSED, "data set does not match SOP class"),
    (0xB000, 0xF000, Verdict.ACCEPTED, "stored with a warning"),
    (0xC000, 0xF000, Verdict.REFUSED, "cannot understand"),
    (0x0200, 0xFF00, Verdict.REFUSED, "request not understood"),
)
"""Value, mask, verdict, meaning; first match wins. PS3.4 table B.2-1, PS3.7 annex C."""


def judge(status: int) -> tuple[Verdict, str]:
    """Verdict and meaning of a status; what no table knows may be tried again."""
    for value, mask, verdict, meaning in _STATUS:
        if status & mask == value:
            return verdict, f"{meaning} (0x{status:04X})" if meaning else ""
    return Verdict.RETRY, f"unknown status (0x{status:04X})"
