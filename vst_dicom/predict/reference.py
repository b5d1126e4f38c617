"""One fixed tile, so that a bundle can prove that the encoder that runs is the encoder that was fitted.

Another encoder, other normalization, swapped color channels or broken arithmetic on a device all change the
features of this tile; the head would then turn them into plausible nonsense.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import BundleError


def reference_tile(tile_px: int) -> NDArray[np.uint8]:
    """Make the tile: stripes and a moiré of whole-number arithmetic, different in each color.

    Returns
    -------
    NDArray[np.uint8]
        Red, green, blue, shape ``(tile_px, tile_px, 3)``; the same on every machine.
    """
    y, x = np.mgrid[0:tile_px, 0:tile_px].astype(np.int64)
    red = 3 * x + 5 * y + (x * y >> 4)
    green = 7 * x + 2 * y + (x * x >> 5)
    blue = x + 11 * y + (y * y >> 6)
    return (np.stack([red, green, blue], axis=-1) % 256).astype(np.uint8)


def tile_sha256(tile: NDArray[np.uint8]) -> str:
    """Hash of the pixels of a tile."""
    return hashlib.sha256(np.ascontiguousarray(tile).tobytes()).hexdigest()


def check_reference(embedding: NDArray[np.float32], expected: NDArray[np.float32], cos_min: float) -> None:
    """Compare the features of the reference tile, shape ``(embed_dim,)``, with those in the bundle.

    Raises
    ------
    BundleError
        If the angle between them is too large, or their lengths differ by more than 2 %.
    """
    lengths = float(np.linalg.norm(embedding)), float(np.linalg.norm(expected))
    cosine = float(embedding.astype(np.float64) @ expected) / max(lengths[0] * lengths[1], 1e-30)
    ratio = lengths[0] / max(lengths[1], 1e-30)
    if not cosine >= cos_min or not 0.98 <= ratio <= 1.02:
        msg = (
            f"the encoder does not answer as it did when the bundle was fitted: on the reference tile cosine "
            f"{cosine:.5f} (at least {cos_min}), length ratio {ratio:.4f} (0.98 to 1.02). Use precision fp32; if that "
            f"does not help, get the bundle again or run on another device"
        )
        raise BundleError(msg)
