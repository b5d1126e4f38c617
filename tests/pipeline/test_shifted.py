import numpy as np

from tests.array_source import ArraySource
from tests.pipeline.brightness import BrightnessPredictor
from tests.results import full_grid
from vst_dicom.domain.expression import ExpressionTable
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.result import Hotspot
from vst_dicom.pipeline.shifted import find_near, predict_shifted

TILE = MatrixSize(224, 224)
GRID = full_grid(12, 12, TILE)
PREDICTOR = BrightnessPredictor()
SHOWN = PREDICTOR.genes[:3]


def hotspot(*cells: tuple[int, int]) -> Hotspot:
    tiles = np.array([12 * row + column for row, column in cells])
    return Hotspot(1, SHOWN[0], tiles, 5.0, 4.0, 1.0, None, 0.5, 0.1, None, 0.0, ())


def ramp() -> ArraySource:
    """Red grows by 1 every 16 pixels to the right, green downward."""
    image = np.zeros((2688, 2688, 3), dtype=np.uint8)
    image[..., 0] = np.arange(2688) // 16
    image[..., 1] = (np.arange(2688) // 16)[:, None]
    return ArraySource([image], PixelSpacing.from_um(0.5), MatrixSize(256, 256))


def first_look() -> ExpressionTable:
    values = np.zeros((len(GRID), 3), dtype=np.float32)
    values[:, 0] = GRID.cells[:, 1] * 14 + 6.5
    values[:, 1] = GRID.cells[:, 0] * 14 + 6.5
    return ExpressionTable(SHOWN, values)


def test_tiles_around_a_hotspot_are_seen_half_a_tile_further_and_others_keep_their_values() -> None:
    again = predict_shifted(ramp(), PREDICTOR, GRID, first_look(), [hotspot((2, 2))], lambda *_: None)  # type: ignore[arg-type]

    change = (again.values - first_look().values).reshape(12, 12, 3)
    np.testing.assert_allclose(change[:6, :6, :2], 7)
    assert not change[6:].any()
    assert not change[:, 6:].any()
    assert again.genes == SHOWN


def test_only_shifted_tiles_that_begin_on_the_slide_are_looked_at() -> None:
    near = find_near(GRID, [hotspot((11, 11), (0, 11))], 1, MatrixSize(11 * 224 + 112, 11 * 224 + 113))

    rows_and_columns = {tuple(cell) for cell in GRID.cells[near]}
    assert rows_and_columns == {(10, 10), (10, 11), (0, 10), (0, 11), (1, 10), (1, 11)}
