"""When to try again."""

import hashlib
from dataclasses import dataclass
from typing import Final

from vst_dicom.ledger.deliveries import Delivery

_JITTER: Final = 0.25
"""By how much a wait differs from its middle at most, so that many deliveries do not return in one moment."""


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """Waits that double from a first to a longest one.

    Parameters
    ----------
    first_s, longest_s
        First and longest wait, in seconds.
    """

    first_s: float = 30.0
    longest_s: float = 3600.0

    def wait_s(self, attempts: int, jitter: float = 0.5) -> float:
        """Seconds to wait after that many attempts.

        Parameters
        ----------
        attempts
            How many were made, from 1.
        jitter
            0 to 1; 0.5 gives the middle.
        """
        doublings = min(max(attempts, 1) - 1, 40)
        middle_s = min(self.first_s * 2.0**doublings, self.longest_s)
        return min(middle_s * (1 + _JITTER * (2 * jitter - 1)), self.longest_s)


def jitter(delivery: Delivery) -> float:
    """Spread deliveries evenly between 0 and 1, the same for the same attempt."""
    digest = hashlib.sha256(f"{delivery.id}/{delivery.attempts}".encode()).digest()
    return int.from_bytes(digest[:4]) / 2**32
