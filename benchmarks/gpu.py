"""``python -m benchmarks.gpu``: tiles per second of every preset encoder on this machine's GPUs, as a Markdown table.

Weights are random, which changes no time: only architectures are needed, nothing is fetched. Pixels come from the
host's memory, as they do from a slide; the features come back to it.
"""

import argparse
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import nn

from benchmarks.flops import gigaflop_per_tile
from vst_dicom.dicom.source import Slide
from vst_dicom.domain.engine import Precision
from vst_dicom.domain.errors import ResourceError
from vst_dicom.domain.tiles import TileBatch
from vst_dicom.predict.ahead import ahead
from vst_dicom.predict.efficientnet_lite import EfficientNetLite0
from vst_dicom.predict.encoders import parse_form
from vst_dicom.predict.engine import Engine
from vst_dicom.predict.engine_choice import EngineRequest, open_engine
from vst_dicom.predict.frozen_encoder import FrozenEncoder
from vst_dicom.predict.manifest_model import Encoder
from vst_dicom.predict.presets import PRESETS, find_preset
from vst_dicom.predict.vision_transformer import PooledTokens, VisionTransformer
from vst_dicom.slide.opening import open_slide
from vst_dicom.tiles.grid import lay_grid
from vst_dicom.tiles.sampler import sample_tiles
from vst_dicom.tiles.thumbnail import read_thumbnail
from vst_dicom.tiles.tissue import find_tissue

_HEADER = (
    "| encoder | GFLOP per tile | arithmetic | batch | network alone, tiles/s | TFLOP/s | read and network, tiles/s | "
    "share | device memory, MB |",
    "|---|---|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Case:
    """What is measured: an encoder, its arithmetic, the batch."""

    preset: str
    precision: Precision
    batch_size: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the cases asked for and print the table; 2 where there is no GPU."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=main.__doc__)
    parser.add_argument("--presets", nargs="+", default=list(PRESETS), metavar="NAME", help="; ".join(PRESETS))
    parser.add_argument("--precisions", nargs="+", choices=("fp32", "bf16", "fp16"), default=["bf16", "fp16", "fp32"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[32, 64, 128, 256], metavar="N")
    parser.add_argument("--slide", nargs="+", type=Path, metavar="FILE", help="also read the tiles of this slide")
    parser.add_argument("--seconds", type=float, default=5.0, help="time per case, after its first batches")
    parser.add_argument("--cpu", action="store_true", help="a small case on the CPU, to try this script")
    asked = parser.parse_args(arguments)
    if asked.cpu:
        cases = [Case("efficientnet_lite0", "fp32", 4)]
    elif torch.cuda.is_available():
        cases = [Case(p, a, n) for p in asked.presets for a in asked.precisions for n in asked.batch_sizes]
    else:
        print("no CUDA device: nothing was measured. --cpu tries this script.", file=sys.stderr)  # noqa: T201
        return 2
    print("\n".join([*_HEADER]), flush=True)  # noqa: T201
    for case in cases:
        print(_measure(case, asked.slide, asked.seconds, "cpu" if asked.cpu else "cuda"), flush=True)  # noqa: T201
    print(f"\n{_machine()}")  # noqa: T201
    return 0


def random_encoder(spec: Encoder) -> nn.Module:
    """Build the network of a preset, without its weights, on the device that torch makes tensors on."""
    if spec.architecture == "efficientnet_lite0":
        return EfficientNetLite0(stages=spec.pooling == "stages").eval()
    form = parse_form(spec)
    assert spec.pooling in ("class", "class+mean", "mean")  # noqa: S101
    return PooledTokens(VisionTransformer(form), form.n_prefix, spec.pooling).eval()  # type: ignore[arg-type]


def _measure(case: Case, slide_files: list[Path] | None, seconds: float, device: str) -> str:
    """One row; a case that memory does not hold says so."""
    spec = find_preset(case.preset).encoder
    giga = gigaflop_per_tile(case.preset)
    name = f"| {case.preset} | {giga:.1f} | {case.precision} | {case.batch_size}"
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    threads = 1 if device == "cpu" else None
    request = EngineRequest("torch", device, case.precision, case.batch_size, threads)  # type: ignore[arg-type]
    try:
        engine = open_engine(FrozenEncoder(spec, "random", lambda: random_encoder(spec)), request, lambda _: None)
        alone = _rate(engine, _noise(spec, case.batch_size), seconds)
    except ResourceError:
        return f"{name} | memory does not suffice | | | | |"
    if engine.facts.steps_down:
        return f"{name} | memory does not suffice | | | | |"
    whole, share = "", ""
    if slide_files:
        with open_slide(slide_files) as slide:
            rate = _rate(engine, ahead(_tiles(slide, spec, case.batch_size)), seconds)
        whole, share = f"{rate:,.1f}", f"{100 * rate / alone:.0f} %"
    memory = f"{torch.cuda.max_memory_allocated() / 1e6:,.0f}" if device == "cuda" else ""
    return f"{name} | {alone:,.1f} | {alone * giga / 1e3:.2f} | {whole} | {share} | {memory} |"


def _noise(spec: Encoder, batch_size: int) -> Iterator[TileBatch]:
    """Batches without end, made beforehand."""
    pixels = np.random.default_rng(0).integers(0, 256, (batch_size, spec.tile_px, spec.tile_px, 3), dtype=np.uint8)
    batch = TileBatch(np.arange(batch_size), pixels)
    while True:
        yield batch


def _tiles(slide: Slide, spec: Encoder, batch_size: int) -> Iterator[TileBatch]:
    """Tiles of the slide's tissue, over and over."""
    grid, _ = lay_grid(slide.levels[0], find_tissue(read_thumbnail(slide)), spec.tile_px * spec.spacing_um)
    while True:
        yield from sample_tiles(slide, grid.corners_px, grid.tile_size, tile_px=spec.tile_px, batch_size=batch_size)


def _rate(engine: Engine, batches: Iterator[TileBatch], seconds: float) -> float:
    """Tiles per second; the first batches, in which graphs are recorded, do not count."""
    stream = engine.stream(batches)
    for _ in range(3):
        next(stream)
    n_tiles, start = 0, perf_counter()
    while perf_counter() - start < seconds:
        n_tiles += len(next(stream)[0])
    return n_tiles / (perf_counter() - start)


def _machine() -> str:
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    devices = f"{', '.join(names)}, CUDA {torch.version.cuda}" if names else f"CPU, {torch.get_num_threads()} threads"
    return f"{devices}; {platform.machine()}, Python {platform.python_version()}, torch {version('torch')}"


if __name__ == "__main__":
    sys.exit(main())
