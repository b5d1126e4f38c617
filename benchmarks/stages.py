"""The stages of the main path on a simulated slide."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Pair, measure_pair
from vst_dicom.dicom.source import Slide
from vst_dicom.domain.expression import ExpressionTable, Gene, GeneStatus, PanelGene
from vst_dicom.domain.forms import Encoding
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.result import BundleIdentity, SlideResult
from vst_dicom.domain.tiles import TileGrid, TileQuality
from vst_dicom.encode.map_values import LinearMapping, ValueRange, store_whole_numbers
from vst_dicom.encode.parametric_map import parametric_map_objects
from vst_dicom.encode.writing import write_dicom
from vst_dicom.predict.bundle import load_bundle
from vst_dicom.predict.engine import embed
from vst_dicom.predict.predictor import Predictor
from vst_dicom.simulate.writing import SlideRecipe, write_simulated_slide
from vst_dicom.slide.opening import open_slide
from vst_dicom.tiles.grid import lay_grid
from vst_dicom.tiles.sampler import frames_under, plan_reading, sample_tiles
from vst_dicom.tiles.thumbnail import read_thumbnail
from vst_dicom.tiles.tissue import find_tissue

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def measure_stages(folder: Path, side_px: int, rounds: int) -> Iterator[Pair]:
    """Measure reading at two scales, predicting and encoding."""
    for spacing_um in (0.25, 0.5):
        recipe = SlideRecipe(MatrixSize(side_px, side_px), PixelSpacing.from_um(spacing_um), seed=1)
        written = write_simulated_slide(recipe, folder / f"slide-{spacing_um}", now=NOW)
        base_only = [path for path in written.instances if path.name == "level-0.dcm"]
        with open_slide(base_only) as slide:
            yield _measure_reading(slide, f"read tiles at 0.5 µm from {spacing_um} µm", rounds)
    with open_slide([folder / "slide-0.5" / "slide"]) as slide:
        yield _measure_predicting(slide, rounds)
        yield from _measure_encoding(slide, folder, rounds)


def _grid_of(slide: Slide) -> TileGrid:
    thumbnail = read_thumbnail(slide)
    return lay_grid(slide.levels[0], find_tissue(thumbnail))[0]


def _measure_reading(slide: Slide, stage: str, rounds: int) -> Pair:
    """Against decoding each frame that a tile touches once, at the scale that is read, and nothing else."""
    grid = _grid_of(slide)
    plan = plan_reading(slide.levels, grid.tile_size)
    corners = np.rint(grid.corners_px / plan.base_px).astype(int)
    needed = {frame for x, y in corners.tolist() for frame in frames_under(plan, x, y)}

    def limit() -> None:
        for row, column in sorted(needed):
            slide.read_frame(plan.level.index, row, column, plan.reduce)

    def ours() -> None:
        for _ in sample_tiles(slide, grid.corners_px, grid.tile_size, threads=1):
            pass

    return measure_pair(stage, "decode each needed frame once", limit, ours, len(grid), "tile", rounds)


def _measure_predicting(slide: Slide, rounds: int) -> Pair:
    """Against the network alone, on tiles that already lie in memory."""
    predictor = Predictor(load_bundle(), device="cpu")
    grid = _grid_of(slide)
    few = TileGrid(grid.tile_size, grid.size, grid.cells[:128])
    batches = list(sample_tiles(slide, few.corners_px, few.tile_size))

    def limit() -> None:
        embed(predictor.engine, batches, len(few))

    def ours() -> None:
        predictor.predict(sample_tiles(slide, few.corners_px, few.tile_size), few)

    return measure_pair("read and predict", "the network alone", limit, ours, len(few), "tile", rounds)


def _measure_encoding(slide: Slide, folder: Path, rounds: int) -> Iterator[Pair]:
    """250 genes on 350 x 350 tiles, against writing the transposed array: as it is, and of the numbers stored."""
    n_rows = n_columns = 350
    cells = np.stack(np.divmod(np.arange(n_rows * n_columns), n_columns), axis=1).astype(np.int32)
    grid = TileGrid(MatrixSize(224, 224), MatrixSize(n_rows, n_columns), cells)
    values = np.random.default_rng(0).normal(2, 1, (len(grid), 250)).astype(np.float32)
    genes = tuple(
        PanelGene(Gene(f"G{number}"), GeneStatus.EXPLORATORY, "made up", 0.5, None, "section", 4)
        for number in range(250)
    )
    zeros, ones = np.zeros(len(grid), np.bool_), np.ones(len(grid), np.float32)
    result = SlideResult(
        "0" * 64, NOW, grid, TileQuality(ones, ones, zeros, zeros), ExpressionTable(genes, values), (),
        BundleIdentity("bench", "1", "0" * 64, "made up"), {}, (),
    )  # fmt: skip

    def write(array: NDArray[np.generic]) -> None:
        with (folder / "plain.bin").open("wb") as file:
            np.ascontiguousarray(array.T).tofile(file)

    def ours() -> None:
        (written,) = parametric_map_objects(slide.source, result, Encoding())
        write_dicom(written.encode(), folder / "map.dcm", written.transfer_syntax_uid)

    stored = store_whole_numbers(values, grid, LinearMapping.over(ValueRange.of(values)))
    by_tile = np.ascontiguousarray(stored.reshape(250, -1).T)
    stage = "encode and write 250 maps of 350 × 350"
    for array, name in ((values, "float32 values"), (by_tile, "stored 16-bit numbers")):
        yield measure_pair(stage, f"write the transposed {name}", partial(write, array), ours, 250, "gene", rounds)
