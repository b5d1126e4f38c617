"""``python -m benchmarks.engines``: what the built-in encoder costs on this CPU with each engine, as Markdown.

CPU time, engines in turns within one process, median and range over the rounds.
"""

import argparse
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import torch
from numpy.typing import NDArray

from vst_dicom.domain.tiles import TileBatch
from vst_dicom.predict.bundle import load_bundle
from vst_dicom.predict.engine import Engine, embed
from vst_dicom.predict.engine_choice import EngineRequest, open_engine
from vst_dicom.predict.frozen_encoder import FrozenEncoder
from vst_dicom.predict.openvino_library import cpu_model
from vst_dicom.predict.predictor import frozen_encoder
from vst_dicom.predict.torch_runner import normalization

_START = """
import sys, time
began = time.process_time()
from pathlib import Path
from vst_dicom.predict.bundle import load_bundle
from vst_dicom.predict.predictor import Predictor
bundle = load_bundle()
loaded = time.process_time()
Predictor(bundle, engine=sys.argv[1], device="cpu", threads=1, cache=Path(sys.argv[2]))
spent = time.process_time() - loaded
# getrusage would give what the process that started this one had.
peak_kb = next(line.split()[1] for line in Path("/proc/self/status").open() if line.startswith("VmHWM"))
print(loaded - began, spent, int(peak_kb) / 1024)
"""

_STARTS = (
    ("torch", "torch"),
    ("openvino, first time: load torch, export, keep", "openvino"),
    ("openvino, from the cache", "openvino"),
    ("auto, first time: measure both (graph is kept already)", "auto"),
    ("auto, as chosen before", "auto"),
)


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tiles", type=int, default=64)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        for line in (*_speed_lines(cache, asked.tiles, asked.rounds), "", *_start_lines(cache / "fresh", asked.rounds)):
            print(line, flush=True)  # noqa: T201
    machine = f"{cpu_model()}; Python {platform.python_version()}, torch {version('torch')}"
    print(f"\n{machine}, openvino {version('openvino')}")  # noqa: T201


def _speed_lines(cache: Path, n_tiles: int, rounds: int) -> list[str]:
    """Cost of a tile by engine, batch and number of threads."""
    encoder = frozen_encoder(load_bundle())
    tiles = np.random.default_rng(0).integers(0, 256, (n_tiles, 224, 224, 3), dtype=np.uint8)
    lines = [
        "| engine | threads | batch | CPU ms per tile, median (range) | wall ms per tile, least |",
        "|---|---|---|---|---|",
    ]
    for threads in (1, 2):
        torch.set_num_threads(threads)
        ways: dict[tuple[str, int], Callable[[], object]] = {}
        for batch_size in (8, 32):
            ways["torch as it was fitted", batch_size] = _eager(encoder, tiles, batch_size)
            for name in ("torch", "openvino"):
                asked = EngineRequest(name, "cpu", "fp32", batch_size, threads, cache)  # type: ignore[arg-type]
                engine = open_engine(encoder, asked, lambda _: None)
                ways[f"{name}{', folded' if name == 'torch' else ''}", batch_size] = _feed(engine, tiles, batch_size)
        for way in ways.values():
            way()
        found: dict[tuple[str, int], list[tuple[float, float]]] = {key: [] for key in ways}
        for _ in range(rounds):
            for key, way in ways.items():
                cpu, wall = process_time(), perf_counter()
                way()
                found[key].append(((process_time() - cpu) / n_tiles, (perf_counter() - wall) / n_tiles))
        for (name, batch_size), times in found.items():
            cpu_ms = sorted(1000 * cpu for cpu, _ in times)
            spread = f"{statistics.median(cpu_ms):.1f} ({cpu_ms[0]:.1f}–{cpu_ms[-1]:.1f})"
            lines.append(f"| {name} | {threads} | {batch_size} | {spread} | {1000 * min(w for _, w in times):.1f} |")
    return lines


def _eager(encoder: FrozenEncoder, tiles: NDArray[np.uint8], batch_size: int) -> Callable[[], object]:
    """Call the network as it is, in the channels_last layout."""
    network = encoder.load()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    scale, shift = normalization(encoder.spec.mean, encoder.spec.std)

    def run() -> None:
        with torch.inference_mode():
            for start in range(0, len(tiles), batch_size):
                pixels = torch.from_numpy(tiles[start : start + batch_size]).permute(0, 3, 1, 2)
                network(pixels.float().mul_(scale).add_(shift))

    return run


def _feed(engine: Engine, tiles: NDArray[np.uint8], batch_size: int) -> Callable[[], object]:
    batches = [
        TileBatch(np.arange(start, min(start + batch_size, len(tiles))), tiles[start : start + batch_size])
        for start in range(0, len(tiles), batch_size)
    ]
    return lambda: embed(engine, batches, len(tiles))


def _start_lines(cache: Path, rounds: int) -> list[str]:
    """Cost of a start, in fresh processes; those that fill the cache are measured once."""
    lines = [
        "| start of the predictor | imports and bundle, CPU s | engine, CPU s | peak memory, MB |",
        "|---|---|---|---|",
    ]
    for label, engine in _STARTS:
        n_runs = 1 if "first time" in label else rounds
        runs = []
        for _ in range(n_runs):
            command = [sys.executable, "-c", _START, engine, str(cache)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
            runs.append([float(word) for word in done.stdout.split()[-3:]])
        imports, opening, memory = (statistics.median(column) for column in zip(*runs, strict=True))
        lines.append(f"| {label} | {imports:.2f} | {opening:.2f} | {memory:.0f} |")
    return lines


if __name__ == "__main__":
    main()
