"""What a pyramid will be before any pixel is written: sizes, planes, identifiers."""

import hashlib
from dataclasses import astuple, dataclass
from datetime import datetime
from functools import cached_property
from typing import Final

from vst_dicom.dicom.uids import derive_uid
from vst_dicom.domain.errors import UsageError
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing, SlidePlane
from vst_dicom.slide.description import SlideDescription
from vst_dicom.slide.description_rules import check_description

UPRIGHT: Final = (0.0, 1.0, 0.0, 1.0, 0.0, 0.0)
"""Rows run along the long side of the glass, columns along its short side.

Of the eight axis-aligned choices four show the slide unmirrored (row x column points into the glass), and of these
this one alone makes DICOM web viewers show the matrix as it is stored. It is used where the true position is unknown.
"""


@dataclass(frozen=True, slots=True)
class LossyStep:
    """One lossy compression that the pixels went through.

    Parameters
    ----------
    method
        Lossy Image Compression Method (0028,2114), such as ``ISO_10918_1``.
    ratio
        Lossy Image Compression Ratio (0028,2112): bytes before over bytes after.
    """

    method: str
    ratio: float


def upright_plane(spacing: PixelSpacing) -> SlidePlane:
    """Plane for a slide whose place on the glass is unknown: the outer corner of its matrix is the slide's origin."""
    return SlidePlane((spacing.row_mm / 2, spacing.column_mm / 2, 0.0), UPRIGHT, spacing)


@dataclass(frozen=True)
class PyramidPlan:
    """Everything that decides the headers of a pyramid; the pixels add only the compression ratio.

    Parameters
    ----------
    description
        Patient, specimen, equipment.
    uid_seed
        Where the identifiers derive from: the same seed, description and encoding give the same UIDs.
    now
        Content date and time; also the acquisition's where the description names none.
    size
        Total pixel matrix of the base level.
    plane
        Where the base level lies on the slide.
    frame_px
        Rows and columns of a frame.
    jpeg_quality
        1 to 100.
    earlier_compression
        Lossy steps that the source's pixels went through before, oldest first.
    icc_profile
        Of the source's colors; None means sRGB.

    Raises
    ------
    UsageError
        If the frame size, the quality or a value of the description is out of range.
    """

    description: SlideDescription
    uid_seed: str
    now: datetime
    size: MatrixSize
    plane: SlidePlane
    frame_px: int = 256
    jpeg_quality: int = 85
    earlier_compression: tuple[LossyStep, ...] = ()
    icc_profile: bytes | None = None

    def __post_init__(self) -> None:
        check_description(self.description)
        if self.frame_px % 16 or not 64 <= self.frame_px <= 2048:
            msg = f"a frame must be 64 to 2048 pixels wide, a multiple of 16, not {self.frame_px}"
            raise UsageError(msg)
        if not 1 <= self.jpeg_quality <= 100:
            msg = f"the JPEG quality must lie between 1 and 100, not {self.jpeg_quality}"
            raise UsageError(msg)

    @cached_property
    def level_sizes(self) -> tuple[MatrixSize, ...]:
        """Total pixel matrices, halved (rounding up) until one frame holds the whole slide."""
        sizes = [self.size]
        while max(sizes[-1].n_rows, sizes[-1].n_columns) > self.frame_px:
            sizes.append(sizes[-1].divided_by(MatrixSize(2, 2)))
        return tuple(sizes)

    @property
    def frame_size(self) -> MatrixSize:
        """Rows and columns of a frame."""
        return MatrixSize(self.frame_px, self.frame_px)

    def n_frames(self, level: int) -> int:
        """How many frames a level has."""
        grid = self.level_sizes[level].divided_by(self.frame_size)
        return grid.n_rows * grid.n_columns

    def level_plane(self, level: int) -> SlidePlane:
        """Where a level lies.

        All levels state the base level's origin, as scanners do, although the first pixel center moves inward as
        pixels grow: wsidicom takes levels whose origins differ by more than 20 µm for different slides. Positions
        are to be computed from the base level.
        """
        spacing = self.plane.spacing.scaled(2**level, 2**level)
        return SlidePlane(self.plane.origin_mm, self.plane.orientation, spacing)

    @cached_property
    def identity(self) -> str:
        """Hash of the slide and what is said about it, in hexadecimal."""
        text = "\x1f".join([self.uid_seed, *map(repr, astuple(self.description))])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def study_instance_uid(self) -> str:
        """Study Instance UID (0020,000D)."""
        return self.description.study_instance_uid or derive_uid("study", self.identity)

    def slide_uid(self, kind: str) -> str:
        """Derive an identifier of the glass or the tissue: independent of how the pixels are encoded."""
        return derive_uid(kind, self.identity)

    def image_uid(self, kind: str) -> str:
        """Derive an identifier of a series or an instance: other frames, quality or position make other objects."""
        return derive_uid(kind, self.identity, repr((self.frame_px, self.jpeg_quality, astuple(self.plane))))
