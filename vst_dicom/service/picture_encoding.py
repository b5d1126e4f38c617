"""Pictures as browsers read them: scaled, flipped, encoded as JPEG or PNG."""

from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.pixels import RgbImage
from vst_dicom.service.render_parameters import Region

JPEG: Final = "image/jpeg"
PNG: Final = "image/png"
MEDIA_TYPES: Final = (JPEG, PNG)
"""Of pictures, the default first (PS3.18 table 8.7.4-1)."""

_FAST: Final = 3
"""Level of compression; more costs much time and saves little."""


def cut(picture: RgbImage, region: Region) -> RgbImage:
    """Cut a part out of a picture, in whole pixels and at least one."""
    top, left = int(region.y), int(region.x)
    n_rows, n_columns = max(1, round(abs(region.height))), max(1, round(abs(region.width)))
    return picture[top : top + n_rows, left : left + n_columns]


def scale(picture: RgbImage, size: MatrixSize, region: Region, *, smooth: bool) -> RgbImage:
    """Scale a picture to a size, and flip it as the region says.

    Parameters
    ----------
    picture
        Of the region.
    size
        To reach.
    region
        A negative extent flips.
    smooth
        Whether enlarging makes new colors between the pixels; values of maps must not become others.
    """
    if picture.shape[:2] != (size.n_rows, size.n_columns):
        grows = size.n_rows > picture.shape[0] or size.n_columns > picture.shape[1]
        import cv2

        method = (cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST) if grows else cv2.INTER_AREA
        picture = np.asarray(cv2.resize(picture, (size.n_columns, size.n_rows), interpolation=method), dtype=np.uint8)
    return picture[:: -1 if region.height < 0 else 1, :: -1 if region.width < 0 else 1]


def encode(picture: RgbImage, media_type: str, quality: int, *, icc_profile: bytes | None, comment: str) -> bytes:
    """Encode a picture.

    Parameters
    ----------
    picture
        What it shows.
    media_type
        One of `MEDIA_TYPES`.
    quality
        Of JPEG.
    icc_profile
        To be written into it, if any.
    comment
        To be written into it; empty for none.
    """
    encoded = BytesIO()
    image = Image.fromarray(np.ascontiguousarray(picture))
    if media_type == PNG:
        texts = PngInfo()
        if comment:
            texts.add_text("Comment", comment)
        image.save(encoded, "PNG", compress_level=_FAST, icc_profile=icc_profile, pnginfo=texts)
    else:
        image.save(encoded, "JPEG", quality=quality, icc_profile=icc_profile, comment=comment.encode())
    return encoded.getvalue()
