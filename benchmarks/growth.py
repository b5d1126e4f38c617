"""Cost curves: what everything but the network costs over the number of tiles and the number of genes."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from benchmarks.figures import Figures
from benchmarks.processes import run_afresh
from benchmarks.tables import short, table

_BUNDLE_GENES: Final = 33
"""Genes that the built-in bundle shows."""

_TILES: Final = (1_000, 3_000, 10_000, 30_000, 100_000)
_GENES: Final = (1, 10, 50, 250)
_TILES_OF_GENES: Final = 10_000
_AFTER: Final = ("maps", "stability", "encode", "check", "validate", "export")
_STAGES: Final = ("predict", "maps", "stability", "encode", "check", "export")


def tile_lines(figures: Figures, tiles: Sequence[int] = _TILES) -> Iterator[str]:
    """Over the number of tiles, with as many genes as the built-in bundle shows; `figures` takes what comes last."""
    yield (
        f"The whole main path on a made-up slide, {_BUNDLE_GENES} genes, with features made up instead of the network; "
        "the slide is 1.5 × as wide as its square of tissue. One run each in a fresh process, CPU time of all threads."
    )
    yield ""
    found = [run_afresh("benchmarks.grown", n_tiles, _BUNDLE_GENES, threads=None) for n_tiles in tiles]
    yield from _table(found, "n_tiles", "tiles")
    first, last = found[0], found[-1]
    ratio = (last["cpu_s"] / last["n_tiles"]) / (first["cpu_s"] / first["n_tiles"])
    seconds = [sum(each["stages"].get(stage, {"wall_s": 0})["wall_s"] for stage in _AFTER) for each in found]
    figures["after_ms_per_tile"] = 1000 * (seconds[-1] - seconds[0]) / (last["n_tiles"] - first["n_tiles"])
    figures["after_s"] = max(seconds[0] - figures["after_ms_per_tile"] * first["n_tiles"] / 1000, 0)
    growth_kb = 1000 * (last["peak_mb"] - first["peak_mb"]) / (last["n_tiles"] - first["n_tiles"])
    yield (
        f"A tile of {last['n_tiles']:,} costs {ratio:.0%} of one of {first['n_tiles']:,}; "
        f"peak memory grows by {growth_kb:.1f} kB per tile."
    )


def gene_lines(genes: Sequence[int] = _GENES, n_tiles: int = _TILES_OF_GENES) -> Iterator[str]:
    """Over the number of genes."""
    yield f"The same over the number of genes, about {n_tiles:,} tiles."
    yield ""
    found = [run_afresh("benchmarks.grown", n_tiles, n_genes, threads=None) for n_genes in genes]
    yield from _table(found, "n_genes", "genes")


def _table(found: Sequence[dict[str, Any]], key: str, title: str) -> list[str]:
    rows = [
        [
            f"{each[key]:,}",
            f"{each['side_px']:,}",
            short(1000 * each["cpu_s"] / each["n_tiles"]),
            *(short(1000 * each["stages"].get(stage, {"cpu_s": 0})["cpu_s"] / each["n_tiles"]) for stage in _STAGES),
            short(each["cpu_s"]),
            short(each["wall_s"]),
            short(each["peak_mb"]),
            short(each["result_mb"]),
        ]
        for each in found
    ]
    header = [title, "side, px", "all, CPU ms per tile", *_STAGES, "CPU s", "s by the clock", "peak memory, MB",
              "result, MB"]  # fmt: skip
    return table(header, rows)
