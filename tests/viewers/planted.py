"""A slide with a result whose maps are known: values are a function of where a tile lies."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import numpy as np
import pydicom
from numpy.typing import NDArray

from tests.pipeline.brightness import BrightnessPredictor
from tests.results import make_gene
from vst_dicom.domain.expression import ExpressionTable
from vst_dicom.domain.forms import Encoding, ResultForm
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.tiles import TileBatch, TileGrid
from vst_dicom.pipeline.process_slide import Choices, Outcome, process_slide
from vst_dicom.predict.predictor import Prediction, Predictor
from vst_dicom.simulate.writing import SlideRecipe, write_simulated_slide
from vst_dicom.slide.opening import open_slide

NOW: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RECIPE: Final = SlideRecipe(MatrixSize(3000, 3900), PixelSpacing.from_um(0.5), seed=4)
HOT_PX: Final = (1900, 1500)
"""x, y of the middle of the hot place, base level."""
HOT_RADIUS_PX: Final = 520
_FORMS: Final = frozenset(
    {ResultForm.PARAMETRIC_MAP, ResultForm.SEGMENTATION, ResultForm.ANNOTATIONS, ResultForm.REPORT}
)


class PlantedPredictor(BrightnessPredictor):
    """RANDOM is high in some tiles and low in others, whatever the neighbors; SPOT is high around `HOT_PX`."""

    def __init__(self) -> None:
        super().__init__()
        self.genes = (make_gene("RANDOM"), make_gene("SPOT"))
        self.bundle.genes = self.genes
        self.bundle.manifest.distribution = SimpleNamespace(refuse_share=0.2)
        self.bundle.manifest.uncertainty = SimpleNamespace(describe=lambda: "90% intervals, nominal")

    def predict(self, batches: Iterable[TileBatch], grid: TileGrid, progress: Callable[[int, int], None]) -> Prediction:
        for batch in batches:
            progress(len(batch.indices), len(grid))
        random = np.random.default_rng(1)
        distance = random.uniform(0.1, 0.9, len(grid)).astype(np.float32)
        half_width = random.uniform(0.1, 0.5, (len(grid), 2)).astype(np.float32)
        return Prediction(ExpressionTable(self.genes, planted_values(grid)), distance, half_width)


def planted_values(grid: TileGrid) -> NDArray[np.float32]:
    """RANDOM and SPOT of each tile, shape ``(n_tiles, 2)``."""
    x, y = grid.centers_px.T
    random = np.random.default_rng(0)
    shape = (grid.size.n_rows, grid.size.n_columns)
    rows, columns = grid.cells.T
    two_levels = 2.0 + 4.0 * random.integers(0, 2, shape) + random.uniform(0, 1, shape)
    noise = random.normal(2, 0.3, shape)
    hot = np.hypot(x - HOT_PX[0], y - HOT_PX[1]) < HOT_RADIUS_PX
    return np.stack([two_levels[rows, columns], noise[rows, columns] + 4 * hot], axis=1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class PlantedResult:
    """Files of a slide and of its result.

    Parameters
    ----------
    slide
        DICOM files of the slide.
    outcome
        What the main path made of it.
    """

    slide: tuple[Path, ...]
    outcome: Outcome

    @property
    def objects(self) -> list[Path]:
        """DICOM files of the result."""
        return sorted(self.outcome.folder.glob("*.dcm"))


def plant(folder: Path) -> PlantedResult:
    """Simulate the slide and run the main path on it."""
    return make_result(folder, RECIPE, PlantedPredictor(), "RANDOM")  # type: ignore[arg-type]


def make_result(folder: Path, recipe: SlideRecipe, predictor: Predictor, overlay_gene: str) -> PlantedResult:
    """Simulate any slide, and predict by any model; one gene is painted over the slide too."""
    slide = write_simulated_slide(recipe, folder / "slide", now=NOW)
    choices = Choices(forms=_FORMS, encoding=Encoding(color_overlay_gene=overlay_gene))
    with open_slide(list(slide.instances)) as opened:
        outcome = process_slide(
            opened, predictor, folder / "result", choices=choices, now=NOW, progress=lambda *_: None
        )
    return PlantedResult(slide.instances, outcome)


def to_slide_mm(result: PlantedResult, places_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places in the slide's frame of reference, from its DICOM attributes alone (PS3.3 C.7.6.2.1.1, C.8.12.4.1.1).

    Parameters
    ----------
    result
        Whose slide.
    places_px
        x, y of base level, pixel centers at whole numbers, shape ``(n, 2)``.
    """
    header = pydicom.dcmread(result.slide[0], stop_before_pixels=True)
    origin = header.TotalPixelMatrixOriginSequence[0]
    measures = header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    row_mm, column_mm = map(float, measures.PixelSpacing)
    cosines = np.array(header.ImageOrientationSlide, dtype=float)
    start = np.array([origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem], dtype=float)
    x, y = places_px.T[:, :, None]
    return np.asarray(start + x * column_mm * cosines[:2] + y * row_mm * cosines[3:5])


def cells_without_tile(grid: TileGrid) -> NDArray[np.float64]:
    """x, y of the middle of every cell of the grid that has no tile and lies on the slide, shape ``(n, 2)``."""
    cells = np.argwhere(~grid.mask).astype(np.int32)
    centers = TileGrid(grid.tile_size, grid.size, cells).centers_px
    return centers[(centers < (RECIPE.size.n_columns - 1, RECIPE.size.n_rows - 1)).all(axis=1)]
