import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vst_dicom.domain.geometry import MatrixSize, PixelSpacing, SlidePlane

ROTATIONS = [
    (0.0, -1.0, 0.0, -1.0, 0.0, 0.0),
    (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    (0.0, 1.0, 0.0, 1.0, 0.0, 0.0),
    (math.cos(0.3), math.sin(0.3), 0.0, -math.sin(0.3), math.cos(0.3), 0.0),
]


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_spacing_refuses_what_is_not_finite_and_positive(value: float) -> None:
    with pytest.raises(ValueError, match="finite and positive"):
        PixelSpacing(value, 0.001)


def test_spacing_keeps_rows_and_columns_apart() -> None:
    spacing = PixelSpacing.from_um(0.25, 0.5)

    assert (spacing.row_mm, spacing.column_mm) == (0.00025, 0.0005)
    assert spacing.scaled(2, 4) == PixelSpacing(0.0005, 0.002)


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (-1, 5)])
def test_matrix_refuses_to_be_empty(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        MatrixSize(*size)


def test_matrix_is_covered_by_parts_that_reach_beyond_it() -> None:
    assert MatrixSize(501, 1000).divided_by(MatrixSize(250, 250)) == MatrixSize(3, 4)


def test_plane_places_pixels_by_hand() -> None:
    plane = SlidePlane((20.0, 40.0, 0.0), (0.0, -1.0, 0.0, -1.0, 0.0, 0.0), PixelSpacing(0.001, 0.002))

    positions = plane.to_slide_mm([0, 10], [0, 100])

    np.testing.assert_allclose(positions, [[20.0, 40.0, 0.0], [19.9, 39.98, 0.0]])


@pytest.mark.parametrize("orientation", [(1.0, 0, 0, 1.0, 0, 0), (2.0, 0, 0, 0, 1.0, 0), (math.nan, 0, 0, 0, 1.0, 0)])
def test_plane_refuses_directions_that_are_no_plane(orientation: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"perpendicular|finite"):
        SlidePlane((0.0, 0.0, 0.0), orientation, PixelSpacing(1, 1))  # type: ignore[arg-type]


@given(
    x=st.floats(-1e5, 1e5),
    y=st.floats(-1e5, 1e5),
    rotation=st.sampled_from(ROTATIONS),
    row_um=st.floats(0.1, 100),
    column_um=st.floats(0.1, 100),
)
def test_pixels_come_back_from_the_slide(x: float, y: float, rotation, row_um: float, column_um: float) -> None:
    plane = SlidePlane((12.0, -3.0, 0.5), rotation, PixelSpacing.from_um(row_um, column_um))

    back = plane.to_pixels(plane.to_slide_mm(x, y))

    np.testing.assert_allclose(back, [[x, y]], atol=1e-4)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 50), st.integers(0, 50), st.sampled_from(ROTATIONS))
def test_coarse_pixel_lies_at_the_middle_of_its_block(rows: int, columns: int, row: int, column: int, rotation) -> None:
    plane = SlidePlane((1.0, 2.0, 0.0), rotation, PixelSpacing.from_um(0.25, 0.4))
    coarse = plane.coarsened(MatrixSize(rows, columns))

    middle = plane.to_slide_mm(column * columns + (columns - 1) / 2, row * rows + (rows - 1) / 2)

    np.testing.assert_allclose(coarse.to_slide_mm(column, row), middle, atol=1e-9)
