"""``python -m benchmarks.cost_model``: seconds per slide for each encoder, into docs/performance.md.

The network takes its operations over what the device does in a second. Reading and everything else that is done per
tile, the feed, runs beside it: on a CPU on the same cores, so both add up; beside a GPU on cores of its own, so the
slower one counts. Maps, hotspots, encoding, checks and exports come after the last tile.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.figures import Figures, read_figures
from benchmarks.flops import TRANSFORMER_MEASURED, gigaflop_per_tile, is_transformer
from benchmarks.tables import replace_block, short, table
from vst_dicom.predict.presets import PRESETS

PAGE: Final = Path(__file__).parents[1] / "docs" / "performance.md"
BLOCK: Final = "cost model"

N_TILES: Final = 17_937
"""Tiles of 112 µm on 1.5 × 1.5 cm of tissue."""

_GPU_TFLOPS: Final = 350.0
"""Assumed of a GPU in half width; nothing here was measured on one."""

_GPU_CORES: Final = 16
_N_GPUS: Final = 4
_CPU_CORES: Final = 2

NEEDED: Final = ("feed_ms_per_tile", "after_ms_per_tile", "after_s", "lite0_ms_per_tile", "transformer_gflops")
"""Figures that the model is made of; the README of the benchmarks says which part measures them."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds of one slide.

    Parameters
    ----------
    seconds
        From opening it to the last file.
    bound
        What takes most of them.
    """

    seconds: float
    bound: str

    def __str__(self) -> str:
        return f"{short(self.seconds)} ({self.bound})"


def estimate(network_s: float, feed_s: float, after_s: float, *, same_cores: bool) -> Estimate:
    """Put the stages of a slide together; see the module."""
    stages = {"network": network_s, "feed": feed_s}
    together = sum(stages.values()) if same_cores else max(stages.values())
    bound = max({**stages, "after the tiles": after_s}.items(), key=lambda stage: stage[1])[0]
    return Estimate(together + after_s, bound)


def model_lines(figures: Figures) -> Iterator[str]:
    """Give the table, or what is missing for it."""
    missing = [name for name in NEEDED if name not in figures]
    if missing:
        yield f'not measured: needs {", ".join(missing)}, from `make bench ARGS="--write"`'
        return
    after_s = figures["after_s"] + N_TILES * figures["after_ms_per_tile"] / 1000
    feed_cpu_s = N_TILES * figures["feed_ms_per_tile"] / 1000
    rows = []
    for name in PRESETS:
        gigaflop = gigaflop_per_tile(name)
        on_cpu_s = N_TILES * (
            gigaflop / figures["transformer_gflops"] if is_transformer(name) else figures["lite0_ms_per_tile"] / 1000
        )
        on_gpu_s = N_TILES * gigaflop / (1000 * _GPU_TFLOPS)
        rows.append(
            [
                name,
                short(gigaflop),
                str(estimate(on_cpu_s, feed_cpu_s / _CPU_CORES, after_s, same_cores=True)),
                str(estimate(on_gpu_s, feed_cpu_s / _GPU_CORES, after_s, same_cores=False)),
                str(estimate(on_gpu_s / _N_GPUS, feed_cpu_s / _GPU_CORES, after_s, same_cores=False)),
            ]
        )
    header = [
        "encoder",
        "GFLOP per tile",
        f"{_CPU_CORES} cores here, s (bound by)",
        f"one GPU, {_GPU_CORES} cores, s, not measured",
        f"{_N_GPUS} GPUs, {_GPU_CORES} cores, s, not measured",
    ]
    yield from table(header, rows)
    yield ""
    yield (
        f"- Measured here: {figures['lite0_ms_per_tile']:.3g} ms by the clock per tile of EfficientNet-lite0 in the "
        f"faster engine, {figures['transformer_gflops']:.0f} GFLOP/s of a vision transformer ({TRANSFORMER_MEASURED}, "
        f"random weights, torch, fp32); the feed {figures['feed_ms_per_tile']:.3g} ms CPU per tile; after the last "
        f"tile {figures['after_s']:.3g} s and {figures['after_ms_per_tile']:.3g} ms per tile."
    )
    yield (
        f"- Assumed: a GPU that does {_GPU_TFLOPS:.0f} TFLOP/s in half width on these networks, and cores as fast as "
        "these. `python -m benchmarks.gpu` measures it on a machine that has one."
    )


def main() -> None:
    """Compute the table from the figures that were measured last, and write it."""
    lines = list(model_lines(read_figures()))
    replace_block(PAGE, BLOCK, lines)
    print("\n".join(lines))  # noqa: T201


if __name__ == "__main__":
    main()
