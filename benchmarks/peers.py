"""A whole slide, from opening it to features in memory, beside TIAToolbox and LazySlide.

Both need versions of libraries that this product cannot have, and cannot live with each other either. So each has an
environment of its own: ``python -m benchmarks.peers --install FOLDER`` makes them, and the variable
``VST_DICOM_PEERS`` names that folder.
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.measure import ratios
from benchmarks.processes import run_afresh
from benchmarks.tables import range_text, short, table, times_text
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.predict.bundle import load_bundle
from vst_dicom.predict.openvino_library import has_openvino
from vst_dicom.simulate.writing import SlideRecipe, write_simulated_slide
from vst_dicom.slide.opening import open_slide
from vst_dicom.tiles.grid import lay_grid
from vst_dicom.tiles.thumbnail import read_thumbnail
from vst_dicom.tiles.tissue import find_tissue

PLACE: Final = "VST_DICOM_PEERS"
"""Variable that names the folder of the peers' environments."""

PEERS: Final = {"tiatoolbox": "TIAToolbox", "lazyslide": "LazySlide"}
"""Package and name of each."""

_VERSIONS: Final = Path(__file__).parent / "peer_versions"
_TORCH: Final = "torch==2.13.0"
_SPACING_UM: Final = 0.25
_LEAST_COSINE: Final = 0.9
"""Between the features of a tile on both sides, median over the tiles: readers shrink in different ways."""

_COUNTED: Final = (
    "From opening the slide to the features of all tiles in memory; starting Python, importing and loading the weights "
    "are not counted. Each side runs in a fresh process in turn, with one thread for the network, batches of at most "
    "32, the same tiles of the same DICOM slide ({n_tiles} of 112 µm, {side} px square at 0.25 µm/px, 256 px frames) "
    "and the same network (EfficientNet-lite0 with the weights of the built-in bundle). Peak memory is that of the "
    "process."
)


def peer_lines(folder: Path, rounds: int, side_px: int) -> Iterator[str]:
    """Compare CPU time per tile and peak memory, in turn, in fresh processes.

    Parameters
    ----------
    folder
        For the slide.
    rounds
        How often each side is measured.
    side_px
        Of the simulated slide.
    """
    slide, tiles, n_tiles = write_slide(folder, side_px)
    sides = {name: peer_python(name) for name in PEERS}
    costs: dict[str, list[dict[str, Any]]] = {engine: [] for engine in engines()}
    costs |= {name: [] for name, python in sides.items() if python is not None}
    for engine in engines():  # the first run of all exports the network, once for every machine
        run_afresh("benchmarks.our_side", engine, slide, tiles, folder / f"{engine}.npz")
    for _ in range(rounds):
        for name, found in costs.items():
            features = folder / f"{name}.npz"
            if name in PEERS:
                found.append(_run_peer(name, slide, tiles, features))
            else:
                found.append(run_afresh("benchmarks.our_side", name, slide, tiles, features))
    yield _COUNTED.format(n_tiles=n_tiles, side=f"{side_px:,}")
    yield ""
    yield from _rows(costs)
    for name, title in PEERS.items():
        if name in costs:
            yield f"- {title}: {_likeness(folder, next(iter(costs)), name)}"
        else:
            yield f"- {title}: not measured: needs {PLACE}, see benchmarks/peers.py"


def engines() -> tuple[str, ...]:
    """Our engines for a CPU that can be had here, openvino first."""
    return ("openvino", "torch") if has_openvino() else ("torch",)


def peer_python(name: str) -> Path | None:
    """Interpreter of a peer's environment, None where there is none."""
    place = os.environ.get(PLACE)
    python = Path(place) / name / "bin" / "python" if place else None
    return python if python is not None and python.exists() else None


