"""Colors that viewers are asked to use."""

from collections.abc import Sequence
from typing import Final

import numpy as np

RGB = tuple[int, int, int]

TISSUE: Final[RGB] = (160, 160, 160)

HOTSPOTS: Final[tuple[RGB, ...]] = (
    (213, 94, 0),
    (0, 114, 178),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
    (240, 228, 66),
)
"""Told apart by people with any color vision (Okabe and Ito 2008); gene after gene, then again from the start."""

TISSUE_CLASSES: Final[tuple[RGB, ...]] = (
    (122, 92, 160),
    (222, 165, 182),
    (64, 84, 150),
    (236, 222, 170),
    (190, 190, 190),
)
"""In the order of `vst_dicom.domain.tissue.TISSUE_CLASSES`: muted, so that hotspots stand out from them."""

QUINTILES: Final[tuple[RGB, ...]] = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
"""Lowest to highest: equal steps of viridis, which grows evenly lighter."""

_SRGB_TO_XYZ_D50: Final = np.array(
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)
_WHITE_D50: Final = np.array([0.96422, 1.0, 0.82521])


def to_cielab_value(color: RGB) -> list[int]:
    """Write an sRGB color as Recommended Display CIELab Value (0062,000D).

    L* from 0 to 100 and a*, b* from -128 to 127 are spread over 0 to 65535 (PS3.3 C.10.7.1.1); white is D50.
    """
    srgb = np.array(color) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    relative = _SRGB_TO_XYZ_D50 @ linear / _WHITE_D50
    x, y, z = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative / (3 * (6 / 29) ** 2) + 4 / 29)
    lightness, a, b = 116 * y - 16, 500 * (x - y), 200 * (y - z)
    scaled = np.array([lightness / 100, (a + 128) / 255, (b + 128) / 255]) * 65535
    return [int(value) for value in np.clip(np.rint(scaled), 0, 65535)]


def from_cielab_value(stored: Sequence[float]) -> RGB:
    """Read Recommended Display CIELab Value (0062,000D) as sRGB, as near as that comes; see `to_cielab_value`."""
    lightness, a, b = np.array(stored) / 65535 * (100, 255, 255) - (0, 128, 128)
    middle = (lightness + 16) / 116
    scaled = np.array([middle + a / 500, middle, middle - b / 200])
    relative = np.where(scaled > 6 / 29, scaled**3, 3 * (6 / 29) ** 2 * (scaled - 4 / 29))
    linear = np.clip(np.linalg.solve(_SRGB_TO_XYZ_D50, relative * _WHITE_D50), 0, 1)
    srgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = np.rint(srgb * 255).astype(int).tolist()
    return red, green, blue
