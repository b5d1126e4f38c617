"""What the header of an instance says about its place in a slide."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from pydicom.dataset import Dataset

from vst_dicom.dicom.attributes import read_int, read_items, read_text
from vst_dicom.dicom.whole_slide import is_resampled, is_volume, shows_predictions
from vst_dicom.domain.errors import DamagedInstanceError

_MOST_PARTS: Final = 65_535
"""In-concatenation Number (0020,9162) is an unsigned short."""


@dataclass(frozen=True, slots=True)
class Concatenation:
    """Which part of a divided image an instance is (PS3.3 C.7.6.16.2.2.4).

    Parameters
    ----------
    uid
        Concatenation UID (0020,9161).
    number, total
        In-concatenation Number (0020,9162) and Total Number (0020,9163); None where not stated.
    first_frame
        Concatenation Frame Offset Number (0020,9228); None where not stated.
    """

    uid: str
    number: int | None
    total: int | None
    first_frame: int | None


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """What grouping and completeness need to know of an instance; whatever is broken counts as not stated.

    Parameters
    ----------
    container
        Container Identifier (0040,0512).
    pyramid_uid
        Pyramid UID (0008,0019).
    is_volume
        Whether it shows tissue at one resolution; False for label, overview and thumbnail.
    is_resampled
        Whether it was made from a larger image.
    n_rows, n_columns
        Of the total pixel matrix; 0 where not stated.
    n_frames
        Number of Frames (0028,0008).
    n_frames_of_image
        Frames of the whole image where the header tells: TILED_FULL (PS3.3 C.7.6.17.3).
    concatenation
        Which part it is; None for an undivided image.
    device_uids
        Device UIDs (0018,1002) of the instance and of its contributing equipment.
    shows_predictions
        Whether it says that this product predicted what it shows.
    problem
        Why the header could not be read; empty if it could.
    """

    container: str = ""
    pyramid_uid: str = ""
    is_volume: bool = False
    is_resampled: bool = False
    n_rows: int = 0
    n_columns: int = 0
    n_frames: int = 1
    n_frames_of_image: int | None = None
    concatenation: Concatenation | None = None
    device_uids: frozenset[str] = frozenset()
    shows_predictions: bool = False
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """Write them for a database; a problem is never written."""
        values = asdict(self)
        del values["problem"]
        return values | {"device_uids": sorted(self.device_uids)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        part = values["concatenation"]
        return cls(
            **{
                **values,
                "concatenation": None if part is None else Concatenation(**part),
                "device_uids": frozenset(values["device_uids"]),
            }
        )


def read_facts(header: Dataset) -> InstanceFacts:
    """Take from a header what grouping and completeness need."""
    n_rows = _positive(header, "TotalPixelMatrixRows") or 0
    n_columns = _positive(header, "TotalPixelMatrixColumns") or 0
    return InstanceFacts(
        container=_text(header, "ContainerIdentifier"),
        pyramid_uid=_text(header, "PyramidUID"),
        is_volume=_is_true(is_volume, header),
        is_resampled=_is_true(is_resampled, header),
        n_rows=n_rows,
        n_columns=n_columns,
        n_frames=_positive(header, "NumberOfFrames") or 1,
        n_frames_of_image=_count_frames_of_image(header, n_rows, n_columns),
        concatenation=_read_concatenation(header),
        device_uids=_device_uids(header),
        shows_predictions=_is_true(shows_predictions, header),
    )


def _count_frames_of_image(header: Dataset, n_rows: int, n_columns: int) -> int | None:
    """Frames that a fully tiled image has: the tiles of each focal plane of each optical path."""
    if _text(header, "DimensionOrganizationType").upper() != "TILED_FULL":
        return None
    frame_rows, frame_columns = _positive(header, "Rows"), _positive(header, "Columns")
    if not (n_rows and n_columns and frame_rows and frame_columns):
        return None
    n_planes = _positive(header, "TotalPixelMatrixFocalPlanes") or 1
    n_paths = _positive(header, "NumberOfOpticalPaths") or 1
    return -(-n_rows // frame_rows) * -(-n_columns // frame_columns) * n_planes * n_paths


def _read_concatenation(header: Dataset) -> Concatenation | None:
    uid = _text(header, "ConcatenationUID")
    if not uid:
        return None
    total = _positive(header, "InConcatenationTotalNumber")
    return Concatenation(
        uid=uid,
        number=_positive(header, "InConcatenationNumber"),
        total=total if total is None or total <= _MOST_PARTS else None,
        first_frame=_int(header, "ConcatenationFrameOffsetNumber"),
    )


def _device_uids(header: Dataset) -> frozenset[str]:
    try:
        contributors = read_items(header, "ContributingEquipmentSequence")
    except DamagedInstanceError:
        contributors = ()
    return frozenset(uid for item in (header, *contributors) for uid in [_text(item, "DeviceUID")] if uid)


def _is_true(question: Callable[[Dataset], bool], header: Dataset) -> bool:
    try:
        return question(header)
    except DamagedInstanceError:
        return False


def _text(header: Dataset, keyword: str) -> str:
    try:
        return read_text(header, keyword)
    except DamagedInstanceError:
        return ""


def _int(header: Dataset, keyword: str) -> int | None:
    try:
        return read_int(header, keyword)
    except DamagedInstanceError:
        return None


def _positive(header: Dataset, keyword: str) -> int | None:
    number = _int(header, keyword)
    return number if number is not None and number > 0 else None
