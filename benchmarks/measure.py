"""Paired measurements: two things in turn, in one run, and their ratio with its spread."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter, process_time

from benchmarks.tables import share_text


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
    limit_wall_s, ours_wall_s
        Seconds by the clock per round; empty where they say nothing.
    """

    stage: str
    limit_name: str
    limit_s: tuple[float, ...]
    ours_s: tuple[float, ...]
    units: int
    unit: str
    limit_wall_s: tuple[float, ...] = ()
    ours_wall_s: tuple[float, ...] = ()

    @property
    def shares(self) -> list[float]:
        """Limit over ours by CPU time, round by round."""
        return ratios(self.limit_s, self.ours_s)

    @property
    def wall_shares(self) -> list[float]:
        """Limit over ours by the clock, round by round."""
        return ratios(self.limit_wall_s, self.ours_wall_s)

    def per_unit_ms(self) -> tuple[float, float]:
        """Medians of the CPU time of the limit and of ours, in milliseconds per unit."""
        return (
            1000 * statistics.median(self.limit_s) / self.units,
            1000 * statistics.median(self.ours_s) / self.units,
        )

    def row(self) -> str:
        """One row of a Markdown table."""
        limit_ms, ours_ms = self.per_unit_ms()
        return (
            f"| {self.stage} | {self.limit_name} | {limit_ms:.3g} | {ours_ms:.3g} | ms per {self.unit} "
            f"| {share_text(self.shares)} |"
        )


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Quotients round by round: what happened to the machine in a round happened to both."""
    return [one / other for one, other in zip(above, below, strict=True)]


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
    seconds: dict[Callable[[], object], list[tuple[float, float]]] = {limit: [], ours: []}
    for _ in range(rounds):
        for work in (limit, ours):
            seconds[work].append(_seconds(work))
    (limit_s, limit_wall_s), (ours_s, ours_wall_s) = (tuple(zip(*seconds[work], strict=True)) for work in (limit, ours))
    return Pair(stage, limit_name, limit_s, ours_s, units, unit, limit_wall_s, ours_wall_s)


def _seconds(work: Callable[[], object]) -> tuple[float, float]:
    """CPU time, and time by the clock."""
    cpu, wall = process_time(), perf_counter()
    work()
    return process_time() - cpu, perf_counter() - wall
