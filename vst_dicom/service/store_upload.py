"""The body of a STOW-RS request on its way to the spool: each part is one instance, and none is held in memory."""

from dataclasses import dataclass, replace
from io import BytesIO
from typing import Final

from pydicom import dcmread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from vst_dicom.dicom.attributes import read_uid
from vst_dicom.domain.errors import DamagedInstanceError, UsageError, VstDicomError
from vst_dicom.receive.reception import ProtocolError, Reception, StoreRequest
from vst_dicom.receive.spool import HEAD_BYTES, data_set_start
from vst_dicom.receive.statuses import Status
from vst_dicom.receive.storing import Storage
from vst_dicom.receive.walk import Identity

DICOM: Final = "application/dicom"

_LONGEST_HEADER: Final = 64 << 10
_LONGEST_BOUNDARY: Final = 200
"""RFC 2046 5.1.1 allows 70; Orthanc sends 73."""


class TooMuchError(Exception):
    """The body passes a limit."""


class OtherTypeError(Exception):
    """The body, or a part of it, is of a type that is not stored."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """How much one request may bring.

    Parameters
    ----------
    instance_bytes, body_bytes
        Of one data set, and of all together; a data set beyond fails by itself.
    parts
        Instances.
    """

    instance_bytes: int
    body_bytes: int
    parts: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of one part.

    Parameters
    ----------
    request
        As its file meta information names it; UIDs are empty if that cannot be read.
    identity
        As its data set says; None if it was not read.
    status
        As a C-STORE would be answered.
    """

    request: StoreRequest
    identity: Identity | None
    status: Status


class Upload:
    """Stores the parts of a body as they come.

    Parameters
    ----------
    storage
        Where instances go, as those of a C-STORE.
    content_type
        Of the request.
    limits
        How much it may bring.
    study_instance_uid
        The only study that instances may belong to; any if empty.
    peer_address, calling_ae
        Who sends; kept as that of a C-STORE is.

    Raises
    ------
    OtherTypeError
        If the body is not of instances in the DICOM file format.
    UsageError
        If the type lacks what divides the parts.
    """

    def __init__(
        self,
        storage: Storage,
        content_type: str,
        limits: UploadLimits,
        study_instance_uid: str = "",
        peer_address: str = "",
        calling_ae: str = "",
    ) -> None:
        media_type, parameters = parse_options_header(content_type)
        boundary = parameters.get(b"boundary", b"")
        if media_type != b"multipart/related" or parameters.get(b"type", b"").lower() != DICOM.encode():
            raise OtherTypeError(f'send Content-Type: multipart/related; type="{DICOM}"; boundary=...')
        if not 0 < len(boundary) <= _LONGEST_BOUNDARY:
            raise UsageError(f"the parameter boundary of Content-Type must have 1 to {_LONGEST_BOUNDARY} characters")
        self.outcomes: list[Stored] = []
        self._storage = storage
        self._limits = limits
        self._sender = StoreRequest(
            0, "", "", "", "", calling_ae=calling_ae, peer_address=peer_address, study_instance_uid=study_instance_uid
        )
        self._n_bytes = 0
        self._has_ended = False
        self._part: _Part | None = None
        self._field, self._value = bytearray(), bytearray()
        self._type = b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": lambda data, start, stop: self._field.extend(data[start:stop]),
                "on_header_value": lambda data, start, stop: self._value.extend(data[start:stop]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._open_part,
                "on_part_data": self._take,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )

    def feed(self, data: bytes) -> None:
        """Take the next bytes; instances that end in them are on the disk and in the ledger when this returns.

        Raises
        ------
        TooMuchError
            If a limit is passed.
        OtherTypeError
            If a part is no DICOM file.
        UsageError
            If the bytes are not divided as they should be.
        """
        self._n_bytes += len(data)
        if self._n_bytes > self._limits.body_bytes:
            raise TooMuchError(f"a request may have {self._limits.body_bytes} bytes")
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise UsageError("the body is not multipart as its Content-Type says (RFC 2046)") from error
        except ProtocolError as error:
            raise TooMuchError(f"an instance may have {self._limits.instance_bytes} bytes") from error

    def finish(self) -> list[Stored]:
        """Say what became of each part, once all bytes came.

        Raises
        ------
        UsageError
            If the body is cut off, or holds nothing.
        """
        if not self._has_ended:
            raise UsageError("the body is cut off: its closing boundary is missing; send it again")
        if not self.outcomes:
            raise UsageError("the body holds no instance")
        return self.outcomes

    def discard(self) -> None:
        """Remove what is half received."""
        if self._part is not None:
            self._part.discard()
            self._part = None

    def _begin_part(self) -> None:
        if len(self.outcomes) >= self._limits.parts:
            raise TooMuchError(f"a request may bring {self._limits.parts} instances")
        self._field.clear()
        self._value.clear()
        self._type = b""

    def _end_header(self) -> None:
        if self._field.strip().lower() == b"content-type":
            self._type, _ = parse_options_header(bytes(self._value))
        self._field.clear()
        self._value.clear()

    def _open_part(self) -> None:
        if self._type not in (b"", DICOM.encode()):
            raise OtherTypeError(f"each part must be of type {DICOM}")
        room = self._limits.body_bytes - self._n_bytes
        self._part = _Part(self._storage, self._limits, room, self._sender)

    def _take(self, data: bytes, start: int, stop: int) -> None:
        if self._part is not None:
            self._part.take(memoryview(data)[start:stop])

    def _end_part(self) -> None:
        part, self._part = self._part, None
        if part is not None:
            self.outcomes.append(part.finish())

    def _end(self) -> None:
        self._has_ended = True


