import numpy as np
import pytest

from tests.results import full_grid, good_quality, make_gene
from vst_dicom.domain.errors import InputError, UnfamiliarTissueError
from vst_dicom.domain.expression import ExpressionTable
from vst_dicom.domain.tiles import TileQuality
from vst_dicom.pipeline.masking import mask_untrusted
from vst_dicom.predict.predictor import Prediction

GENES = (make_gene("A"), make_gene("B"))
GRID = full_grid(2, 5)


def prediction(distance: list[float] | None) -> Prediction:
    values = np.arange(20, dtype=np.float32).reshape(10, 2)
    measured = None if distance is None else np.array(distance, np.float32)
    return Prediction(ExpressionTable(GENES, values), measured, values + 100)


def blurred(*tiles: int) -> TileQuality:
    quality = good_quality(10)
    quality.blurred[list(tiles)] = True
    return quality


def test_tiles_beyond_the_limit_leave_every_array_together() -> None:
    trusted = mask_untrusted(GRID, good_quality(10), prediction([0.5] * 3 + [1.01] + [1.0] * 6), 0.2)

    assert trusted.masked_cells.tolist() == [[0, 3]]
    assert len(trusted.grid) == len(trusted.quality.sharpness) == 9
    assert trusted.grid.size == GRID.size
    assert trusted.grid.cells[3].tolist() == [0, 4]
    assert trusted.prediction.expression.values[3].tolist() == [8, 9]
    assert trusted.prediction.distance is not None
    assert trusted.prediction.distance.max() <= 1
    assert trusted.warnings == (
        "1 of 10 tiles have no values: 1 unlike the training tissue in color, sharpness or content, "
        "0 more out of focus",
    )


def test_tiles_out_of_focus_are_masked_too_and_counted_once() -> None:
    trusted = mask_untrusted(GRID, blurred(0, 3), prediction([0.5] * 3 + [2] + [0.5] * 6), 0.2)

    assert trusted.masked_cells.tolist() == [[0, 0], [0, 3]]
    assert "1 unlike the training tissue in color, sharpness or content, 1 more out of focus" in trusted.warnings[0]


@pytest.mark.parametrize(("n_unfamiliar", "n_blurred"), [(3, 0), (0, 3), (2, 1)])
def test_a_slide_with_more_than_the_allowed_part_is_refused(n_unfamiliar: int, n_blurred: int) -> None:
    distance = [2.0] * n_unfamiliar + [0.5] * (10 - n_unfamiliar)

    with pytest.raises(UnfamiliarTissueError, match=r"3 of 10 tissue tiles cannot be trusted.*more than the 20%"):
        mask_untrusted(GRID, blurred(*range(9, 9 - n_blurred, -1)), prediction(distance), 0.2)


def test_exactly_the_allowed_part_is_masked_and_not_refused() -> None:
    trusted = mask_untrusted(GRID, good_quality(10), prediction([2.0] * 2 + [0.5] * 8), 0.2)

    assert len(trusted.masked_cells) == 2


def test_a_slide_where_nothing_is_masked_has_no_warning() -> None:
    trusted = mask_untrusted(GRID, good_quality(10), prediction([0.5] * 10), 0.2)

    assert trusted.warnings == ()
    assert trusted.masked_cells.shape == (0, 2)


def test_a_bundle_that_cannot_tell_masks_nothing_and_says_so() -> None:
    trusted = mask_untrusted(GRID, blurred(*range(10)), prediction(None), None)

    assert len(trusted.grid) == 10
    assert trusted.prediction.distance is None
    assert trusted.warnings == (
        "this bundle cannot tell unfamiliar tissue: nothing was masked, whatever the slide shows",
    )


def test_half_widths_follow_the_chosen_genes() -> None:
    trusted = mask_untrusted(GRID, good_quality(10), prediction([2.0] + [0.5] * 9), 0.2)

    chosen = trusted.half_width_of((GENES[1],))

    assert chosen is not None
    assert chosen.ravel().tolist() == list(range(103, 121, 2))


def test_the_sender_is_told_to_act() -> None:
    assert issubclass(UnfamiliarTissueError, InputError)
    assert UnfamiliarTissueError.code == "input-unfamiliar"
    assert not UnfamiliarTissueError.retryable
