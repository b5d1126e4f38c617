"""Paired measurements: the limit and ours in turn, in one process."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from time import process_time


@dataclass(frozen=True, slots=True)
class Pair:
    """CPU seconds of the limit and of ours, one per round.

    Parameters
    ----------
    stage
        What was measured.
    limit_name
        What the limit is.
    limit_s, ours_s
        CPU seconds per round.
    units, unit
        How much was done in a round.
    """

    stage: str
    limit_name: str
    limit_s: tuple[float, ...]
    ours_s: tuple[float, ...]
    units: int
    unit: str

    def row(self) -> str:
        """One row of a Markdown table."""
        shares = [limit / ours for limit, ours in zip(self.limit_s, self.ours_s, strict=True)]
        limit_ms, ours_ms = (1000 * statistics.median(each) / self.units for each in (self.limit_s, self.ours_s))
        share = f"**{statistics.median(shares):.0%}** ({min(shares):.0%} to {max(shares):.0%})"
        return f"| {self.stage} | {self.limit_name} | {limit_ms:.3g} | {ours_ms:.3g} | ms per {self.unit} | {share} |"


def measure_pair(
    stage: str,
    limit_name: str,
    limit: Callable[[], object],
    ours: Callable[[], object],
    units: int,
    unit: str,
    rounds: int,
) -> Pair:
    """Run both once unmeasured, then in turn, and take CPU time of the whole process, all threads."""
    limit()
    ours()
    limit_s, ours_s = [], []
    for _ in range(rounds):
        limit_s.append(_cpu_seconds(limit))
        ours_s.append(_cpu_seconds(ours))
    return Pair(stage, limit_name, tuple(limit_s), tuple(ours_s), units, unit)


def _cpu_seconds(work: Callable[[], object]) -> float:
    start = process_time()
    work()
    return process_time() - start
