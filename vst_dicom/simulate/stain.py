"""From amounts of dye to colors: Beer-Lambert in optical density, and what a scanner adds."""

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.pixels import RgbImage
from vst_dicom.simulate.noise import make_rng

HEMATOXYLIN = (0.61, 0.71, 0.36)
EOSIN = (0.13, 0.87, 0.47)
"""Optical density (red, green, blue; base 10) of one unit of dye."""

GLASS_COLOR = (244, 243, 245)
"""Light through the bare slide: red, green, blue."""

_GRAIN_PX = 512


class Stain(StrEnum):
    """How much dye the slide took."""

    NORMAL = "normal"
    PALE = "pale"
    DARK = "dark"


@dataclass(frozen=True, slots=True)
class DyeAmount:
    """How much of each dye a slide took, relative to a usual one."""

    hematoxylin: float
    eosin: float


DYE_AMOUNTS = {
    Stain.NORMAL: DyeAmount(1.0, 1.0),
    Stain.PALE: DyeAmount(0.68, 0.62),
    Stain.DARK: DyeAmount(1.25, 1.35),
}


@dataclass(frozen=True, slots=True)
class Camera:
    """What tells one scanner's pictures from another's.

    Parameters
    ----------
    glass
        Color of the bare slide: red, green, blue.
    response
        How strongly dye darkens red, green and blue, relative to a usual scanner.
    blur_px
        Standard deviation of the lens's blur, in pixels.
    noise
        Standard deviation of the sensor's noise, in steps of 8-bit color.
    """

    glass: tuple[int, int, int] = GLASS_COLOR
    response: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blur_px: float = 0.6
    noise: float = 1.3


class Scanner:
    """Turns dye into what a camera sees: absorption, a lens that blurs a little, a sensor with noise.

    Parameters
    ----------
    seed
        Which noise.
    camera
        Which scanner.
    """

    def __init__(self, seed: int, camera: Camera = Camera()) -> None:
        self._blur_px = camera.blur_px
        grain = np.rint(make_rng(seed, "sensor").normal(0, camera.noise, (_GRAIN_PX, _GRAIN_PX, 3)))
        self._brighter = np.clip(grain, 0, 255).astype(np.uint8)
        self._darker = np.clip(-grain, 0, 255).astype(np.uint8)
        bare = np.full((_GRAIN_PX, _GRAIN_PX, 3), camera.glass, dtype=np.uint8)
        self._glass = self._expose(bare, 0, 0)
        self._log_glass = np.log(np.array(camera.glass, dtype=np.float32))
        response = np.array(camera.response)[:, None]
        self._absorption = (-np.log(10) * response * np.array([HEMATOXYLIN, EOSIN]).T).astype(np.float32)
        self._matrix = np.column_stack([self._absorption, self._log_glass]).astype(np.float32)

    def scan(self, hematoxylin: NDArray[np.float32], eosin: NDArray[np.float32], top: int, left: int) -> RgbImage:
        """Make the image of a piece of the slide.

        Parameters
        ----------
        hematoxylin, eosin
            Units of dye, shape ``(n_rows, n_columns)``.
        top, left
            Row and column of the first pixel in the total pixel matrix; they place the noise.
        """
        log_light = cv2.transform(cv2.merge([hematoxylin, eosin]), self._matrix)
        image: RgbImage = np.asarray(cv2.convertScaleAbs(cv2.exp(log_light, dst=log_light)), dtype=np.uint8)
        if self._blur_px > 0:
            cv2.GaussianBlur(image, (3, 3), self._blur_px, dst=image, borderType=cv2.BORDER_REPLICATE)
        return self._expose(image, top, left)

    def scan_glass(self, n_rows: int, n_columns: int, top: int, left: int) -> RgbImage:
        """Make the image of a piece without tissue."""
        rows, columns = (top + np.arange(n_rows)) % _GRAIN_PX, (left + np.arange(n_columns)) % _GRAIN_PX
        return self._glass.take(rows, axis=0).take(columns, axis=1)

    def _expose(self, image: RgbImage, top: int, left: int) -> RgbImage:
        """Add the sensor's noise in place; it repeats every 512 pixels of the slide."""
        n_rows, n_columns = image.shape[:2]
        for row in range(-(top % _GRAIN_PX), n_rows, _GRAIN_PX):
            for column in range(-(left % _GRAIN_PX), n_columns, _GRAIN_PX):
                part = image[max(row, 0) : row + _GRAIN_PX, max(column, 0) : column + _GRAIN_PX]
                first_row, first_column = max(-row, 0), max(-column, 0)
                of_tile = np.s_[first_row : first_row + part.shape[0], first_column : first_column + part.shape[1]]
                part[:] = cv2.subtract(cv2.add(part, self._brighter[of_tile]), self._darker[of_tile])
        return image
