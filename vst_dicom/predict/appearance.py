"""Color, density and sharpness of a tile in a few numbers.

An encoder is made to see the same in a tile whatever its color and focus; one trained on photographs puts an inverted
slide where it puts the slide itself. What the encoder ignores is therefore measured beside it.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

N_APPEARANCE: Final = 9
"""Numbers per tile, see `describe_appearance`."""

_SCALES: Final = 4
"""Sharpness is taken at the tile's own pixels and at pixels twice, four and eight times as large."""

_DENSITY_FLOOR: Final = 0.03
"""Optical density added to each mean, so that the color of bare glass is not the logarithm of nothing."""

_VARIANCE_FLOOR: Final = 2e-4
"""Added to each variance: what rounding to 8 bits makes of a flat tile."""

_DENSITY: Final[NDArray[np.float32]] = np.log10(256 / (np.arange(256, dtype=np.float32) + 1))
"""Optical density of each 8-bit intensity, white taken as glass."""

_GRAY: Final = np.full((1, 3), 1 / 3, dtype=np.float32)


def describe_appearance(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Describe tiles by numbers that an encoder may ignore.

    In this order, all logarithms: mean optical density; red to green and blue to green of it; its standard deviation
    (pixels' mean over colors); how far the colors vary apart from each other, as the second to the first principal
    axis; then, at four scales, the Laplacian's standard deviation over that of the density.

    Parameters
    ----------
    images
        Red, green, blue, shape ``(n, tile_px, tile_px, 3)``.

    Returns
    -------
    NDArray[np.float32]
        Shape ``(n, N_APPEARANCE)``.
    """
    import cv2

    described = np.empty((len(images), N_APPEARANCE), dtype=np.float32)
    for row, image in zip(described, images, strict=True):
        few = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_NEAREST)  # every second pixel
        colors = cv2.LUT(np.stack(cv2.split(few)).reshape(3, -1), _DENSITY)
        mean = colors.mean(axis=1)
        colors -= mean[:, None]
        # Nine products of vectors: the product of so flat a matrix takes BLAS three times as long.
        axes = np.linalg.eigvalsh([[one @ other / one.size for other in colors] for one in colors])
        red, green, blue = mean + _DENSITY_FLOOR
        gray = cv2.transform(cv2.LUT(image, _DENSITY), _GRAY)
        contrast = _log_sd(_variance(gray))
        row[:5] = (
            np.log((red + green + blue) / 3),
            np.log(red / green),
            np.log(blue / green),
            contrast,
            _log_sd(float(axes[1])) - _log_sd(float(axes[2])),
        )
        for scale in range(_SCALES):
            row[5 + scale] = _log_sd(_variance(cv2.Laplacian(gray, cv2.CV_32F))) - contrast
            gray = cv2.resize(gray, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return described


def _variance(image: NDArray[np.float32]) -> float:
    import cv2

    mean = cv2.sumElems(image)[0] / image.size
    return cv2.norm(image, cv2.NORM_L2SQR) / image.size - mean * mean


def _log_sd(variance: float) -> float:
    """Logarithm of a standard deviation."""
    return float(0.5 * np.log(max(variance, 0.0) + _VARIANCE_FLOOR))
