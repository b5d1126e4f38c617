"""One DICOM object of a result: what it is, how it is made, and how what was written is compared with the result."""

from collections.abc import Callable
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.errors import EncodingError
from vst_dicom.domain.result import SlideResult
from vst_dicom.encode.provenance import ResultKind


@dataclass(frozen=True, slots=True)
class ResultObject:
    """A DICOM object that is to be written.

    Parameters
    ----------
    kind
        Which of the objects of the result; its name is unique within the result.
    encode
        Makes it.
    check
        Compares what was read back with the result.

        Raises `EncodingError` where they differ.
    genes
        Symbols of the genes whose expression its frames show, frame by frame, or whose hotspots its segments show,
        segment by segment, empty where one shows something else; so that the report can refer to them.
    transfer_syntax_uid
        In which the object is written.
    """

    kind: ResultKind
    encode: Callable[[], Dataset]
    check: Callable[[Dataset], None]
    genes: tuple[str, ...] = ()
    transfer_syntax_uid: str = ExplicitVRLittleEndian

    @property
    def file_name(self) -> str:
        """Its file in the result folder."""
        return f"{self.kind.name}.dcm"

    def series_uid(self, source: SourceSlide, result: SlideResult) -> str:
        """Its Series Instance UID."""
        return self.kind.series_uid(source, result)

    def instance_uid(self, source: SourceSlide, result: SlideResult) -> str:
        """Its SOP Instance UID."""
        return self.kind.instance_uid(source, result)


def require(condition: bool, otherwise: str) -> None:
    """Hold that a written object says what it should.

    Raises
    ------
    EncodingError
        If the condition does not hold.
    """
    if not condition:
        raise EncodingError(otherwise)
