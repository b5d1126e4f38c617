"""Plain images: a JPEG, PNG or TIFF from a microscope's camera or an export."""

import warnings
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from vst_dicom.dicom.frames import JPEG_METHOD
from vst_dicom.domain.errors import DamagedInstanceError, NotDicomError, UnsupportedInstanceError
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.pixels import GLASS, RgbImage
from vst_dicom.slide import tiff
from vst_dicom.slide.facts import FileFacts
from vst_dicom.slide.pyramid import LossyStep

MAX_PIXELS: Final = 400_000_000
"""A plain image is decoded whole, at 3 bytes a pixel while it is open."""

_FRAME_PX: Final = 512
_FORMATS: Final = ("JPEG", "PNG", "TIFF")
_MAGIC: Final = (b"\xff\xd8\xff", b"\x89PNG", *tiff.MAGIC)
_EXIF_ORIENTATION: Final = 0x0112


class PlainImage:
    """One level, decoded whole.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    NotDicomError
        If the format is unknown.
    UnsupportedInstanceError
        If it is too large, or not in color.
    DamagedInstanceError
        If it cannot be decoded to its end.
    """

    def __init__(self, path: Path) -> None:
        Image.MAX_IMAGE_PIXELS = MAX_PIXELS
        try:
            with warnings.catch_warnings(action="ignore"), Image.open(path, formats=_FORMATS) as image:
                _check_size(path, image.width, image.height)
                self.facts = _facts(path, image)
                self._pixels = _decode(path, image)
        except UnidentifiedImageError as error:
            raise _unknown(path) from error
        except Image.DecompressionBombError as error:
            raise _too_large(path, "more than twice that") from error
        except (OSError, SyntaxError, ValueError) as error:
            msg = f"{path.name} cannot be decoded to its end ({error}); copy or export it again"
            raise DamagedInstanceError(msg) from error
        self.sizes = (MatrixSize(*self._pixels.shape[:2]),)
        self.frame_size = MatrixSize(_FRAME_PX, _FRAME_PX)

    def read_frame(self, level: int, frame_row: int, frame_column: int, reduce: int = 1) -> RgbImage:
        """Cut one frame out; glass beyond the image."""
        if level:
            raise IndexError("a plain image has one level")
        y_px, x_px = frame_row * _FRAME_PX, frame_column * _FRAME_PX
        part = self._pixels[y_px : y_px + _FRAME_PX, x_px : x_px + _FRAME_PX]
        frame = np.full((_FRAME_PX, _FRAME_PX, 3), GLASS, dtype=np.uint8)
        frame[: part.shape[0], : part.shape[1]] = part
        if reduce == 1:
            return frame
        side = _FRAME_PX // reduce
        return np.asarray(cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def close(self) -> None:
        """Release the pixels."""
        self._pixels = np.empty((0, 0, 3), dtype=np.uint8)


def _decode(path: Path, image: Image.Image) -> RgbImage:
    if image.mode not in ("RGB", "RGBA", "P"):
        msg = f"{path.name} is {image.mode}, not an 8-bit color image; export it as RGB"
        raise UnsupportedInstanceError(msg)
    if image.format == "JPEG":
        # Straight into 3 bytes a pixel, and strict: a cut file is refused, never grey.
        return np.asarray(simplejpeg.decode_jpeg(path.read_bytes(), colorspace="RGB", strict=True))
    if image.mode == "RGB":
        return np.asarray(image)
    glass = Image.new("RGBA", image.size, (GLASS, GLASS, GLASS, 255))
    return np.asarray(Image.alpha_composite(glass, image.convert("RGBA")).convert("RGB"))


def _facts(path: Path, image: Image.Image) -> FileFacts:
    notes = []
    if image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
        notes.append("the EXIF orientation is not applied; pixels are taken as stored")
    if getattr(image, "n_frames", 1) > 1:
        notes.append("the file holds several images; the first is taken")
    lossy: LossyStep | None = None
    spacing = None
    if image.format == "TIFF":
        tags = tiff.read_tiff_tags(path)
        lossy, spacing = (tags.compression, tags.spacing_um) if tags else (None, None)
    elif image.format == "JPEG":
        lossy = LossyStep(JPEG_METHOD, image.width * image.height * 3 / path.stat().st_size)
    return FileFacts(
        spacing_um=spacing,
        spacing_origin="TIFF resolution tags",
        icc_profile=image.info.get("icc_profile"),
        earlier_compression=(lossy,) if lossy else (),
        warnings=tuple(notes),
    )


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large(path, f"{width} x {height}")


def _too_large(path: Path, size: str) -> UnsupportedInstanceError:
    msg = (
        f"{path.name} has more than {MAX_PIXELS // 1_000_000} million pixels ({size}), the limit for plain images; "
        "save it as a tiled pyramid TIFF"
    )
    return UnsupportedInstanceError(msg)


def _unknown(path: Path) -> NotDicomError | DamagedInstanceError:
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(_MAGIC):
        return DamagedInstanceError(f"{path.name} is cut short or damaged; copy it again")
    return NotDicomError(f"{path.name} is neither DICOM nor a slide format that OpenSlide reads, nor JPEG, PNG or TIFF")
