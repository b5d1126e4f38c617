"""Vendor formats through OpenSlide: .svs, .ndpi, .mrxs, .scn, .bif, tiled .tif."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import openslide

from vst_dicom.dicom.frames import JPEG_METHOD
from vst_dicom.domain.errors import DamagedInstanceError
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.pixels import GLASS, RgbImage
from vst_dicom.slide.facts import FileFacts
from vst_dicom.slide.pyramid import LossyStep
from vst_dicom.slide.tiff import read_tiff_tags

_FRAME_PX: Final = 512
_USABLE_TILE_PX: Final = range(128, 1025, 8)
"""Tile sizes taken as frames: a frame must be divisible by 8, and neither tiny nor huge."""

_MANUFACTURERS: Final = {
    "aperio": "Leica Biosystems (Aperio)",
    "hamamatsu": "Hamamatsu",
    "leica": "Leica Biosystems",
    "mirax": "3DHISTECH",
    "philips": "Philips",
    "sakura": "Sakura",
    "trestle": "Trestle",
    "ventana": "Roche (Ventana)",
    "zeiss": "Zeiss",
}

_MODELS: Final = ("hamamatsu.Product", "leica.device-model", "ventana.ScannerModel")
_SERIALS: Final = ("aperio.ScanScope ID", "hamamatsu.NDP.S/N", "leica.device-version", "ventana.UnitNumber")
_DATES: Final = (
    ("leica.creation-date", "%Y-%m-%dT%H:%M:%S"),
    ("mirax.GENERAL.SLIDE_CREATIONDATETIME", "%d/%m/%Y %H:%M:%S"),
    ("philips.DICOM_ACQUISITION_DATETIME", "%Y%m%d%H%M%S"),
    ("hamamatsu.Created", "%Y/%m/%d"),
    ("tiff.DateTime", "%Y:%m:%d %H:%M:%S"),
)


class OpenSlideImage:
    """A file that OpenSlide reads; label and macro image are never touched.

    Parameters
    ----------
    path
        The file.
    vendor
        What OpenSlide recognized.

    Raises
    ------
    DamagedInstanceError
        If it cannot be opened.
    """

    def __init__(self, path: Path, vendor: str) -> None:
        self._path = path
        try:
            self._slide = openslide.OpenSlide(path)
        except openslide.OpenSlideError as error:
            raise _damaged(path, error) from error
        properties = self._slide.properties
        self.sizes = tuple(MatrixSize(height, width) for width, height in self._slide.level_dimensions)
        self._downsamples = self._slide.level_downsamples
        self.frame_size = _frame_size(properties)
        self.facts = _facts(path, vendor, properties, self._icc_profile(), self.sizes)

    def read_frame(self, level: int, frame_row: int, frame_column: int, reduce: int = 1) -> RgbImage | None:
        """Decode one frame; OpenSlide may be called from several threads. None where the scanner stored nothing."""
        height, width = self.frame_size.n_rows, self.frame_size.n_columns
        x_px = round(frame_column * width * self._downsamples[level])
        y_px = round(frame_row * height * self._downsamples[level])
        try:
            region = np.asarray(self._slide.read_region((x_px, y_px), level, (width, height)))
        except openslide.OpenSlideError as error:
            raise _damaged(self._path, error) from error
        frame = _over_glass(region)
        if frame is None or reduce == 1:
            return frame
        reduced = cv2.resize(frame, (width // reduce, height // reduce), interpolation=cv2.INTER_AREA)
        return np.asarray(reduced, dtype=np.uint8)

    def close(self) -> None:
        """Release the file."""
        self._slide.close()

    def _icc_profile(self) -> bytes | None:
        profile = self._slide.color_profile
        return None if profile is None else bytes(profile.tobytes())


def _over_glass(region: RgbImage) -> RgbImage | None:
    """Lay red, green, blue and opacity over glass; None where nothing is opaque."""
    opacity = region[..., 3]
    if opacity.min() == 255:
        return np.ascontiguousarray(region[..., :3])
    if opacity.max() == 0:
        return None
    weight = opacity[..., None].astype(np.uint16)
    mixed = (region[..., :3] * weight + GLASS * (255 - weight) + 127) // 255
    return np.asarray(mixed, dtype=np.uint8)


def _frame_size(properties: Mapping[str, str]) -> MatrixSize:
    sides = [int(properties.get(f"openslide.level[0].tile-{side}", 0)) for side in ("height", "width")]
    if all(side in _USABLE_TILE_PX for side in sides):
        return MatrixSize(*sides)
    return MatrixSize(_FRAME_PX, _FRAME_PX)


def _facts(
    path: Path, vendor: str, properties: Mapping[str, str], icc_profile: bytes | None, sizes: tuple[MatrixSize, ...]
) -> FileFacts:
    spacing, origin = _stated_spacing(path, vendor, properties)
    return FileFacts(
        spacing_um=spacing,
        spacing_origin=origin,
        icc_profile=icc_profile,
        acquired=_acquired(properties),
        manufacturer=_MANUFACTURERS.get(vendor, ""),
        model_name=_first(properties, _MODELS),
        device_serial_number=_first(properties, _SERIALS),
        earlier_compression=_earlier_compression(path, properties, sizes),
    )


def _stated_spacing(path: Path, vendor: str, properties: Mapping[str, str]) -> tuple[tuple[float, float] | None, str]:
    if vendor == "generic-tiff":
        tags = read_tiff_tags(path)
        return (tags.spacing_um if tags else None), "TIFF resolution tags"
    try:
        return (float(properties["openslide.mpp-x"]), float(properties["openslide.mpp-y"])), f"{vendor} header"
    except (KeyError, ValueError):
        return None, ""


def _earlier_compression(
    path: Path, properties: Mapping[str, str], sizes: tuple[MatrixSize, ...]
) -> tuple[LossyStep, ...]:
    """Lossy steps that are recorded; a MIRAX slide's ratio is that of all its levels together."""
    tags = read_tiff_tags(path)
    if tags:
        return (tags.compression,) if tags.compression else ()
    if properties.get("mirax.LAYER_0_LEVEL_0_SECTION.IMAGE_FORMAT") == "JPEG":
        n_bytes = sum(file.stat().st_size for file in companion_files(path))
        n_pixels = sum(size.n_rows * size.n_columns for size in sizes)
        return (LossyStep(JPEG_METHOD, n_pixels * 3 / max(n_bytes, 1)),)
    return ()


def companion_files(path: Path) -> list[Path]:
    """Files that belong to a slide: the file itself, and the folder of the same name beside a MIRAX index."""
    folder = path.with_suffix("")
    inside = sorted(file for file in folder.rglob("*") if file.is_file()) if path.suffix.lower() == ".mrxs" else []
    return [path, *inside]


def _acquired(properties: Mapping[str, str]) -> datetime | None:
    found = [(properties.get(name, ""), form) for name, form in _DATES]
    found.insert(0, (f"{properties.get('aperio.Date')} {properties.get('aperio.Time')}", "%m/%d/%y %H:%M:%S"))
    for text, form in found:
        try:
            return datetime.strptime(text[: len(datetime(2000, 1, 1).strftime(form))], form)
        except ValueError:
            continue
    return None


def _first(properties: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((properties[name][:64] for name in names if properties.get(name)), "")


def _damaged(path: Path, error: Exception) -> DamagedInstanceError:
    return DamagedInstanceError(f"{path.name} cannot be read as a slide ({error}); copy it again, with all its files")
