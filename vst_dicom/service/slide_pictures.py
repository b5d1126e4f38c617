"""Pictures of whole levels of a slide, and of parts of them, from the smallest level that suffices."""

import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from math import ceil, floor
from pathlib import Path
from typing import Final

import numpy as np

from vst_dicom.dicom.attributes import read_text, read_uid
from vst_dicom.domain.errors import InputError, MissingInputError, UsageError
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.pixels import GLASS, Level, RgbImage
from vst_dicom.service.frame_pictures import not_renderable, read_icc_profile, refuse_burned_in
from vst_dicom.service.render_parameters import Region
from vst_dicom.slide.dicom_slide import DicomSlide
from vst_dicom.slide.instance import InstanceFile, identify, read_instance
from vst_dicom.slide.level_choice import choose_levels
from vst_dicom.slide.level_image import collect_images
from vst_dicom.tiles.frames import read_frames

_MOST_READ_PIXELS: Final = 1 << 28
"""Pixels of all frames that one picture is made from, before they are reduced: a few seconds of work."""

_MOST_KEPT_PIXELS: Final = 1 << 25
"""Pixels of a part that are in memory at once, at the scale that is decoded."""

_ENOUGH: Final = 0.98
"""A level suffices that has so many pixels for each of the picture."""

_REDUCTIONS: Final = (8, 4, 2, 1)
_ANY_SPACING: Final = PixelSpacing.from_um(1)
"""Pictures are made by pixels; a slide that states no spacing has pictures too."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """Which frames of a level make a part, and at which fraction they are decoded."""

    level: Level
    reduce: int
    rows: range
    columns: range
    region: Region

    @property
    def n_pixels(self) -> int:
        frame = self.level.frame_size
        return len(self.rows) * len(self.columns) * frame.n_rows * frame.n_columns


class SlidePictures:
    """Paints one level of a slide, using smaller ones of the same image.

    Parameters
    ----------
    path
        File of the level.
    others
        Files of further images of its series, none of which shows a label; those that cannot be read are left out.

    Raises
    ------
    MissingInputError
        If it says that text is part of its pixels, or is no longer on disk.
    HTTPException
        406 if it is an image that is not rendered.
    DamagedInstanceError
        If it cannot be read.
    """

    def __init__(self, path: Path, others: Sequence[Path] = ()) -> None:
        try:
            target = read_instance(identify(path))
        except OSError as error:
            raise MissingInputError("its file is no longer on disk; send the instance again") from error
        refuse_burned_in(target.header)
        found = [target]
        for other in others:
            with suppress(InputError, OSError):
                found.append(read_instance(identify(other)))
        self.icc_profile = read_icc_profile(target.header)
        try:
            self._slide = _open([one for one in found if _belongs_to(one, target)], target)
        except InputError as error:
            raise not_renderable(str(error)) from error
        weakref.finalize(self, self._slide.close)
        self.size = self._slide.levels[0].size

    def paint(self, region: Region, size: MatrixSize) -> RgbImage:
        """Paint a part of the level; it has at least as many pixels as the picture, where the level does.

        Parameters
        ----------
        region
            In pixels of the level; signs are left out of account.
        size
            Of the picture that is made of it.

        Raises
        ------
        HTTPException
            406 if too much would have to be read.
        DamagedInstanceError
            If a frame cannot be decoded.
        """
        reading = self._plan(region, size)
        frame = MatrixSize(
            reading.level.frame_size.n_rows // reading.reduce, reading.level.frame_size.n_columns // reading.reduce
        )
        top, left = reading.rows.start * frame.n_rows, reading.columns.start * frame.n_columns
        first_row, first_column = floor(reading.region.y), floor(reading.region.x)
        last_row = max(ceil(reading.region.y + reading.region.height), first_row + 1)
        last_column = max(ceil(reading.region.x + reading.region.width), first_column + 1)
        picture = np.full((last_row - first_row, last_column - first_column, 3), GLASS, dtype=np.uint8)
        positions = list(product(reading.rows, reading.columns))
        for (row, column), pixels in read_frames(self._slide, reading.level, positions, reading.reduce, threads=1):
            if pixels is None:
                continue
            y = top + (row - reading.rows.start) * frame.n_rows - first_row
            x = left + (column - reading.columns.start) * frame.n_columns - first_column
            here = picture[max(y, 0) : y + frame.n_rows, max(x, 0) : x + frame.n_columns]
            here[...] = pixels[max(-y, 0) :, max(-x, 0) :][: here.shape[0], : here.shape[1]]
        return picture

    def _plan(self, region: Region, size: MatrixSize) -> _Reading:
        """Choose level and reduction."""
        width, height = abs(region.width), abs(region.height)
        for level, reduce in product(reversed(self._slide.levels), _REDUCTIONS):
            frame = level.frame_size
            x_scale = level.size.n_columns / self.size.n_columns / reduce
            y_scale = level.size.n_rows / self.size.n_rows / reduce
            suffices = width * x_scale >= size.n_columns * _ENOUGH and height * y_scale >= size.n_rows * _ENOUGH
            if frame.n_rows % reduce or frame.n_columns % reduce:
                continue
            if suffices or (level.index == 0 and reduce == 1):
                part = Region(region.x * x_scale, region.y * y_scale, width * x_scale, height * y_scale)
                reading = _Reading(
                    level,
                    reduce,
                    _covering(part.y, part.height, frame.n_rows // reduce, level.frame_grid.n_rows),
                    _covering(part.x, part.width, frame.n_columns // reduce, level.frame_grid.n_columns),
                    part,
                )
                if reading.n_pixels > _MOST_READ_PIXELS or part.width * part.height > _MOST_KEPT_PIXELS:
                    raise not_renderable(
                        "too many pixels would have to be read, since the slide has no smaller level that suffices; "
                        "ask for a part, by viewport=width,height,x,y,width,height, or for frames"
                    )
                return reading
        raise AssertionError  # the last of the levels and reductions always does


def _covering(start: float, length: float, step: int, count: int) -> range:
    """Frames that touch a part of an axis."""
    return range(min(floor(start / step), count - 1), min(max(ceil((start + length) / step), 1), count))


def _belongs_to(one: InstanceFile, target: InstanceFile) -> bool:
    """Whether an image shows the same as another, at its resolution or a lower one."""
    keywords = ("ContainerIdentifier", "PyramidUID")
    same = all(read_text(one.header, keyword) == read_text(target.header, keyword) for keyword in keywords)
    return same and _n_columns(one) <= _n_columns(target) and one.is_volume


def _n_columns(instance: InstanceFile) -> int:
    value = instance.header.get("TotalPixelMatrixColumns")
    return value if isinstance(value, int) else 0


def _open(levels: Sequence[InstanceFile], target: InstanceFile) -> DicomSlide:
    """Open an image with smaller levels; alone where they do not fit together."""
    concatenation = read_uid(target.header, "ConcatenationUID")
    parts = [
        one
        for one in levels
        if one is target or (concatenation and read_uid(one.header, "ConcatenationUID") == concatenation)
    ]
    for chosen in (levels, parts):
        try:
            slide = choose_levels(collect_images(chosen), pixel_spacing=_ANY_SPACING)
        except (InputError, UsageError) as error:
            if chosen is parts:
                raise not_renderable(str(error)) from error
            continue
        if any(part is target for part in slide.levels[0].image.parts):
            return DicomSlide(slide)
    raise not_renderable("its place among the levels of the slide is not clear")
