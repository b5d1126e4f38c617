"""What is wrong with a tile: out of focus, or covered by ink."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.pixels import RgbImage
from vst_dicom.domain.tiles import TileBatch, TileQuality

SHARPNESS_LIMIT: Final = 8.0
"""Variance of the Laplacian of 8-bit gray at 0.5 µm per pixel below which a tile counts as out of focus.

Measured: the palest sharp tiles (fat, frozen tissue enlarged from 0.688 µm) lie at 10, usual ones at 40 to 2,000; a
Gaussian of 1.5 µm brings half of an Aperio slide's tiles below 8, one of 2 µm nearly all.
"""

_COLORED_RED: Final = 0.35
_COLORED_RED_TO_GREEN: Final = 1.3
"""Optical density of red in blue and green ink: above this, and above so many times that of green."""

_BLACK: Final = 0.9
_BLACK_RANGE: Final = 0.25
"""Black ink absorbs every color more than the first, and all within the second of each other."""

_INK_FRACTION: Final = 0.1
"""A tile is inked when at least this part of its pixels is."""


class QualityRecorder:
    """Looks at tiles on their way to the model, so that no frame is decoded twice.

    Parameters
    ----------
    n_tiles
        How many tiles will pass.
    """

    def __init__(self, n_tiles: int) -> None:
        self._sharpness = np.full(n_tiles, np.nan, dtype=np.float32)
        self._inked = np.zeros(n_tiles, dtype=np.bool_)

    def watch(self, batches: Iterable[TileBatch]) -> Iterator[TileBatch]:
        """Pass batches on unchanged and remember what was seen."""
        for batch in batches:
            for index, image in zip(batch.indices, batch.images, strict=True):
                self._sharpness[index] = measure_sharpness(image)
                self._inked[index] = ink_fraction(image) >= _INK_FRACTION
            yield batch

    def quality(self, tissue_fraction: NDArray[np.float32]) -> TileQuality:
        """Everything seen, once all tiles have passed.

        Raises
        ------
        ValueError
            If a tile has not passed yet.
        """
        if np.isnan(self._sharpness).any():
            raise ValueError("not every tile has passed the recorder")
        return TileQuality(tissue_fraction, self._sharpness, self._sharpness < SHARPNESS_LIMIT, self._inked)


def measure_sharpness(image: RgbImage) -> float:
    """Variance of the Laplacian of gray (Pech-Pacheco 2000); falls as focus is lost."""
    laplacian = cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_16S)
    mean = cv2.sumElems(laplacian)[0] / laplacian.size
    return cv2.norm(laplacian, cv2.NORM_L2SQR) / laplacian.size - mean * mean


def ink_fraction(image: RgbImage) -> float:
    """Part of the pixels that is blue, green or black ink, 0 to 1.

    Blue and green ink absorb red far more than green light, which neither H nor E does; black ink absorbs all three
    alike and nearly fully. Red ink looks like eosin and blood, and is not told apart.
    """
    first_plain_red, brightest_black = _ink_tables()
    red, green, blue = cv2.split(image)
    inked = cv2.compare(red, cv2.LUT(green, first_plain_red), cv2.CMP_LT)
    brightest = cv2.max(cv2.max(red, green), blue)
    if int(brightest.min()) <= int(brightest_black.max()):
        darkest = cv2.min(cv2.min(red, green), blue)
        inked = cv2.bitwise_or(inked, cv2.compare(brightest, cv2.LUT(darkest, brightest_black), cv2.CMP_LE))
    return cv2.countNonZero(inked) / inked.size


@cache
def _ink_tables() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """What is ink, in 8-bit intensities instead of optical densities, so that no pixel needs a logarithm.

    Returns
    -------
    tuple[NDArray[np.uint8], NDArray[np.uint8]]
        For each green the smallest red that is no blue or green ink; for each darkest color of a pixel the largest
        value of its brightest color that is black ink (less than the darkest where none is). Shape ``(256,)`` each.
    """
    density = np.log10(256 / (np.arange(256, dtype=np.float32) + 1))
    colored = (density[:, None] > _COLORED_RED) & (density[:, None] > _COLORED_RED_TO_GREEN * density)
    black = (density > _BLACK) & (density[:, None] - density < _BLACK_RANGE)
    darker_or_equal = np.triu(np.ones((256, 256), dtype=np.bool_))
    last_black = np.where(darker_or_equal & black, np.arange(256), 0).max(axis=1)
    return colored.sum(axis=0).astype(np.uint8), last_black.astype(np.uint8)
