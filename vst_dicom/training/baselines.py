"""What a model must beat: counting nuclei, the amount of stain, the number of transcripts.

A correlation says little on its own, since cellular tissue yields more transcripts of nearly every gene. Each baseline
is a linear regression per gene on one or two plain numbers, fitted on the same training spots as the model.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.pixels import RgbImage

_NUCLEUS_SIGMA_UM: Final = 1.25
_SURROUND_SIGMA_UM: Final = 3.0
"""A nucleus is darker in hematoxylin at the first scale than at the second."""

_LEAST_CONTRAST: Final = 0.06
"""Least difference of hematoxylin optical density between the two scales."""

_NUCLEUS_DIAMETER_UM: Final = 4.5
"""Two nuclei are at least this far apart."""

_HEMATOXYLIN: Final = (0.65, 0.70, 0.29)
_EOSIN: Final = (0.07, 0.99, 0.11)
"""Absorption of red, green and blue (Ruifrok and Johnston 2001)."""


def stain_vectors() -> NDArray[np.float64]:
    """Optical density of red, green and blue per unit of hematoxylin, eosin and the rest, shape ``(3, 3)``."""
    vectors = np.array([_HEMATOXYLIN, _EOSIN, np.cross(_HEMATOXYLIN, _EOSIN)])
    unit: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def separate_stains(image: RgbImage) -> NDArray[np.float32]:
    """Optical density of hematoxylin, eosin and the rest, shape ``(n_rows, n_columns, 3)``, glass taken as white."""
    density = -np.log10((image.astype(np.float32) + 1) / 256)
    stains: NDArray[np.float32] = (density.reshape(-1, 3) @ np.linalg.inv(stain_vectors())).astype(np.float32)
    return stains.reshape(image.shape)


def count_nuclei(hematoxylin: NDArray[np.float32], spacing_um: float) -> int:
    """Count dark blobs of the size of nuclei.

    Touching nuclei may count as one and large ones as two; as a yardstick that is enough.

    Parameters
    ----------
    hematoxylin
        Optical density, shape ``(n_rows, n_columns)``.
    spacing_um
        Pixel spacing, micrometers.
    """
    contrast = cv2.GaussianBlur(hematoxylin, (0, 0), _NUCLEUS_SIGMA_UM / spacing_um) - cv2.GaussianBlur(
        hematoxylin, (0, 0), _SURROUND_SIGMA_UM / spacing_um
    )
    side = 2 * max(1, round(_NUCLEUS_DIAMETER_UM / spacing_um / 2)) + 1
    around = cv2.dilate(contrast, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return int(((contrast == around) & (contrast > _LEAST_CONTRAST)).sum())


def describe_tile(image: RgbImage, spacing_um: float) -> tuple[float, float, float]:
    """Give the number of nuclei, mean hematoxylin and mean eosin density of a tile."""
    stains = separate_stains(image)
    return (
        float(count_nuclei(np.ascontiguousarray(stains[..., 0]), spacing_um)),
        float(stains[..., 0].mean()),
        float(stains[..., 1].mean()),
    )


def regress(
    train: NDArray[np.float64], expression: NDArray[np.floating], test: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Fit each gene to some plain numbers by least squares and predict it for other spots.

    Parameters
    ----------
    train, test
        Numbers per spot, shapes ``(n_train, k)`` and ``(n_test, k)``.
    expression
        Of the training spots, shape ``(n_train, n_genes)``.

    Returns
    -------
    NDArray[np.float64]
        Shape ``(n_test, n_genes)``.
    """
    coefficients, *_ = np.linalg.lstsq(np.column_stack([np.ones(len(train)), train]), expression, rcond=None)
    predicted: NDArray[np.float64] = np.column_stack([np.ones(len(test)), test]) @ coefficients
    return predicted