class _Part:
    """A DICOM file that arrives: its file meta information is read, and replaced by our own."""

    def __init__(self, storage: Storage, limits: UploadLimits, room_bytes: int, sender: StoreRequest) -> None:
        self._storage = storage
        self._limits = limits
        self._room_bytes = room_bytes
        self._sender = sender
        self._header = bytearray()
        self._reception: Reception | None = None

    def take(self, data: memoryview) -> None:
        if self._reception is not None:
            self._reception.take(data)
            return
        self._header += data
        if len(self._header) < HEAD_BYTES:
            return
        try:
            start = data_set_start(bytes(self._header[:HEAD_BYTES]))
            if start > _LONGEST_HEADER:
                raise DamagedInstanceError("the file meta information is too long")
            if len(self._header) < start:
                return
            request = self._read_request(bytes(self._header[:start]))
        except DamagedInstanceError as error:
            self._reception = self._refused(error)
            self._header.clear()
            return
        limit_bytes = self._limits.instance_bytes
        self._reception = self._storage.begin(request, min(limit_bytes, self._room_bytes), 2 * limit_bytes)
        self._reception.take(memoryview(bytes(self._header[start:])))
        self._header.clear()

    def finish(self) -> Stored:
        reception = self._reception
        if reception is None:
            reception = self._refused(DamagedInstanceError("the file ends within its file meta information"))
        status = self._storage.finish(reception)
        return Stored(reception.request, reception.identity, status)

    def discard(self) -> None:
        if self._reception is not None:
            self._reception.discard()

    def _refused(self, error: VstDicomError) -> Reception:
        limit_bytes = self._limits.instance_bytes
        return Reception(self._sender, None, limit_bytes, 2 * limit_bytes, lambda: None, error)

    def _read_request(self, header: bytes) -> StoreRequest:
        try:
            meta = dcmread(BytesIO(header)).file_meta
        except Exception as error:  # whatever the library stumbles over
            raise DamagedInstanceError("the file meta information cannot be read (PS3.10 7.1)") from error
        sop_class_uid = read_uid(meta, "MediaStorageSOPClassUID")
        return replace(
            self._sender,
            sop_class_uid=sop_class_uid,
            sop_instance_uid=read_uid(meta, "MediaStorageSOPInstanceUID"),
            context_sop_class_uid=sop_class_uid,
            transfer_syntax_uid=read_uid(meta, "TransferSyntaxUID"),
        )
