"""The paper label at the end of a simulated glass slide."""

import hashlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vst_dicom.domain.pixels import RgbImage

_SIDE_PX = 416
_INK = (35, 35, 45)
_PAPER = (250, 249, 243)


def draw_label(patient_name: str, identifier: str) -> RgbImage:
    """Draw a label with a name, an identifier and bars.

    The bars follow from the identifier but are no barcode that a reader knows.

    Parameters
    ----------
    patient_name
        As in DICOM, ``Family^Given``.
    identifier
        Patient identifier.

    Returns
    -------
    RgbImage
        416 x 416 pixels.
    """
    picture = Image.new("RGB", (_SIDE_PX, _SIDE_PX), _PAPER)
    pen = ImageDraw.Draw(picture)
    family, _, given = patient_name.partition("^")
    lines = ((24, f"{family}, {given}"), (62, identifier), (100, "H&E  breast"), (356, "SIMULATED - NOT A PATIENT"))
    for top, text in lines:
        pen.text((28, top), text, fill=_INK, font=ImageFont.load_default(size=26))
    x = 28
    for byte in hashlib.sha256(identifier.encode()).digest() * 2:
        bar, gap = 2 + byte % 4, 2 + byte // 4 % 4
        if x + bar > _SIDE_PX - 28:
            break
        pen.rectangle((x, 160, x + bar - 1, 330), fill=_INK)
        x += bar + gap
    return np.asarray(picture, dtype=np.uint8).copy()
