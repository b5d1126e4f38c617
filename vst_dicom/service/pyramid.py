"""The slide of a result for a browser: its levels, and frames that the browser cannot show by itself."""

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import simplejpeg
from pydantic import BaseModel

from vst_dicom.dicom.attributes import read_uid
from vst_dicom.domain.errors import MissingInputError, UnsupportedInstanceError
from vst_dicom.domain.pixels import GLASS, RgbImage
from vst_dicom.service.addresses import API, DICOMWEB
from vst_dicom.slide.dicom_slide import DicomSlide
from vst_dicom.slide.finding import DicomFiles, find_slides
from vst_dicom.slide.level_choice import LevelPlane, choose_levels
from vst_dicom.slide.level_image import collect_images
from vst_dicom.slide.tiling import FrameLookup

_JPEG_BASELINE: Final = "1.2.840.10008.1.2.4.50"
_SHOWN_AS_STORED: Final = frozenset({"YBR_FULL", "YBR_FULL_422"})
"""Photometric Interpretations that a browser assumes of JPEG; RGB needs a marker that many files lack."""

_QUALITY: Final = 90
JPEG: Final = "image/jpeg"


class PyramidLevel(BaseModel):
    """One resolution of the slide, cut into frames."""

    n_rows: int
    n_columns: int
    frame_n_rows: int
    frame_n_columns: int
    first_frame: int | None
    """Number of the frame in the top left corner, others follow row by row; None where `url` takes row and column."""
    url: str
    """Of a frame: ``{frame}``, or ``{row}`` and ``{column}`` from 0, stand for which."""


class Pyramid:
    """An open slide.

    Parameters
    ----------
    key
        Of the result.
    files
        Of its slide.

    Raises
    ------
    InputError
        If the slide can no longer be read.
    """

    def __init__(self, key: str, files: Sequence[Path]) -> None:
        (found,) = find_slides(files)
        if not isinstance(found, DicomFiles):
            raise UnsupportedInstanceError("the slide of this result is not DICOM")
        choice = choose_levels(collect_images(found.instances))
        self._slide = DicomSlide(choice)
        self.levels = [_describe(key, index, used) for index, used in enumerate(choice.levels)]
        weakref.finalize(self, self._slide.close)

    def read_jpeg(self, level: int, row: int, column: int) -> bytes:
        """Decode a frame and encode it as every browser reads it; glass where the slide has none.

        Raises
        ------
        MissingInputError
            If there is no such level or place.
        DamagedInstanceError
            If it cannot be decoded.
        """
        try:
            image = self._slide.read_frame(level, row, column)
        except IndexError as error:
            raise MissingInputError("the slide has no such frame") from error
        if image is None:
            size = self._slide.levels[level].frame_size
            image = np.full((size.n_rows, size.n_columns, 3), GLASS, dtype=np.uint8)
        return encode_jpeg(image)


def encode_jpeg(image: RgbImage, longest: int | None = None) -> bytes:
    """Encode a picture as JPEG, averaged to at most so many pixels of its longest side."""
    scale = (longest or max(image.shape)) / max(image.shape)
    if scale < 1:
        import cv2

        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    encoded: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=_QUALITY, colorspace="RGB")
    return encoded


def _describe(key: str, index: int, used: LevelPlane) -> PyramidLevel:
    first = _first_frame(used)
    if first is None:
        url = f"{API}/results/{key}/slide/{index}/{{row}}/{{column}}"
    else:
        instance = used.image.parts[0]
        study, series = (read_uid(instance.header, f"{part}InstanceUID") for part in ("Study", "Series"))
        url = f"{DICOMWEB}/studies/{study}/series/{series}/instances/{instance.sop_instance_uid}/frames/{{frame}}"
    return PyramidLevel(
        n_rows=used.level.size.n_rows,
        n_columns=used.level.size.n_columns,
        frame_n_rows=used.level.frame_size.n_rows,
        frame_n_columns=used.level.frame_size.n_columns,
        first_frame=first,
        url=url,
    )


def _first_frame(used: LevelPlane) -> int | None:
    """Find the number of the first frame, from 1, where a browser can show all as stored and they lie row by row."""
    stored = used.image.frame_format
    if len(used.image.parts) > 1 or stored.transfer_syntax_uid != _JPEG_BASELINE:
        return None
    if stored.photometric_interpretation not in _SHOWN_AS_STORED:
        return None
    grid = used.level.frame_grid
    lookup = FrameLookup(used.plane, used.level.size, used.level.frame_size)
    if not lookup.aligned or lookup.n_empty:
        return None
    first = int(used.plane.frames.min())
    in_order = np.arange(first, first + grid.n_rows * grid.n_columns).tolist()
    found = [lookup.find(row, column)[0][0] for row in range(grid.n_rows) for column in range(grid.n_columns)]
    return first + 1 if found == in_order else None
