"""The few TIFF tags that say how pixels were compressed and how large they are (TIFF 6.0)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import TiffImagePlugin

from vst_dicom.slide.pyramid import LossyStep

_WIDTH, _HEIGHT, _COMPRESSION, _STRIP_BYTES, _X_RESOLUTION, _Y_RESOLUTION, _UNIT, _TILE_BYTES = (
    256, 257, 259, 279, 282, 283, 296, 325,
)  # fmt: skip

_LOSSY_METHODS: Final = {
    6: "ISO_10918_1",  # old JPEG
    7: "ISO_10918_1",  # JPEG
    33003: "ISO_15444_1",  # Aperio JPEG 2000, YCbCr
    33005: "ISO_15444_1",  # Aperio JPEG 2000, RGB
}
"""Lossy Image Compression Method (0028,2114) of TIFF compressions that may lose."""

_UNIT_UM: Final = {2: 25_400.0, 3: 10_000.0}
"""Micrometers per resolution unit: inch, centimeter."""

_BIG_TIFF: Final = (b"II\x2b\x00", b"MM\x00\x2b")
MAGIC: Final = (b"II\x2a\x00", b"MM\x00\x2a", *_BIG_TIFF)
"""First four bytes of a TIFF."""


@dataclass(frozen=True, slots=True)
class TiffTags:
    """Of the first image of a TIFF.

    Parameters
    ----------
    compression
        Lossy step of its pixels; None when lossless or unknown.
    spacing_um
        x and y spacing that the resolution tags say; None without a unit.
    """

    compression: LossyStep | None
    spacing_um: tuple[float, float] | None


def read_tiff_tags(path: Path) -> TiffTags | None:
    """Read the tags of the first image; None where the file is no TIFF or its first directory is unreadable."""
    with path.open("rb") as file:
        header = file.read(8)
        if header[:4] not in MAGIC:
            return None
        if header[:4] in _BIG_TIFF:
            header += file.read(8)
        try:
            directory = TiffImagePlugin.ImageFileDirectory_v2(header)
            file.seek(directory.next)
            directory.load(file)
            return TiffTags(_compression(directory), _spacing_um(directory))
        except (OSError, SyntaxError, ValueError, TypeError, KeyError, ZeroDivisionError, OverflowError):
            return None


def _compression(directory: Any) -> LossyStep | None:
    method = _LOSSY_METHODS.get(directory.get(_COMPRESSION, 1))
    n_bytes = sum(directory.get(_TILE_BYTES) or directory.get(_STRIP_BYTES) or ())
    if method is None or not n_bytes:
        return None
    return LossyStep(method, int(directory[_WIDTH]) * int(directory[_HEIGHT]) * 3 / n_bytes)


def _spacing_um(directory: Any) -> tuple[float, float] | None:
    unit_um = _UNIT_UM.get(directory.get(_UNIT, 0))
    x, y = directory.get(_X_RESOLUTION), directory.get(_Y_RESOLUTION)
    if unit_um is None or not x or not y:
        return None
    return unit_um / float(x), unit_um / float(y)
