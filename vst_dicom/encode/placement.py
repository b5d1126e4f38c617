"""Where the pixels of an image lie on the slide, written and read back (PS3.3 C.8.12.4, C.7.6.16.2.1)."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat

from vst_dicom.domain.geometry import MatrixSize, PixelSpacing, SlidePlane
from vst_dicom.encode.objects import require

_TOLERANCE_MM: Final = 1e-6
"""A nanometer: what decimal strings of 16 characters may lose over a slide."""


def place_matrix(dataset: Dataset, size: MatrixSize, plane: SlidePlane) -> None:
    """Add the total pixel matrix, its orientation and its origin."""
    dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = size.n_rows, size.n_columns
    dataset.TotalPixelMatrixFocalPlanes = 1
    dataset.ImageOrientationSlide = [to_decimal(value) for value in plane.orientation]
    origin = Dataset()
    set_offsets(origin, plane)
    dataset.TotalPixelMatrixOriginSequence = [origin]


def set_offsets(item: Dataset, plane: SlidePlane) -> None:
    """Add the position of the first pixel's center."""
    item.XOffsetInSlideCoordinateSystem = to_decimal(plane.origin_mm[0])
    item.YOffsetInSlideCoordinateSystem = to_decimal(plane.origin_mm[1])
    item.ZOffsetInSlideCoordinateSystem = to_decimal(plane.origin_mm[2])


def pixel_measures(header: Dataset, plane: SlidePlane) -> Dataset:
    """Make the item of Pixel Measures Sequence (0028,9110).

    Parameters
    ----------
    header
        Of the slide, which may state a thickness.
    plane
        Of the image.
    """
    measures = Dataset()
    measures.PixelSpacing = [to_decimal(plane.spacing.row_mm), to_decimal(plane.spacing.column_mm)]
    thickness = _slice_thickness(header)
    if thickness is not None:
        measures.SliceThickness = to_decimal(thickness)
    return measures


def check_last_pixel(dataset: Dataset, size: MatrixSize, expected_mm: NDArray[np.float64]) -> None:
    """Compare where the center of the last pixel of a written image lies with where it should.

    Raises
    ------
    EncodingError
        If it lies elsewhere.
    """
    origin = dataset.TotalPixelMatrixOriginSequence[0]
    spacing = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    row_x, row_y, row_z, column_x, column_y, column_z = (float(cosine) for cosine in dataset.ImageOrientationSlide)
    written = SlidePlane(
        (
            float(origin.XOffsetInSlideCoordinateSystem),
            float(origin.YOffsetInSlideCoordinateSystem),
            float(origin.ZOffsetInSlideCoordinateSystem),
        ),
        (row_x, row_y, row_z, column_x, column_y, column_z),
        PixelSpacing(float(spacing[0]), float(spacing[1])),
    )
    found = written.to_slide_mm(size.n_columns - 1, size.n_rows - 1)
    require(np.allclose(found, expected_mm, rtol=0, atol=_TOLERANCE_MM), "lies elsewhere on the slide")


def _slice_thickness(header: Dataset) -> float | None:
    """Thickness of the imaged volume in millimeters, where the slide states one."""
    shared = header.get("SharedFunctionalGroupsSequence")
    measures = shared[0].get("PixelMeasuresSequence") if shared else None
    thickness = measures[0].get("SliceThickness") if measures else None
    if thickness:
        return float(thickness)
    depth_um = header.get("ImagedVolumeDepth")
    return float(depth_um) / 1000 if depth_um else None


def to_decimal(value: float) -> DSfloat:
    """Make a number a decimal string of at most 16 characters (PS3.5 6.2)."""
    return DSfloat(float(value), auto_format=True)
