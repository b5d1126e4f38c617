"""What is wrong with a tile: out of focus, or covered by ink."""

from collections.abc import Iterable, Iterator
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

_INK_FRACTION: Final = 0.1
"""A tile is inked when at least this part of its pixels is."""


def _first_without(condition: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """First column where a condition ends that holds for all columns before, shape ``(256,)``."""
    return np.asarray((~condition).argmax(axis=1), dtype=np.uint8)


_DENSITY: Final = np.log10(256 / (np.arange(256, dtype=np.float32) + 1))
_COLORED_BELOW: Final = _first_without((_DENSITY > 0.35) & (1.3 * _DENSITY[:, np.newaxis] < _DENSITY))
"""By the intensity of green: red below this is blue or green ink."""

_BLACK_BELOW: Final = _first_without((_DENSITY > 0.9) & (_DENSITY[:, np.newaxis] - _DENSITY < 0.25))
"""By a pixel's darkest color: if its brightest lies below this, it is black ink."""


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
    edges = cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_16S)
    return float(cv2.norm(edges, cv2.NORM_L2SQR) / edges.size - cv2.mean(edges)[0] ** 2)


def ink_fraction(image: RgbImage) -> float:
    """Part of the pixels that is blue, green or black ink, 0 to 1.

    Blue and green ink absorb red far more than green light, which neither H nor E does; black ink absorbs all three
    alike and nearly fully. Red ink looks like eosin and blood, and is not told apart.
    """
    red, green, blue = cv2.split(image)
    darkest, brightest = cv2.min(cv2.min(red, green), blue), cv2.max(cv2.max(red, green), blue)
    colored = cv2.compare(red, cv2.LUT(green, _COLORED_BELOW), cv2.CMP_LT)
    black = cv2.compare(brightest, cv2.LUT(darkest, _BLACK_BELOW), cv2.CMP_LT)
    return cv2.countNonZero(cv2.bitwise_or(colored, black)) / red.size
