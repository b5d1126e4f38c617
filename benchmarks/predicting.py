"""Predicting: all that happens from the file to the prediction, against the network alone, for each engine."""

import statistics
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.figures import Figures
from benchmarks.measure import Pair, measure_pair
from benchmarks.tables import share_text, short, table
from vst_dicom.dicom.source import Slide
from vst_dicom.domain.engine import EngineName
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.tiles import TileBatch, TileGrid
from vst_dicom.predict.bundle import load_bundle
from vst_dicom.predict.engine import embed
from vst_dicom.predict.openvino_library import has_openvino
from vst_dicom.predict.predictor import Predictor
from vst_dicom.simulate.writing import SlideRecipe, write_simulated_slide
from vst_dicom.slide.opening import open_slide
from vst_dicom.tiles.grid import lay_grid
from vst_dicom.tiles.quality import QualityRecorder
from vst_dicom.tiles.sampler import sample_tiles
from vst_dicom.tiles.thumbnail import read_thumbnail
from vst_dicom.tiles.tissue import find_tissue

_SPACINGS_UM: Final = (0.25, 0.5)


def predict_lines(folder: Path, rounds: int, side_um: float, figures: Figures, n_tiles: int = 256) -> Iterator[str]:
    """Measure each engine on slides at two scales that have no other level.

    Parameters
    ----------
    folder
        For the slides.
    rounds
        How often both sides are measured, in turn.
    side_um
        Of the slides.
    figures
        Takes what the cost model needs: of the finer slide, and of the faster engine.
    n_tiles
        How many tiles are predicted at most; half as many by torch, which takes several times as long.
    """
    yield (
        "Reading, quality, appearance, network, context and heads on a slide that has its base level alone, against "
        "the network on tiles in memory. The default number of threads on both sides; a share by the clock says how "
        "well the rest hides behind the network, one by CPU time how little there is of it."
    )
    yield ""
    engines: list[EngineName] = ["openvino", "torch"] if has_openvino() else ["torch"]
    rows = []
    for engine in engines:
        predictor = Predictor(load_bundle(), engine=engine, device="cpu")
        for spacing_um in _SPACINGS_UM:
            with open_slide([_base_level(folder, spacing_um, side_um)]) as slide:
                pair = _measure(slide, predictor, rounds, n_tiles if engine == "openvino" else n_tiles // 2)
            network_ms, all_ms = pair.per_unit_ms()
            if spacing_um == _SPACINGS_UM[0]:
                by_clock_ms = 1000 * statistics.median(pair.limit_wall_s) / pair.units
                figures["lite0_ms_per_tile"] = min(by_clock_ms, figures.get("lite0_ms_per_tile", by_clock_ms))
                figures["feed_ms_per_tile"] = min(all_ms - network_ms, figures.get("feed_ms_per_tile", all_ms))
            rows.append(
                [
                    f"{engine}, {predictor.engine.precision}",
                    f"{spacing_um} µm",
                    short(network_ms),
                    short(all_ms),
                    share_text(pair.wall_shares),
                    share_text(pair.shares),
                ]
            )
    header = ["engine", "slide at", "network, CPU ms per tile", "all, CPU ms per tile", "share by the clock",
              "share by CPU time"]  # fmt: skip
    yield from table(header, rows)
    if not has_openvino():
        yield "- openvino: not measured: needs openvino, see the extra `openvino`"


def _base_level(folder: Path, spacing_um: float, side_um: float) -> Path:
    place, side_px = folder / f"predict-{spacing_um}", round(side_um / spacing_um)
    if not place.exists():
        recipe = SlideRecipe(MatrixSize(side_px, side_px), PixelSpacing.from_um(spacing_um), seed=1)
        write_simulated_slide(recipe, place, now=datetime(2026, 1, 1, tzinfo=UTC))
    return place / "slide" / "level-0.dcm"


def _measure(slide: Slide, predictor: Predictor, rounds: int, n_tiles: int) -> Pair:
    grid, fraction = lay_grid(slide.levels[0], find_tissue(read_thumbnail(slide)))
    few = TileGrid(grid.tile_size, grid.size, grid.cells[:n_tiles])
    size = predictor.engine.batch_size
    in_memory = [
        TileBatch(batch.indices, np.array(batch.images))
        for batch in sample_tiles(slide, few.corners_px, few.tile_size, batch_size=size)
    ]

    def network() -> None:
        embed(predictor.engine, in_memory, len(few))

    def everything() -> None:
        recorder = QualityRecorder(len(few))
        batches = sample_tiles(slide, few.corners_px, few.tile_size, batch_size=size)
        predictor.predict(recorder.watch(batches), few)
        recorder.quality(fraction[: len(few)])

    return measure_pair("predict", "the network alone", network, everything, len(few), "tile", rounds)
