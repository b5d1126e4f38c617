"""Every failure has a class, and the class says who must act.

::

    VstDicomError
    ├── UsageError            the caller: the request itself cannot be carried out
    │   ├── NotFoundError             what it names does not exist
    │   └── ConflictError             the present state of things forbids it
    ├── InputError            the sender of the slide must act
    │   ├── MissingInputError         no such file, or nothing that is a slide
    │   ├── NotDicomError             the file is not DICOM
    │   ├── UnsupportedInstanceError  DICOM, but not an image this product can read
    │   │   ├── UnexpectedSopClassError   not of the SOP class agreed on, or of none that is received
    │   │   └── TransferSyntaxError       encoded in a way that is not received
    │   ├── InvalidUidError           an identifier has not the form of a UID
    │   ├── DamagedInstanceError      truncated, inconsistent or undecodable
    │   ├── PixelSpacingError         spacing missing, impossible or too coarse
    │   ├── StainError                not an H&E slide
    │   ├── TissueError               no tissue to predict on
    │   └── UnfamiliarTissueError     too much of the tissue looks unlike that of the training
    ├── BundleError           the operator must act: wrong, damaged or unfit bundle
    ├── EncodingError         this product failed: a result does not say what was predicted
    ├── PeerError             another system failed; time may heal it
    └── ResourceError         memory, disk or device ran out; time may heal it

Messages name tags, UIDs, files and limits, and say what to do next. They never
carry a patient's name, birth date or identifier.
"""

from typing import ClassVar


class VstDicomError(Exception):
    """Base of every failure that this product raises on purpose."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False


class UsageError(VstDicomError):
    """The request itself cannot be carried out; the caller must change it."""

    code = "usage"


class NotFoundError(UsageError):
    """What the request names does not exist."""

    code = "usage-not-found"


class ConflictError(UsageError):
    """The request is fine, but the present state of what it is about forbids it."""

    code = "usage-conflict"


class InputError(VstDicomError):
    """The input cannot be processed; whoever sent it must act."""

    code = "input"


class MissingInputError(InputError):
    """There is no such file, or nothing in the folder is a slide."""

    code = "input-missing"


class NotDicomError(InputError):
    """The file is neither DICOM nor a slide format that can be opened."""

    code = "input-not-dicom"


class UnsupportedInstanceError(InputError):
    """The file is DICOM, but not an image that this product reads."""

    code = "input-unsupported"


class UnexpectedSopClassError(UnsupportedInstanceError):
    """The instance is not of the SOP class that was agreed on for sending it, or of none that is received."""

    code = "input-sop-class"


class TransferSyntaxError(UnsupportedInstanceError):
    """The instance is encoded in a way that is not received."""

    code = "input-transfer-syntax"


class InvalidUidError(InputError):
    """An identifier is missing, or has not the form of a UID."""

    code = "input-uid"


class DamagedInstanceError(InputError):
    """The instance is truncated, contradicts itself or cannot be decoded."""

    code = "input-damaged"


class PixelSpacingError(InputError):
    """The pixel spacing is missing, impossible or too coarse for the model."""

    code = "input-pixel-spacing"


class StainError(InputError):
    """The slide is not stained with hematoxylin and eosin."""

    code = "input-stain"


class TissueError(InputError):
    """The slide shows no tissue to predict on."""

    code = "input-no-tissue"


class UnfamiliarTissueError(InputError):
    """Too much of the tissue looks unlike what the model was trained on."""

    code = "input-unfamiliar"


class BundleError(VstDicomError):
    """The model bundle is missing, damaged or unfit; the operator must act."""

    code = "bundle"


class EncodingError(VstDicomError):
    """A written result does not say what was predicted; its makers must act."""

    code = "encoding"


class PeerError(VstDicomError):
    """Another system refused or did not answer."""

    code = "peer"
    retryable = True


class ResourceError(VstDicomError):
    """Memory, disk or device ran out."""

    code = "resource"
    retryable = True
