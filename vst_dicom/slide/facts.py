"""What a file that is not DICOM says about itself besides pixels."""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from vst_dicom.domain.errors import PixelSpacingError
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.pixels import RgbImage
from vst_dicom.slide.description import SlideDescription
from vst_dicom.slide.pyramid import LossyStep

_CREDIBLE_UM: Final = (0.02, 20.0)
"""Pixel spacings of microscopes; 72 dpi, the usual default of cameras, would be 353 µm."""

_DISAGREEMENT: Final = 0.05


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Facts of a vendor's or a plain file; empty or None where it is silent.

    Parameters
    ----------
    spacing_um
        Distance between columns (x) and between rows (y), in micrometers, as stated.
    spacing_origin
        Where that was stated.
    icc_profile
        Embedded color profile.
    acquired
        When the slide was scanned.
    manufacturer, model_name, device_serial_number
        Of the scanner.
    earlier_compression
        Lossy steps that the pixels went through.
    warnings
        What was tolerated.
    """

    spacing_um: tuple[float, float] | None = None
    spacing_origin: str = ""
    icc_profile: bytes | None = None
    acquired: datetime | None = None
    manufacturer: str = ""
    model_name: str = ""
    device_serial_number: str = ""
    earlier_compression: tuple[LossyStep, ...] = ()
    warnings: tuple[str, ...] = ()

    def complete(self, description: SlideDescription) -> SlideDescription:
        """Fill what the description leaves unknown."""
        known = {
            name: getattr(self, name)
            for name in ("manufacturer", "model_name", "device_serial_number")
            if getattr(description, name) == "unknown" and getattr(self, name)
        }
        return replace(description, acquired=description.acquired or self.acquired, **known)


class VendorImage(Protocol):
    """Pixels and facts of a file, whatever its format; sizes before the spacing is settled."""

    @property
    def sizes(self) -> tuple[MatrixSize, ...]:
        """Total pixel matrices, the largest first."""
        ...

    @property
    def frame_size(self) -> MatrixSize:
        """Rows and columns of the frames that `read_frame` answers."""
        ...

    @property
    def facts(self) -> FileFacts:
        """What the file says about itself."""
        ...

    def read_frame(self, level: int, frame_row: int, frame_column: int, reduce: int = 1) -> RgbImage | None:
        """Decode one frame, see `vst_dicom.domain.pixels.PixelSource`."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


def settle_spacing(
    path: Path, facts: FileFacts, given: PixelSpacing | None
) -> tuple[PixelSpacing, bool, tuple[str, ...]]:
    """Choose between the stated and the given pixel spacing; the user's word stands above the file's.

    Returns
    -------
    tuple
        The spacing, whether the user gave it, and warnings.

    Raises
    ------
    PixelSpacingError
        If neither is there, or the chosen one is impossible for a microscope.
    """
    if given is None and facts.spacing_um is None:
        msg = f"{path.name} states no pixel spacing; give it in micrometers with --pixel-spacing-um"
        raise PixelSpacingError(msg)
    stated = facts.spacing_um
    x_um, y_um = (given.column_um, given.row_um) if given else stated or (0.0, 0.0)
    if not all(_CREDIBLE_UM[0] <= value <= _CREDIBLE_UM[1] for value in (x_um, y_um)):
        origin = "was given" if given else f"is stated by its {facts.spacing_origin}"
        msg = (
            f"{path.name}: a pixel spacing of {x_um:g} x {y_um:g} µm {origin}, outside {_CREDIBLE_UM[0]:g} to "
            f"{_CREDIBLE_UM[1]:g} µm; give the true one with --pixel-spacing-um"
        )
        raise PixelSpacingError(msg)
    warnings = []
    if given and stated and any(abs(a / b - 1) > _DISAGREEMENT for a, b in zip((x_um, y_um), stated, strict=True)):
        warnings.append(
            f"the given pixel spacing {x_um:g} x {y_um:g} µm replaces {stated[0]:g} x {stated[1]:g} µm, "
            f"stated by the file's {facts.spacing_origin}"
        )
    if not given and facts.spacing_origin.startswith("TIFF"):
        warnings.append(f"pixel spacing {x_um:g} x {y_um:g} µm taken from the {facts.spacing_origin}")
    return given or PixelSpacing.from_um(y_um, x_um), given is not None, tuple(warnings)
