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
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())


def ink_fraction(image: RgbImage) -> float:
    """Part of the pixels that is blue, green or black ink, 0 to 1.

    Blue and green ink absorb red far more than green light, which neither H nor E does; black ink absorbs all three
    alike and nearly fully. Red ink looks like eosin and blood, and is not told apart.
    """
    density = np.log10(256 / (image.astype(np.float32) + 1))
    red, green, blue = density[..., 0], density[..., 1], density[..., 2]
    colored = (red > 0.35) & (red > 1.3 * green)
    black = (density.min(axis=-1) > 0.9) & (np.ptp(density, axis=-1) < 0.25) & (blue > 0.9)
    return float((colored | black).mean())
