"""Option values that several commands take."""

from typing import TYPE_CHECKING

from vst_dicom.domain.errors import UsageError

if TYPE_CHECKING:
    from vst_dicom.domain.geometry import MatrixSize, PixelSpacing


def parse_optional_spacing(text: str) -> "PixelSpacing | None":
    """Read what `parse_spacing` reads; None from empty text."""
    return parse_spacing(text) if text else None


def parse_spacing(text: str) -> "PixelSpacing":
    """Read ``X`` or ``X,Y``: micrometers between columns, then between rows.

    Raises
    ------
    UsageError
        If it is something else.
    """
    from vst_dicom.domain.geometry import PixelSpacing

    try:
        values = [float(part) for part in text.split(",")]
        x_um, y_um = values * 2 if len(values) == 1 else values
        return PixelSpacing.from_um(y_um, x_um)
    except ValueError as error:
        msg = f"--pixel-spacing-um must be one or two positive numbers, such as 0.5 or 0.5,0.25, not {text!r}"
        raise UsageError(msg) from error


def parse_size(text: str) -> "MatrixSize":
    """Read ``WIDTHxHEIGHT`` in pixels.

    Raises
    ------
    UsageError
        If it is something else.
    """
    from vst_dicom.domain.geometry import MatrixSize

    try:
        n_columns, n_rows = (int(part) for part in text.lower().replace("×", "x").split("x"))
        return MatrixSize(n_rows, n_columns)
    except ValueError as error:
        msg = f"--size must be width x height in pixels, such as 8192x6144, not {text!r}"
        raise UsageError(msg) from error


def split_list(text: str) -> list[str]:
    """Read ``A,B``; empty parts do not count."""
    return [part.strip() for part in text.split(",") if part.strip()]
