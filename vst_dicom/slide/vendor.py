"""Open a slide that is not DICOM: a vendor's file or a plain image."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import openslide

from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.errors import DamagedInstanceError, MissingInputError, UsageError
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.pixels import Level, RgbImage
from vst_dicom.slide.description import SlideDescription
from vst_dicom.slide.facts import VendorImage, settle_spacing
from vst_dicom.slide.image import PlainImage
from vst_dicom.slide.iod import OPTICAL_PATH, level_header
from vst_dicom.slide.openslide_image import OpenSlideImage, companion_files
from vst_dicom.slide.pyramid import PyramidPlan, upright_plane

_PREAMBLE: Final = 128
_MAX_ROUNDING_PX: Final = 1.0


class VendorSlide:
    """An open slide whose DICOM identity is the one that its import gets.

    Parameters
    ----------
    image
        Pixels.
    plan
        What the import would write.
    content_sha256
        Hash of the file, and of the files beside it that belong to it.
    spacing_assumed
        Whether the user gave the pixel spacing.
    warnings
        What was tolerated.
    """

    def __init__(
        self,
        image: VendorImage,
        plan: PyramidPlan,
        content_sha256: str,
        *,
        spacing_assumed: bool,
        warnings: tuple[str, ...],
    ) -> None:
        self._image = image
        self.plan = plan
        self.levels = tuple(
            Level(index, size, _level_spacing(plan, size), image.frame_size) for index, size in enumerate(image.sizes)
        )
        self.source = SourceSlide(
            instances=(level_header(plan, 0),),
            size=plan.size,
            plane=plan.plane,
            content_sha256=content_sha256,
            optical_path=OPTICAL_PATH,
            spacing_assumed=spacing_assumed,
            warnings=warnings,
        )

    def read_frame(self, level: int, frame_row: int, frame_column: int, reduce: int = 1) -> RgbImage | None:
        """Decode one frame, see `vst_dicom.domain.pixels.PixelSource`."""
        return self._image.read_frame(level, frame_row, frame_column, reduce)

    def close(self) -> None:
        """Release the file."""
        self._image.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_vendor_slide(
    path: Path,
    *,
    pixel_spacing: PixelSpacing | None = None,
    description: SlideDescription = SlideDescription(),  # noqa: B008 - frozen
    frame_px: int = 256,
    jpeg_quality: int = 85,
    now: datetime | None = None,
) -> VendorSlide:
    """Open a file that is not DICOM.

    Parameters
    ----------
    path
        A format of OpenSlide's, or a JPEG, PNG or TIFF.
    pixel_spacing
        Overrides what the file says; needed where it says nothing.
    description
        What the DICOM header shall say; scanner and scan time are filled from the file where it leaves them unknown.
    frame_px, jpeg_quality, now
        Of the import; without `now`, the file's own time stands in the header.

    Raises
    ------
    MissingInputError
        If there is no such file.
    UsageError
        If it is DICOM already, or the description is out of range.
    NotDicomError, UnsupportedInstanceError, DamagedInstanceError
        If the format is unknown, the image too large or not in color, the file empty, cut or damaged.
    PixelSpacingError
        If no spacing is stated and none is given, or it is impossible.
    """
    image = _open_image(path)
    try:
        spacing, assumed, warnings = settle_spacing(path, image.facts, pixel_spacing)
        content_sha256 = _content_sha256(path)
        plan = PyramidPlan(
            description=image.facts.complete(description),
            uid_seed=f"{content_sha256} {spacing.row_mm!r} {spacing.column_mm!r}",
            now=now or datetime.fromtimestamp(path.stat().st_mtime, UTC),
            size=image.sizes[0],
            plane=upright_plane(spacing),
            frame_px=frame_px,
            jpeg_quality=jpeg_quality,
            earlier_compression=image.facts.earlier_compression,
            icc_profile=image.facts.icc_profile,
        )
        return VendorSlide(
            image, plan, content_sha256, spacing_assumed=assumed, warnings=(*image.facts.warnings, *warnings)
        )
    except BaseException:
        image.close()
        raise


def _open_image(path: Path) -> VendorImage:
    if not path.is_file():
        msg = f"there is no file {path}; check the name"
        raise MissingInputError(msg)
    with path.open("rb") as file:
        start = file.read(_PREAMBLE + 4)
    if not start:
        msg = f"{path.name} is empty (0 bytes); copy it again"
        raise DamagedInstanceError(msg)
    if start[_PREAMBLE:] == b"DICM":
        msg = f"{path.name} is DICOM already; nothing is to be imported"
        raise UsageError(msg)
    vendor = openslide.OpenSlide.detect_format(path)
    return OpenSlideImage(path, vendor) if vendor else PlainImage(path)


def _content_sha256(path: Path) -> str:
    files = companion_files(path)
    digests = []
    for each in files:
        with each.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(files) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _level_spacing(plan: PyramidPlan, size: MatrixSize) -> PixelSpacing:
    return plan.plane.spacing.scaled(
        _downsample(plan.size.n_rows, size.n_rows), _downsample(plan.size.n_columns, size.n_columns)
    )


def _downsample(n_base: int, n_level: int) -> float:
    """How many base pixels a level's pixel spans: a whole number where only rounding of the size hides it."""
    whole = round(n_base / n_level)
    return float(whole) if abs(n_base / whole - n_level) < _MAX_ROUNDING_PX else n_base / n_level
