"""From the images of a slide to the levels of one optical path and one focal plane."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vst_dicom.domain.errors import DamagedInstanceError, PixelSpacingError
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.pixels import Level
from vst_dicom.slide.header_geometry import check_base_spacing, read_pixel_spacing
from vst_dicom.slide.level_image import LevelImage
from vst_dicom.slide.optical_path import choose_focal_plane, choose_optical_path
from vst_dicom.slide.pixel_hash import have_same_pixels
from vst_dicom.slide.tiling import FramePlane

_SHAPE_TOLERANCE: Final = 0.02
_SPACING_TOLERANCE: Final = 0.02


@dataclass(frozen=True, eq=False)
class LevelPlane:
    """What is read of a level.

    Parameters
    ----------
    level
        Its geometry.
    image
        The image that holds it.
    plane
        The frames of the chosen optical path and focal plane.
    """

    level: Level
    image: LevelImage
    plane: FramePlane


@dataclass(frozen=True, eq=False)
class LevelChoice:
    """Levels of one optical path and one focal plane, the largest first.

    Parameters
    ----------
    levels
        What is read.
    optical_path
        Its identifier.
    focal_plane
        Its number from 0, and how many the base level has.
    spacing_assumed
        Whether the user gave the pixel spacing.
    warnings
        What was tolerated.
    """

    levels: tuple[LevelPlane, ...]
    optical_path: str
    focal_plane: tuple[int, int]
    spacing_assumed: bool
    warnings: tuple[str, ...]


def choose_levels(
    images: Sequence[LevelImage],
    *,
    pixel_spacing: PixelSpacing | None = None,
    optical_path: str | None = None,
    focal_plane: int | None = None,
) -> LevelChoice:
    """Choose optical path and focal plane, sort the levels, and settle their pixel spacing.

    Parameters
    ----------
    images
        All VOLUME images of a slide, at least one.
    pixel_spacing
        Spacing of the base level as the user states it; replaces what the slide says.
    optical_path, focal_plane
        What the user chose; None for the default.

    Raises
    ------
    UsageError
        If a choice does not exist or is necessary.
    DamagedInstanceError
        If two different images claim the same place.
    PixelSpacingError
        If the slide has no possible pixel spacing and the user gave none.
    """
    by_size: dict[MatrixSize, list[LevelImage]] = defaultdict(list)
    for image in images:
        by_size[image.size].append(image)
    sizes = sorted(by_size, key=lambda size: size.n_rows * size.n_columns, reverse=True)
    base_images = by_size[sizes[0]]
    available = dict.fromkeys(plane.optical_path for image in base_images for plane in image.planes)
    path = choose_optical_path(base_images[0].parts[0].header, tuple(available), optical_path)
    heights = sorted({plane.z_um for image in base_images for plane in image.planes if plane.optical_path == path})
    number = choose_focal_plane(heights, focal_plane)

    warnings: list[str] = []
    chosen = []
    for size in sizes:
        if not _has_shape_of(size, sizes[0]):
            warnings.append(
                f"An image of {size.n_rows} x {size.n_columns} has another shape and is not used as a level"
            )
            continue
        found = _choose_plane(by_size[size], path, heights[number], warnings)
        if found is not None:
            chosen.append(found)
    base, assumed = _base_spacing(chosen[0][0], pixel_spacing, warnings)
    levels = tuple(
        LevelPlane(
            Level(index, image.size, _level_spacing(image, base, sizes[0], warnings), image.frame_format.size),
            image,
            plane,
        )
        for index, (image, plane) in enumerate(chosen)
    )
    for used in levels:
        warnings += used.image.warnings
    return LevelChoice(levels, path, (number, len(heights)), assumed, tuple(dict.fromkeys(warnings)))


def _has_shape_of(size: MatrixSize, base: MatrixSize) -> bool:
    """Whether both sides shrink alike; a side of n pixels may be rounded by one."""
    rows, columns = base.n_rows / size.n_rows, base.n_columns / size.n_columns
    return abs(rows / columns - 1) <= _SHAPE_TOLERANCE + 1 / size.n_rows + 1 / size.n_columns


def _choose_plane(
    images: Sequence[LevelImage], path: str, height_um: float, warnings: list[str]
) -> tuple[LevelImage, FramePlane] | None:
    candidates = [(image, plane) for image in images for plane in image.planes if plane.optical_path == path]
    size = images[0].size
    if not candidates:
        warnings.append(f"Level {size.n_rows} x {size.n_columns} lacks optical path {path!r} and is not used")
        return None
    nearest = min(abs(plane.z_um - height_um) for _, plane in candidates)
    candidates = [found for found in candidates if abs(found[1].z_um - height_um) == nearest]
    first, *others = candidates
    for other, _ in others:
        if not have_same_pixels(first[0], other):
            msg = (
                f"{first[0].name} and {other.name} both claim to be level {size.n_rows} x {size.n_columns} "
                "but differ; give only one of them"
            )
            raise DamagedInstanceError(msg)
        warnings.append(f"Level {size.n_rows} x {size.n_columns} came twice with the same pixels; one is used")
    return first


def _base_spacing(image: LevelImage, given: PixelSpacing | None, warnings: list[str]) -> tuple[PixelSpacing, bool]:
    if given is not None:
        check_base_spacing(given)
        warnings.append(f"Pixel spacing {given.column_um:g} x {given.row_um:g} µm was stated by the user")
        return given, True
    try:
        spacing, tolerated = read_pixel_spacing(image.parts[0], image.size)
        if spacing is None:
            raise PixelSpacingError("the slide states no pixel spacing; state it with --pixel-spacing-um")
        check_base_spacing(spacing)
    except PixelSpacingError as error:
        msg = f"{image.name}: {error}"
        raise PixelSpacingError(msg) from error
    warnings += tolerated
    return spacing, False


def _level_spacing(image: LevelImage, base: PixelSpacing, base_size: MatrixSize, warnings: list[str]) -> PixelSpacing:
    """Spacing of a level as its header says it, unless that contradicts the sizes of the levels."""
    if image.size == base_size:
        return base
    expected = base.scaled(base_size.n_rows / image.size.n_rows, base_size.n_columns / image.size.n_columns)
    try:
        spacing, _ = read_pixel_spacing(image.parts[0], image.size)
    except PixelSpacingError:
        spacing = None
    if spacing is not None and _agrees(spacing, expected, image.size):
        return spacing
    warnings.append(
        f"Pixel spacing of level {image.size.n_rows} x {image.size.n_columns} was computed from the sizes of the levels"
    )
    return expected


def _agrees(spacing: PixelSpacing, expected: PixelSpacing, size: MatrixSize) -> bool:
    return (
        abs(spacing.row_mm / expected.row_mm - 1) <= _SPACING_TOLERANCE + 1 / size.n_rows
        and abs(spacing.column_mm / expected.column_mm - 1) <= _SPACING_TOLERANCE + 1 / size.n_columns
    )
