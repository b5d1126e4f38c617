"""What a C-STORE answers: one table, from the class of the failure to the status (PS3.4 table B.2-1).

STOW-RS gives the same numbers as Failure Reason (0008,1197) (PS3.18 table I.2-2).
"""

from typing import Final, NamedTuple

from vst_dicom.domain.errors import (
    InputError,
    InvalidUidError,
    ResourceError,
    TransferSyntaxError,
    UnexpectedSopClassError,
    UnsupportedInstanceError,
    VstDicomError,
)

SUCCESS: Final = 0x0000
OUT_OF_RESOURCES: Final = 0xA700
TRANSFER_SYNTAX_NOT_SUPPORTED: Final = 0xC122
"""By STOW-RS only (PS3.18 table I.2-2): for a C-STORE it is agreed on beforehand."""

_STATUS: Final[tuple[tuple[type[VstDicomError], int], ...]] = (
    (ResourceError, OUT_OF_RESOURCES),  # Refused: Out of Resources
    (InvalidUidError, 0x0117),  # Invalid SOP Instance (PS3.7 C.4.2)
    (UnexpectedSopClassError, 0x0122),  # SOP Class not supported (PS3.7 C.4.2)
    (TransferSyntaxError, TRANSFER_SYNTAX_NOT_SUPPORTED),
    (UnsupportedInstanceError, 0xA900),  # Error: Data Set does not match SOP Class
    (InputError, 0xC000),  # Error: Cannot understand
)
"""First match wins, so a subclass stands above its base."""

_OTHERWISE: Final = OUT_OF_RESOURCES
"""Whatever else fails is no fault of the instance; the sender keeps it and tries again."""

_MAX_COMMENT: Final = 64
"""Length of Error Comment (0000,0902), a long string."""


class Status(NamedTuple):
    """Status (0000,0900) and Error Comment (0000,0902) of a response."""

    code: int
    comment: str = ""


def status_of(error: Exception) -> Status:
    """Choose the status that a failure is answered with; its comment never quotes the instance."""
    if not isinstance(error, VstDicomError):
        return Status(_OTHERWISE, "internal failure; send again later")
    code = next((code for kind, code in _STATUS if isinstance(error, kind)), _OTHERWISE)
    text = str(error).encode("ascii", "replace").decode().replace("\\", "/")
    return Status(code, text[:_MAX_COMMENT])
