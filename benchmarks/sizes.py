"""Cost over the size of a slide: the same amount of tissue on more and more glass, and one with more tissue."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.large_slide import write_large_slide
from benchmarks.processes import run_afresh
from benchmarks.tables import short, table

_SIDES_PX: Final = (10_000, 20_000, 50_000, 100_000, 200_000)
_SAME_TISSUE: Final = 0.5
"""Part of the smallest slide that is tissue; the others have as much."""

_MORE_TISSUE: Final = (100_000, 0.05)
_FRAME_PX: Final = 256


def size_lines(
    folder: Path, sides_px: Sequence[int] = _SIDES_PX, more: tuple[int, float] | None = _MORE_TISSUE
) -> Iterator[str]:
    """Send slides through the whole main path, each in a fresh process.

    Parameters
    ----------
    folder
        For the slides and results.
    sides_px
        Of square slides at 0.25 µm per pixel, the smallest first.
    more
        Side of a further slide, and the part of it that is tissue.
    """
    yield (
        "Square slides at 0.25 µm/px, one round piece of tissue, frames of 256 px, glass left out (TILED_SPARSE): the "
        "whole main path with the default engine and the built-in bundle, from opening the slide to the last file, one "
        "run each in a fresh process."
    )
    yield ""
    slides = [(side, _SAME_TISSUE * (sides_px[0] / side) ** 2) for side in sides_px]
    rows = []
    for number, (side, share) in enumerate([*slides, more] if more else slides):
        place = folder / str(number)
        write_large_slide(place / "slide", side, share, _FRAME_PX)
        found = run_afresh("benchmarks.processed", place / "slide", place / "out", threads=None)
        others = found["wall_s"] - found["stages"]["predict"] - found["stages"]["tissue"]
        rows.append(
            [
                f"{side:,}",
                f"{found['n_tiles']:,}",
                short(found["stages"]["tissue"]),
                short(found["stages"]["predict"]),
                short(others),
                short(found["wall_s"]),
                short(found["peak_mb"]),
            ]
        )
    header = ["side, px", "tiles", "tissue, s", "predict, s", "everything else, s", "all, s by the clock",
              "peak memory, MB"]  # fmt: skip
    yield from table(header, rows)
