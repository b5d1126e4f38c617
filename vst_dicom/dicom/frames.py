"""Pixels of a pyramid's level as JPEG frames."""

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
import simplejpeg

from vst_dicom.domain.pixels import RgbImage

JPEG_METHOD: Final = "ISO_10918_1"
"""JPEG Lossy Compression, Lossy Image Compression Method (0028,2114)."""


def halve(image: RgbImage) -> RgbImage:
    """Average blocks of 2 x 2 pixels; at odd ends the last row and column count twice."""
    n_rows, n_columns = image.shape[:2]
    if n_rows % 2 or n_columns % 2:
        image = np.pad(image, ((0, n_rows % 2), (0, n_columns % 2), (0, 0)), mode="edge")
    size = (image.shape[1] // 2, image.shape[0] // 2)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def cut_frame_row(strip: RgbImage, side_px: int) -> Iterator[RgbImage]:
    """Cut rows of a level, at most as many as a frame has, into square frames from left to right.

    Whole frames are views of the strip. Beyond the matrix its last pixels are repeated, so that JPEG does not ring
    inside it.
    """
    for x_px in range(0, strip.shape[1], side_px):
        frame = strip[:, x_px : x_px + side_px]
        n_rows, n_columns = frame.shape[:2]
        if (n_rows, n_columns) != (side_px, side_px):
            frame = np.pad(frame, ((0, side_px - n_rows), (0, side_px - n_columns), (0, 0)), mode="edge")
        yield frame


def encode_jpeg(image: RgbImage, quality: int) -> bytes:
    """Encode as JPEG baseline, chroma 4:2:2: what YBR_FULL_422 says (PS3.3 C.7.6.3.1.2)."""
    return bytes(
        simplejpeg.encode_jpeg(
            np.ascontiguousarray(image), quality=quality, colorspace="RGB", colorsubsampling="422", fastdct=False
        )
    )
