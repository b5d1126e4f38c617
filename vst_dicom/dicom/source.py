"""The slide as results refer to it: identity, place and header of its base level."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from pydicom.dataset import Dataset

from vst_dicom.domain.geometry import MatrixSize, SlidePlane
from vst_dicom.domain.pixels import Level, RgbImage


@dataclass(frozen=True, eq=False)
class SourceSlide:
    """Identity and place of a slide's base level.

    A vendor's file has no DICOM identity of its own: then the headers are the ones that ``vst-dicom import`` would
    write for it, with UIDs derived from its content, so that results fit the imported slide.

    Parameters
    ----------
    instances
        Headers without pixel data of the base level: one instance, or all parts of a concatenation in order.
    size
        Total pixel matrix of the base level.
    plane
        Where it lies on the slide.
    content_sha256
        Hash over the pixel content of all levels used, file by file.
    optical_path
        Identifier of the optical path that was read (0048,0106), empty where the slide names none.
    focal_plane
        Number of the focal plane that was read, from 0, and how many there are.
    spacing_assumed
        Whether the pixel spacing was given by the user, not by the slide.
    warnings
        What was tolerated on reading.
    """

    instances: tuple[Dataset, ...]
    size: MatrixSize
    plane: SlidePlane
    content_sha256: str
    optical_path: str = ""
    focal_plane: tuple[int, int] = (0, 1)
    spacing_assumed: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def header(self) -> Dataset:
        """Header of the first base level instance."""
        return self.instances[0]

    @property
    def study_instance_uid(self) -> str:
        """Study Instance UID (0020,000D)."""
        return str(self.header.StudyInstanceUID)

    @property
    def series_instance_uid(self) -> str:
        """Series Instance UID (0020,000E)."""
        return str(self.header.SeriesInstanceUID)

    @property
    def frame_of_reference_uid(self) -> str:
        """Frame of Reference UID (0020,0052)."""
        return str(self.header.FrameOfReferenceUID)


class Slide(Protocol):
    """An open slide: a pixel source with an identity. Use it as a context manager."""

    @property
    def source(self) -> SourceSlide:
        """What results refer to."""
        ...

    @property
    def levels(self) -> Sequence[Level]:
        """Resolutions, the largest first."""
        ...

    def read_frame(self, level: int, frame_row: int, frame_column: int, reduce: int = 1) -> RgbImage | None:
        """Decode one frame, see `vst_dicom.domain.pixels.PixelSource`."""
        ...

    def close(self) -> None:
        """Release files."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