def write_slide(folder: Path, side_px: int) -> tuple[Path, Path, int]:
    """Write a slide, and the corners and the mask of its tiles for both sides."""
    recipe = SlideRecipe(MatrixSize(side_px, side_px), PixelSpacing.from_um(_SPACING_UM), seed=1)
    write_simulated_slide(recipe, folder / "peers", now=datetime(2026, 1, 1, tzinfo=UTC))
    slide_folder, tiles = folder / "peers" / "slide", folder / "peers" / "tiles.npz"
    with open_slide([slide_folder]) as slide:
        grid, _ = lay_grid(slide.levels[0], find_tissue(read_thumbnail(slide)))
    np.savez(tiles, corners_px=grid.corners_px, mask=grid.mask.astype(np.uint8), spacing_um=_SPACING_UM)
    return slide_folder, tiles, len(grid)


def _run_peer(name: str, slide: Path, tiles: Path, features: Path) -> dict[str, Any]:
    python = peer_python(name)
    assert python is not None  # noqa: S101
    return run_afresh(
        "benchmarks.peer_side", name, slide / "level-0.dcm", tiles, load_bundle().encoder_file, features, python=python
    )


def _rows(costs: dict[str, list[dict[str, Any]]]) -> list[str]:
    ours = next(iter(costs))
    our_rates = [each["n_tiles"] / each["cpu_s"] for each in costs[ours]]
    our_memory = [each["peak_mb"] for each in costs[ours]]
    rows = []
    for name, found in costs.items():
        rates = [each["n_tiles"] / each["cpu_s"] for each in found]
        memory = [each["peak_mb"] for each in found]
        title = f"{PEERS[name]} {found[0]['version']}" if name in PEERS else f"ours, {name}"
        first = name == ours
        rows.append(
            [
                title,
                range_text([1000 * each["cpu_s"] / each["n_tiles"] for each in found]),
                range_text(rates),
                short(statistics.median(memory)),
                "" if first else times_text(ratios(our_rates, rates)),
                "" if first else f"{statistics.median(ratios(our_memory, memory)):.0%}",
            ]
        )
    header = [
        "",
        "CPU ms per tile",
        "tiles per CPU second",
        "peak memory, MB",
        f"ours, {ours} / it",
        "our memory of its",
    ]
    return table(header, rows)


def _likeness(folder: Path, ours: str, peer: str) -> str:
    """Make sure that both sides did the same work on the same tiles, and say how alike the features are."""
    one, other = (np.load(folder / f"{name}.npz") for name in (ours, peer))
    row_of = {tuple(corner): row for row, corner in enumerate(one["corners_px"].tolist())}
    if set(row_of) != set(map(tuple, other["corners_px"].tolist())):
        msg = f"{peer} took other tiles"
        raise AssertionError(msg)
    mine = one["features"][[row_of[tuple(corner)] for corner in other["corners_px"].tolist()]]
    theirs = other["features"]
    lengths = np.linalg.norm(mine, axis=1) * np.linalg.norm(theirs, axis=1)
    cosine = float(np.median((mine * theirs).sum(axis=1) / lengths))
    if cosine < _LEAST_COSINE:
        msg = f"{peer} computes something else: cosine {cosine:.3f}"
        raise AssertionError(msg)
    return f"the same {len(theirs)} tiles; cosine of its features with ours {cosine:.4f} (median)"


def install(place: Path) -> None:
    """Make the environments of the peers."""
    for name in PEERS:
        python = place / name / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place / name)], check=True)  # noqa: S603
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, _TORCH], check=True)  # noqa: S603
        subprocess.run([*pip, "--no-deps", "-r", str(_VERSIONS / f"{name}.txt")], check=True)  # noqa: S603


def main() -> None:
    """Make the environments of the peers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=main.__doc__)
    parser.add_argument("--install", type=Path, required=True, metavar="FOLDER", help="where the environments go")
    place = parser.parse_args().install.absolute()
    install(place)
    print(f"export {PLACE}={place}")  # noqa: T201


if __name__ == "__main__":
    main()
