"""Markdown of figures: medians with their range, and blocks of a file that are written anew."""

import statistics
from collections.abc import Sequence
from pathlib import Path


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [f"| {' | '.join(header)} |", "|" + "---|" * len(header), *(f"| {' | '.join(row)} |" for row in rows)]


def share_text(shares: Sequence[float]) -> str:
    """Median and range of a share, as percentages."""
    return f"**{statistics.median(shares):.0%}** ({min(shares):.0%} to {max(shares):.0%})"


def times_text(ratios: Sequence[float]) -> str:
    """Median and range of a ratio, as a factor."""
    return f"**{short(statistics.median(ratios))} ×** ({short(min(ratios))} to {short(max(ratios))})"


def range_text(values: Sequence[float]) -> str:
    """Median and range of a figure."""
    return f"{short(statistics.median(values))} ({short(min(values))} to {short(max(values))})"


def short(number: float) -> str:
    """Three digits at most, no more than a measurement is worth."""
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def not_measured(need: str) -> list[str]:
    """Say that a part was left out, and why."""
    return [f"not measured: needs {need}"]


def begin_of(name: str) -> str:
    """Line with which a block begins."""
    return f"<!-- {name} -->"


def end_of(name: str) -> str:
    """Line with which a block ends."""
    return f"<!-- /{name} -->"


def replace_block(path: Path, name: str, lines: Sequence[str]) -> None:
    """Write a block of a file anew.

    Raises
    ------
    ValueError
        If the file has no such block.
    """
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(begin_of(name))
    _, end, after = rest.partition(end_of(name))
    if not begin or not end:
        msg = f"{path.name} has no block {name}"
        raise ValueError(msg)
    path.write_text("\n".join([before + begin, *lines, end + after]), encoding="utf-8")
