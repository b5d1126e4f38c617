"""Open the one slide that files and folders hold, whatever its format."""

from collections.abc import Sequence
from pathlib import Path

from vst_dicom.dicom.source import Slide
from vst_dicom.domain.errors import UsageError
from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.slide.dicom_slide import open_dicom_slide
from vst_dicom.slide.finding import SlideFiles, VendorFile, find_slides


def open_slide(
    paths: Sequence[Path],
    *,
    pixel_spacing: PixelSpacing | None = None,
    optical_path: str | None = None,
    focal_plane: int | None = None,
) -> Slide:
    """Find and open one slide.

    Parameters
    ----------
    paths
        Files and folders.
    pixel_spacing
        Spacing of the base level where the slide states none; recorded as assumed.
    optical_path, focal_plane
        Choice where a DICOM slide has several; see `vst_dicom.slide.dicom_slide.open_dicom_slide`.

    Raises
    ------
    UsageError
        If there are several slides, or a choice does not exist.
    InputError
        If there is no slide, or it cannot be read; the subclass says which.
    """
    slides = find_slides(paths)
    if len(slides) > 1:
        names = "; ".join(slide.name for slide in slides[:10])
        msg = f"{len(slides)} slides found, give one of them: {names}"
        raise UsageError(msg)
    return open_found_slide(slides[0], pixel_spacing=pixel_spacing, optical_path=optical_path, focal_plane=focal_plane)


def open_found_slide(
    slide: SlideFiles,
    *,
    pixel_spacing: PixelSpacing | None = None,
    optical_path: str | None = None,
    focal_plane: int | None = None,
) -> Slide:
    """Open a slide that `vst_dicom.slide.finding.find_slides` found; parameters and errors as of `open_slide`."""
    if not isinstance(slide, VendorFile):
        return open_dicom_slide(slide, pixel_spacing=pixel_spacing, optical_path=optical_path, focal_plane=focal_plane)
    if optical_path is not None or focal_plane not in (None, 0):
        msg = f"{slide.name} has one optical path and one focal plane; leave the choice out"
        raise UsageError(msg)
    from vst_dicom.slide.vendor import open_vendor_slide

    return open_vendor_slide(slide.path, pixel_spacing=pixel_spacing)
