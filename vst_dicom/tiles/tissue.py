"""Where the slide shows tissue, and whether its color is that of hematoxylin and eosin."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import StainError, TissueError
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.pixels import RgbImage, Thumbnail

_SMOOTHING_UM: Final = 20.0
"""Width of the Gaussian that joins fibers and nuclei to tissue, in micrometers."""

_THRESHOLD_RANGE: Final = (0.03, 0.065)
"""Otsu's threshold of the green optical density is kept in here: it may neither split noise nor drop pale stroma."""

_LEAST_BRIGHT: Final = 170
"""Glass is at least this bright in every channel."""

_LEAST_GREEN_TO_RED: Final = 0.85
_LEAST_GREEN_OVER_BLUE: Final = 0.06
"""Mean optical density of H&E tissue: green at least about red, and above blue by a part of the sum.

Hematoxylin absorbs (0.65, 0.70, 0.29), eosin (0.07, 0.99, 0.11) (Ruifrok and Johnston 2001); measured H&E slides
of four scanners lie at 1.03 to 1.86 and 0.18 to 0.35, a blue stain at 0.68. DAB and gray fall below the second.
"""


@dataclass(frozen=True, eq=False)
class TissueMask:
    """Tissue of a slide.

    Parameters
    ----------
    mask
        True on tissue, shape ``(n_rows, n_columns)`` of the thumbnail.
    base_px
        Base level pixels per mask pixel, along x and along y.
    """

    mask: NDArray[np.bool_]
    base_px: tuple[float, float]

    def fraction(self, corners_px: NDArray[np.int64], tile_size: MatrixSize) -> NDArray[np.float32]:
        """Part of each tile that is tissue.

        Parameters
        ----------
        corners_px
            x, y of the top left pixel of each tile, base level, shape ``(n_tiles, 2)``.
        tile_size
            Rows and columns of a tile, base level pixels. What lies beyond the slide counts as glass.

        Returns
        -------
        NDArray[np.float32]
            0 to 1, shape ``(n_tiles,)``; exact to one mask pixel.
        """
        integral = cv2.integral(self.mask.astype(np.uint8))
        scale = np.array(self.base_px)
        limit = np.array([self.mask.shape[1], self.mask.shape[0]])
        far_px = corners_px + np.array([tile_size.n_columns, tile_size.n_rows])
        low = np.rint(corners_px / scale).astype(np.int64)
        high = np.maximum(np.rint(far_px / scale).astype(np.int64), low + 1)
        area = (high - low).prod(axis=1)
        (x0, y0), (x1, y1) = np.clip(low, 0, limit).T, np.clip(high, 0, limit).T
        tissue = integral[y1, x1] - integral[y0, x1] - integral[y1, x0] + integral[y0, x0]
        fraction: NDArray[np.float32] = (tissue / area).astype(np.float32)
        return fraction


def find_tissue(thumbnail: Thumbnail) -> TissueMask:
    """Tell tissue from glass by the smoothed optical density of green, which both H and E absorb most.

    Density is taken against the color of this slide's own glass, since cameras and lamps tint it.

    Raises
    ------
    TissueError
        If there is no tissue at all.
    """
    sigma_x = max(_SMOOTHING_UM / thumbnail.spacing.column_um, 0.5)
    sigma_y = max(_SMOOTHING_UM / thumbnail.spacing.row_um, 0.5)
    green = cv2.extractChannel(thumbnail.image, 1)
    smooth = cv2.GaussianBlur(green, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y, borderType=cv2.BORDER_REPLICATE)
    density = np.clip(_optical_density(_glass_color(thumbnail.image))[:, 1], 0, None)
    steps = cv2.LUT(smooth, np.clip(density * 400, 0, 255).astype(np.uint8))
    otsu, _ = cv2.threshold(steps, 0, 255, cv2.THRESH_OTSU)
    mask = np.asarray(density > np.clip(otsu / 400, *_THRESHOLD_RANGE))[smooth]
    if not mask.any():
        raise TissueError("the slide shows no tissue; nothing can be predicted on bare glass")
    return TissueMask(mask, thumbnail.base_px)


def check_stain(thumbnail: Thumbnail, tissue: TissueMask) -> None:
    """Refuse a slide whose tissue does not have the color of hematoxylin and eosin.

    A color test can tell a blue, brown or gray slide, not a counterstained one with little chromogen: the specimen
    preparation codes decide first where the slide has them.

    Raises
    ------
    StainError
        If the color does not fit.
    """
    density = np.clip(_optical_density(_glass_color(thumbnail.image)), 0, None)
    counts = _count_intensities(thumbnail.image, tissue.mask)
    red, green, blue = (counts * density).sum(axis=0) / counts.sum(axis=0)
    total = red + green + blue
    if total <= 0 or green < _LEAST_GREEN_TO_RED * red or green - blue < _LEAST_GREEN_OVER_BLUE * total:
        msg = (
            "the tissue does not have the color of hematoxylin and eosin "
            f"(mean optical density red {red:.2f}, green {green:.2f}, blue {blue:.2f}); send an H&E slide"
        )
        raise StainError(msg)


def _glass_color(image: RgbImage) -> NDArray[np.float32]:
    """Most frequent bright color, shape ``(3,)``; white where the slide shows no glass."""
    darkest = cv2.min(cv2.min(*cv2.split(image)[:2]), cv2.extractChannel(image, 2))
    counts = np.convolve(np.bincount(darkest.ravel(), minlength=256), np.ones(5), mode="same")
    counts[:_LEAST_BRIGHT] = 0
    mode = int(counts.argmax())
    if counts[mode] < 0.01 * darkest.size:
        return np.full(3, 255, dtype=np.float32)
    near = cv2.inRange(darkest, mode - 3, mode + 3).astype(np.bool_)
    below = _count_intensities(image, near).cumsum(axis=0)
    n_near = int(below[-1, 0])
    ranks = [(n_near - 1) // 2, n_near // 2]
    medians = [np.searchsorted(column, ranks, side="right").mean() for column in below.T]
    return np.array(medians, dtype=np.float32)


def _count_intensities(image: RgbImage, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How often each intensity occurs in each color where the mask is true, shape ``(256, 3)``."""
    where = mask.astype(np.uint8)
    counts = [cv2.calcHist([image], [color], where, [256], [0, 256]).ravel() for color in range(3)]
    return np.stack(counts, axis=1).astype(np.int64)


def _optical_density(glass: NDArray[np.float32]) -> NDArray[np.float32]:
    """Beer-Lambert: decadic logarithm of glass over each 8-bit intensity, shape ``(256, 3)``."""
    intensities = np.arange(256, dtype=np.float32)[:, np.newaxis]
    density: NDArray[np.float32] = np.log10((glass + 1) / (intensities + 1))
    return density
