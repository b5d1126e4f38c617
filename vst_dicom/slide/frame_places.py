"""Where each frame lies, as Per-Frame Functional Groups say it (PS3.3 C.7.6.16 and C.8.12.6)."""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import DamagedInstanceError
from vst_dicom.slide.elements import Bytes, Element, walk_elements, walk_items

_PIXEL_SPACING: Final = 0x00280030
_Z_OFFSET: Final = 0x0040074A
_OPTICAL_PATH_IDENTIFIER: Final = 0x00480106
_COLUMN_POSITION: Final = 0x0048021E
_ROW_POSITION: Final = 0x0048021F
_WANTED: Final = frozenset({_PIXEL_SPACING, _Z_OFFSET, _OPTICAL_PATH_IDENTIFIER, _COLUMN_POSITION, _ROW_POSITION})

_PIXEL_MEASURES: Final = 0x00289110
_OPTICAL_PATH_IDENTIFICATION: Final = 0x00480207
_PLANE_POSITION_SLIDE: Final = 0x0048021A
_SEQUENCES: Final = frozenset({_PIXEL_MEASURES, _OPTICAL_PATH_IDENTIFICATION, _PLANE_POSITION_SLIDE})


@dataclass(frozen=True, eq=False)
class FramePlaces:
    """Place of each frame of an instance, in the order of the frames.

    Parameters
    ----------
    corners_px
        Row and column of the top left pixel in the total pixel matrix, from 0, shape ``(n_frames, 2)``; None where
        a frame does not say it.
    z_um
        Z Offset in Slide Coordinate System, micrometers as the standard has it, shape ``(n_frames,)``; NaN where a
        frame does not say it.
    optical_paths
        Optical Path Identifier of each frame, empty where it does not say it.
    pixel_spacing
        Pixel Spacing of the first frame, row then column in millimeters; None where it does not say it.
    """

    corners_px: NDArray[np.int64] | None
    z_um: NDArray[np.float64]
    optical_paths: tuple[str, ...]
    pixel_spacing: tuple[float, float] | None

    def __len__(self) -> int:
        return len(self.optical_paths)


def read_frame_places(view: Bytes, groups: Element, *, implicit: bool) -> FramePlaces:
    """Collect the places from the encoded sequence.

    Raises
    ------
    DamagedInstanceError
        If a value cannot be read.
    """
    corners: list[tuple[int, int]] = []
    heights: list[float] = []
    paths: list[str] = []
    spacing: tuple[float, float] | None = None
    complete = True
    for start, stop in walk_items(view, groups, implicit=implicit):
        values: dict[int, bytes] = {}
        _collect(view, start, stop, values, implicit=implicit, depth=1)
        try:
            if _ROW_POSITION in values and _COLUMN_POSITION in values:
                corners.append((_signed(values[_ROW_POSITION]) - 1, _signed(values[_COLUMN_POSITION]) - 1))
            else:
                complete = False
            heights.append(_decimal(values.get(_Z_OFFSET, b"")))
            paths.append(values.get(_OPTICAL_PATH_IDENTIFIER, b"").decode("ascii", "replace").strip(" \0"))
            if spacing is None and _PIXEL_SPACING in values:
                row_mm, column_mm = values[_PIXEL_SPACING].split(b"\\")
                spacing = _decimal(row_mm), _decimal(column_mm)
        except (struct.error, ValueError) as error:
            msg = f"the place of frame {len(paths) + 1} cannot be read"
            raise DamagedInstanceError(msg) from error
    return FramePlaces(
        corners_px=np.array(corners, dtype=np.int64).reshape(-1, 2) if complete and corners else None,
        z_um=np.array(heights, dtype=np.float64),
        optical_paths=tuple(paths),
        pixel_spacing=spacing,
    )


def _collect(view: Bytes, start: int, stop: int, values: dict[int, bytes], *, implicit: bool, depth: int) -> None:
    for element in walk_elements(view, start, stop, implicit=implicit, depth=depth):
        if element.tag in _WANTED:
            values[element.tag] = bytes(view[element.start : element.stop])
        elif element.tag in _SEQUENCES:
            for item_start, item_stop in walk_items(view, element, implicit=implicit, depth=depth):
                _collect(view, item_start, item_stop, values, implicit=implicit, depth=depth + 1)


def _signed(value: bytes) -> int:
    number: int = struct.unpack("<i", value)[0]
    return number


def _decimal(value: bytes) -> float:
    text = value.decode("ascii").strip(" \0")
    return float(text) if text else float("nan")
