"""Spacing, origin and orientation of a level, as its header says them and as practice has them (PS3.3 C.8.12.4)."""

import math
from typing import Final

from pydicom.dataset import Dataset

from vst_dicom.dicom.attributes import name_attribute, read_int, read_items, read_numbers
from vst_dicom.domain.errors import DamagedInstanceError, PixelSpacingError
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing, SlidePlane
from vst_dicom.slide.instance import InstanceFile

MAX_TILE_PX: Final = 4096
MAX_MATRIX_PX: Final = 400_000
MIN_SPACING_MM: Final = 1e-5
MAX_BASE_SPACING_MM: Final = 0.1

_DEFAULT_ORIENTATION: Final = (0.0, -1.0, 0.0, -1.0, 0.0, 0.0)
"""Label at the top in the slide coordinate system: the usual orientation (PS3.3 C.8.12.4.1.5)."""


def read_frame_size(header: Dataset) -> MatrixSize:
    """Read Rows (0028,0010) and Columns (0028,0011), within 1 to 4096."""
    return _read_size(header, "Rows", "Columns", MAX_TILE_PX)


def read_matrix_size(header: Dataset) -> MatrixSize:
    """Read Total Pixel Matrix Rows (0048,0007) and Columns (0048,0006), within 1 to 400,000."""
    return _read_size(header, "TotalPixelMatrixRows", "TotalPixelMatrixColumns", MAX_MATRIX_PX)


def read_pixel_spacing(instance: InstanceFile, size: MatrixSize) -> tuple[PixelSpacing | None, tuple[str, ...]]:
    """Read the pixel spacing of a level, and say what was tolerated to get it.

    Pixel Spacing (0028,0030) of the shared functional groups, else of the first frame, else of the top level, where
    only non-conforming writers put it; else Imaged Volume Height and Width (0048,0002), (0048,0001) over the matrix.

    Raises
    ------
    PixelSpacingError
        If a spacing is given but cannot be one.
    """
    header = instance.header
    for group in read_items(header, "SharedFunctionalGroupsSequence"):
        for measures in read_items(group, "PixelMeasuresSequence"):
            spacing = read_numbers(measures, "PixelSpacing", 2)
            if spacing is not None:
                return _to_spacing(spacing, "PixelSpacing"), ()
    if instance.places is not None and instance.places.pixel_spacing is not None:
        return _to_spacing(instance.places.pixel_spacing, "PixelSpacing"), ()
    spacing = read_numbers(header, "PixelSpacing", 2)
    if spacing is not None:
        return _to_spacing(spacing, "PixelSpacing"), ("Pixel Spacing was found outside the functional groups",)
    height, width = read_numbers(header, "ImagedVolumeHeight", 1), read_numbers(header, "ImagedVolumeWidth", 1)
    if height is None or width is None:
        return None, ()
    spacing = height[0] / size.n_rows, width[0] / size.n_columns
    return _to_spacing(spacing, "ImagedVolumeHeight"), ("Pixel Spacing is missing; computed from the imaged volume",)


def check_base_spacing(spacing: PixelSpacing) -> None:
    """Hold the base level's spacing against what a slide scanner can do.

    Raises
    ------
    PixelSpacingError
        If it lies outside 0.01 to 100 µm.
    """
    for value in (spacing.row_mm, spacing.column_mm):
        if not MIN_SPACING_MM <= value <= MAX_BASE_SPACING_MM:
            msg = (
                f"a pixel spacing of {value * 1000:g} µm cannot be that of a slide "
                f"({MIN_SPACING_MM * 1000:g} to {MAX_BASE_SPACING_MM * 1000:g} µm); "
                "state the right one with --pixel-spacing-um"
            )
            raise PixelSpacingError(msg)


def read_plane(header: Dataset, spacing: PixelSpacing, z_um: float) -> tuple[SlidePlane, tuple[str, ...]]:
    """Read the place of the total pixel matrix on the slide, and say what was tolerated to get it.

    Parameters
    ----------
    header
        Of the level.
    spacing
        Of the level.
    z_um
        Height of the focal plane above the glass.

    Raises
    ------
    DamagedInstanceError
        If the orientation is no orientation.
    """
    tolerated = []
    x_mm, y_mm, missing = 0.0, 0.0, True
    for item in read_items(header, "TotalPixelMatrixOriginSequence"):
        x, y = (read_numbers(item, f"{axis}OffsetInSlideCoordinateSystem", 1) for axis in "XY")
        missing = x is None or y is None
        x_mm, y_mm = (x or (0.0,))[0], (y or (0.0,))[0]
    if missing:
        tolerated.append("The origin of the total pixel matrix is missing; 0 is taken, so places are relative")
    orientation = read_numbers(header, "ImageOrientationSlide", 6)
    if orientation is None:
        orientation = _DEFAULT_ORIENTATION
        tolerated.append("Image Orientation (Slide) is missing; 0\\-1\\0\\-1\\0\\0 is taken")
    a, b, c, d, e, f = orientation
    try:
        return SlidePlane((x_mm, y_mm, z_um / 1000), (a, b, c, d, e, f), spacing), tuple(tolerated)
    except ValueError as error:
        name = name_attribute("ImageOrientationSlide")
        msg = f"{name} or the origin of the total pixel matrix is impossible; export the slide again"
        raise DamagedInstanceError(msg) from error


def read_origin_z_um(header: Dataset) -> float:
    """Read Z Offset of the total pixel matrix, in micrometers by the standard (PS3.3 C.8.12.4.1.4); 0 if missing."""
    for item in read_items(header, "TotalPixelMatrixOriginSequence"):
        z = read_numbers(item, "ZOffsetInSlideCoordinateSystem", 1)
        if z is not None and math.isfinite(z[0]):
            return z[0]
    return 0.0


def read_plane_step_um(header: Dataset) -> float:
    """Read the distance of focal planes, Spacing Between Slices (0018,0088); 1 if missing, which keeps their order."""
    for group in read_items(header, "SharedFunctionalGroupsSequence"):
        for measures in read_items(group, "PixelMeasuresSequence"):
            step = read_numbers(measures, "SpacingBetweenSlices", 1)
            if step is not None and math.isfinite(step[0]) and step[0] > 0:
                return step[0] * 1000
    return 1.0


def _read_size(header: Dataset, rows: str, columns: str, limit: int) -> MatrixSize:
    counts = []
    for keyword in (rows, columns):
        count = read_int(header, keyword)
        if count is None or not 1 <= count <= limit:
            found = "missing" if count is None else str(count)
            msg = f"{name_attribute(keyword)} is {found}; 1 to {limit} is read. Export the slide again"
            raise DamagedInstanceError(msg)
        counts.append(count)
    return MatrixSize(*counts)


def _to_spacing(values: tuple[float, ...], keyword: str) -> PixelSpacing:
    try:
        return PixelSpacing(values[0], values[1])
    except ValueError as error:
        msg = f"{name_attribute(keyword)} is impossible; state the pixel spacing with --pixel-spacing-um"
        raise PixelSpacingError(msg) from error
