"""How a picture is asked for: the query parameters of rendered resources (PS3.18 8.3.5)."""

import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self

from fastapi import Depends, Query

from vst_dicom.domain.errors import UsageError
from vst_dicom.domain.geometry import MatrixSize

MOST_SIDE_PX: Final = 2048
"""Longest side of a picture."""

THUMBNAIL_PX: Final = 256
QUALITY: Final = 90

_SIZE: Final = r"[0-9]{1,5},[0-9]{1,5}"
_PLACE: Final = r"[0-9]{0,9}(\.[0-9]{1,6})?"
_EXTENT: Final = r"(-?[0-9]{1,9}(\.[0-9]{1,6})?)?"
_VIEWPORT: Final = rf"^{_SIZE}(,{_PLACE},{_PLACE},{_EXTENT},{_EXTENT})?$"
_NUMBER: Final = r"-?[0-9]{1,9}(\.[0-9]{1,9})?"
_WINDOW: Final = rf"^{_NUMBER},{_NUMBER},(linear|linear-exact|sigmoid)$"
_ANNOTATION: Final = re.compile(r"[a-z]{1,20}")


@dataclass(frozen=True, slots=True)
class Region:
    """Part of an image, in its pixels.

    Parameters
    ----------
    x, y
        Its corner next to the first pixel.
    width, height
        Its extent; negative where the picture is flipped.
    """

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Window:
    """Which stored values become black and which white (PS3.3 C.11.2.1.2).

    Parameters
    ----------
    center, width
        As stated.
    function
        Between them.
    """

    center: float
    width: float
    function: str = "linear"


@dataclass(frozen=True, slots=True)
class Rendering:
    """How a picture is made.

    Parameters
    ----------
    viewport
        It is the largest picture that fits in; None for that of the image, or the largest allowed.
    region
        Its corner and extent as asked for, None for each that was not; empty for the whole image.
    window
        None for that of the object.
    quality
        Of JPEG, from 1 to 100.
    with_profile
        Whether the color profile of the slide is written into it.
    enlarges
        Whether small images are enlarged to the viewport.
    warning
        What was asked for and is not done; empty where there is none.
    """

    viewport: MatrixSize | None = None
    region: tuple[float | None, ...] = ()
    window: Window | None = None
    quality: int = QUALITY
    with_profile: bool = False
    enlarges: bool = True
    warning: str = ""

    @classmethod
    def thumbnail(cls, viewport: MatrixSize | None) -> Self:
        """Ask for a small picture."""
        return cls(viewport or MatrixSize(THUMBNAIL_PX, THUMBNAIL_PX), enlarges=False)

    def region_of(self, size: MatrixSize) -> Region:
        """Find the part of an image that is asked for; what reaches beyond it is cut off.

        Raises
        ------
        UsageError
            If no pixel is left.
        """
        x, y, width, height = self.region or (None,) * 4
        left, top = x or 0.0, y or 0.0
        right = min(size.n_columns, left + abs(width if width is not None else size.n_columns))
        bottom = min(size.n_rows, top + abs(height if height is not None else size.n_rows))
        if right - left < 1 or bottom - top < 1:
            msg = f"the viewport's part lies outside of the image, which has {size.n_columns} x {size.n_rows} pixels"
            raise UsageError(msg)
        flips = [-1 if extent is not None and extent < 0 else 1 for extent in (width, height)]
        return Region(left, top, (right - left) * flips[0], (bottom - top) * flips[1])

    def size_of(self, region: Region) -> MatrixSize:
        """Find the size of the picture: the largest of the same shape that fits into the viewport."""
        width, height = abs(region.width), abs(region.height)
        limit = self.viewport or MatrixSize(MOST_SIDE_PX, MOST_SIDE_PX)
        scale = min(limit.n_columns / width, limit.n_rows / height)
        if self.viewport is None or not self.enlarges:
            scale = min(scale, 1.0)
        return MatrixSize(max(1, round(height * scale)), max(1, round(width * scale)))


def _read_rendering(
    viewport: Annotated[
        str | None,
        Query(
            pattern=_VIEWPORT,
            max_length=100,
            description="Width and height that the picture fits into, at most 2048 each; then x, y, width and height "
            "of the part of the image, each may be empty, and a negative extent flips",
        ),
    ] = None,
    quality: Annotated[int, Query(ge=1, le=100, description="Of JPEG")] = QUALITY,
    window: Annotated[
        str | None, Query(pattern=_WINDOW, max_length=60, description="Center, width, function; of images in gray")
    ] = None,
    iccprofile: Annotated[
        Literal["no", "yes"], Query(description="Whether the color profile of the slide is in the picture")
    ] = "no",
    annotation: Annotated[
        str | None, Query(max_length=100, description="Nothing is written on pictures; a Warning says so")
    ] = None,
) -> Rendering:
    region = viewport.split(",")[2:] if viewport else []
    asked = ", ".join(_ANNOTATION.findall(annotation or "")[:5])
    return Rendering(
        viewport=_parse_size(viewport),
        region=tuple(float(part) if part else None for part in region),
        window=_parse_window(window),
        quality=quality,
        with_profile=iccprofile == "yes",
        warning=f"The following annotation values are not supported: {asked}" if asked else "",
    )


def _read_thumbnail(
    viewport: Annotated[
        str | None,
        Query(pattern=rf"^{_SIZE}$", description="Width and height that the picture fits into, at most 2048 each"),
    ] = None,
) -> Rendering:
    return Rendering.thumbnail(_parse_size(viewport))


def _parse_size(viewport: str | None) -> MatrixSize | None:
    if viewport is None:
        return None
    n_columns, n_rows = (int(part) for part in viewport.split(",")[:2])
    if not (1 <= n_columns <= MOST_SIDE_PX and 1 <= n_rows <= MOST_SIDE_PX):
        msg = f"the sides of the viewport are from 1 to {MOST_SIDE_PX} pixels long"
        raise UsageError(msg)
    return MatrixSize(n_rows, n_columns)


def _parse_window(text: str | None) -> Window | None:
    if text is None:
        return None
    center, width, function = text.split(",")
    if float(width) < (1 if function == "linear" else 1e-9):
        raise UsageError("the width of the window is too small (PS3.3 C.11.2.1.2)")
    return Window(float(center), float(width), function)


Rendered = Annotated[Rendering, Depends(_read_rendering)]
Small = Annotated[Rendering, Depends(_read_thumbnail)]
