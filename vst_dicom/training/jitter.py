"""The same tissue as another laboratory and scanner might show it."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.pixels import RgbImage
from vst_dicom.training.baselines import separate_stains, stain_vectors

DYE_FACTOR: Final = 2.0
"""Hematoxylin and eosin each go from half to double."""

_CHANNEL_TINT: Final = 0.2
"""Optical density of each color changes by up to this factor more or less: other dyes, lamps and sensors."""

_GLASS_DENSITY: Final = (-0.03, 0.05)
"""Added to all optical densities: exposure and the color of glass."""

_SCALE_FACTOR: Final = 1.25
"""Cells appear up to this much larger: species, fixation, an inexact pixel spacing."""

_MOST_BLUR_UM: Final = 1.0
"""Standard deviation of the Gaussian of the worst lens and focus that is still a usable slide."""

_MOST_SHARPENING: Final = 5.0
"""Unsharp masking, as scanners do it, at most; factor of the difference to a Gaussian of `_SHARPENING_UM`."""

_SHARPENING_UM: Final = 0.75
_MOST_NOISE: Final = 5.0
"""Standard deviation of the sensor's noise at most, in 8-bit steps."""

_JPEG_QUALITIES: Final = (50, 95)


def jitter(image: RgbImage, spacing_um: float, random: np.random.Generator) -> RgbImage:
    """Change a tile's stain, exposure, scale, focus, noise and compression, each by chance.

    Parameters
    ----------
    image
        A square tile.
    spacing_um
        Its pixel spacing, micrometers.
    random
        Draws the changes.

    Returns
    -------
    RgbImage
        Another tile of the same size.
    """
    stains = separate_stains(image)
    span = np.log(DYE_FACTOR)
    stains[..., :2] *= np.exp(random.uniform(-span, span, 2)).astype(np.float32)
    density = stains @ stain_vectors().astype(np.float32)
    density = density * np.exp(random.uniform(-_CHANNEL_TINT, _CHANNEL_TINT, 3)) + random.uniform(*_GLASS_DENSITY)
    changed = np.clip(256 * 10**-density - 1, 0, 255).astype(np.float32)
    changed = _focus(_enlarge(changed, random), spacing_um, random)
    changed += random.standard_normal(changed.shape, dtype=np.float32) * random.uniform(0, _MOST_NOISE)
    quality = int(random.integers(*_JPEG_QUALITIES, endpoint=True))
    _, encoded = cv2.imencode(".jpg", np.clip(changed, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded: RgbImage = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)
    return decoded


def _enlarge(image: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Take a part of the tile, enlarged to the tile."""
    side = round(len(image) / np.exp(random.uniform(0, np.log(_SCALE_FACTOR))))
    top, left = random.integers(0, len(image) - side + 1, 2)
    part = image[top : top + side, left : left + side]
    return cv2.resize(part, image.shape[:2], interpolation=cv2.INTER_LINEAR).astype(np.float32)


def _focus(image: NDArray[np.float32], spacing_um: float, random: np.random.Generator) -> NDArray[np.float32]:
    """Blur or sharpen."""
    amount = random.uniform(-1, 1)
    if amount < 0:
        sigma_px = max(-amount * _MOST_BLUR_UM / spacing_um, 0.1)
        return cv2.GaussianBlur(image, (0, 0), sigma_px).astype(np.float32)
    detail = image - cv2.GaussianBlur(image, (0, 0), _SHARPENING_UM / spacing_um)
    sharpened: NDArray[np.float32] = (image + amount * _MOST_SHARPENING * detail).astype(np.float32)
    return sharpened
