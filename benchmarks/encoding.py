"""Encoding: 250 maps of 350 × 350 tiles, against writing the same numbers without any format."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Pair, measure_pair
from benchmarks.tables import range_text, short, table
from vst_dicom.domain.expression import ExpressionTable, Gene, GeneStatus, PanelGene
from vst_dicom.domain.forms import Encoding
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.result import BundleIdentity, SlideResult
from vst_dicom.domain.tiles import TileGrid, TileQuality
from vst_dicom.encode.map_values import LinearMapping, ValueRange, store_whole_numbers
from vst_dicom.encode.parametric_map import parametric_map_objects
from vst_dicom.encode.writing import write_dicom
from vst_dicom.simulate.writing import SlideRecipe, write_simulated_slide
from vst_dicom.slide.opening import open_slide

_NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)


def encode_lines(folder: Path, rounds: int, n_genes: int = 250, side: int = 350) -> Iterator[str]:
    """Measure against two plain writes."""
    rows = []
    for pair in measure_encoding(folder, rounds, n_genes, side):
        limit_ms, ours_ms = pair.per_unit_ms()
        times = [ours / limit for limit, ours in zip(pair.limit_s, pair.ours_s, strict=True)]
        rows.append([pair.limit_name, short(limit_ms), short(ours_ms), f"**{range_text(times)} ×**"])
    yield f"One Parametric Map of {n_genes} genes on {side} × {side} tiles, made and written."
    yield ""
    yield from table(["limit", "limit, CPU ms per gene", "ours, CPU ms per gene", "ours / limit, median (range)"], rows)


def measure_encoding(folder: Path, rounds: int, n_genes: int, side: int) -> Iterator[Pair]:
    """Against writing the transposed array: as it is, and of the numbers that are stored."""
    write_simulated_slide(
        SlideRecipe(MatrixSize(1024, 1024), PixelSpacing.from_um(0.5), seed=1), folder / "encode", now=_NOW
    )
    cells = np.stack(np.divmod(np.arange(side * side), side), axis=1).astype(np.int32)
    grid = TileGrid(MatrixSize(224, 224), MatrixSize(side, side), cells)
    values = np.random.default_rng(0).normal(2, 1, (len(grid), n_genes)).astype(np.float32)
    result = _made_up_result(grid, values)

    def write(array: NDArray[np.generic]) -> None:
        with (folder / "plain.bin").open("wb") as file:
            np.ascontiguousarray(array.T).tofile(file)

    with open_slide([folder / "encode" / "slide"]) as slide:
        source = slide.source

    def ours() -> None:
        (written,) = parametric_map_objects(source, result, Encoding())
        write_dicom(written.encode(), folder / "map.dcm", written.transfer_syntax_uid)

    stored = store_whole_numbers(values, grid, LinearMapping.over(ValueRange.of(values)))
    by_tile = np.ascontiguousarray(stored.reshape(n_genes, -1).T)
    for array, name in ((values, "float32 values"), (by_tile, "stored 16-bit numbers")):
        limit = partial(write, array)
        yield measure_pair("encode", f"write the transposed {name}", limit, ours, n_genes, "gene", rounds)


def _made_up_result(grid: TileGrid, values: NDArray[np.float32]) -> SlideResult:
    genes = tuple(
        PanelGene(Gene(f"G{number}"), GeneStatus.EXPLORATORY, "made up", 0.5, None, "section", 4)
        for number in range(values.shape[1])
    )
    zeros, ones = np.zeros(len(grid), np.bool_), np.ones(len(grid), np.float32)
    return SlideResult(
        "0" * 64, _NOW, grid, TileQuality(ones, ones, zeros, zeros), ExpressionTable(genes, values), (),
        BundleIdentity("bench", "1", "0" * 64, "made up"), {}, (),
    )  # fmt: skip
