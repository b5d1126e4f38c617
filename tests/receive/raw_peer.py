"""A DICOM peer that says exactly what a test wants, well-formed or not (PS3.8 9.3, PS3.7 6.3)."""

import socket
import struct
from types import TracebackType
from typing import Self

VL_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"
JPEG = "1.2.840.10008.1.2.4.50"
APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"

ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RP, ABORT = 2, 3, 4, 6, 7


def uid_element(tag: int, uid: str | bytes) -> bytes:
    """Explicit VR."""
    return element(tag, b"UI", uid.encode() if isinstance(uid, str) else uid)


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """Encode a data element in explicit VR, with a false length on request."""
    value += b"\0" * (len(value) % 2)
    length = len(value) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    if vr in {b"OB", b"OW", b"SQ", b"UN", b"UT"}:
        return head + b"\0\0" + struct.pack("<I", length) + value
    return head + struct.pack("<H", length) + value


def item(value: bytes, length: int | None = None) -> bytes:
    """Encode an item."""
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(value) if length is None else length) + value


UNDEFINED = 0xFFFFFFFF
ITEM_END = b"\xfe\xff\x0d\xe0\0\0\0\0"
SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"


def data_set(sop_instance_uid: str = "1.2.3", sop_class_uid: str = VL_WHOLE_SLIDE, pixels: bytes = b"") -> bytes:
    """Encode a small native instance in explicit VR."""
    return (
        uid_element(0x00080016, sop_class_uid)
        + uid_element(0x00080018, sop_instance_uid)
        + uid_element(0x0020000D, "1.2.3.1")
        + uid_element(0x0020000E, "1.2.3.2")
        + (element(0x7FE00010, b"OB", pixels) if pixels else b"")
    )


def store_command(
    sop_instance_uid: str | bytes = "1.2.3", sop_class_uid: str = VL_WHOLE_SLIDE, message_id: int = 1
) -> bytes:
    """Encode the command set of a C-STORE-RQ."""
    uid = sop_instance_uid.encode() if isinstance(sop_instance_uid, str) else sop_instance_uid
    return _command(
        _command_element(0x0002, sop_class_uid.encode())
        + _command_element(0x0100, struct.pack("<H", 1))
        + _command_element(0x0110, struct.pack("<H", message_id))
        + _command_element(0x0700, struct.pack("<H", 0))
        + _command_element(0x0800, struct.pack("<H", 1))
        + _command_element(0x1000, uid)
    )


def echo_command(message_id: int = 1) -> bytes:
    """Encode the command set of a C-ECHO-RQ."""
    return _command(
        _command_element(0x0002, VERIFICATION.encode())
        + _command_element(0x0100, struct.pack("<H", 0x30))
        + _command_element(0x0110, struct.pack("<H", message_id))
        + _command_element(0x0800, struct.pack("<H", 0x0101))
    )


def _command(elements: bytes) -> bytes:
    return _command_element(0, struct.pack("<I", len(elements))) + elements


def _command_element(number: int, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHI", 0, number, len(value)) + value


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """Encode a PDU, with a false length on request."""
    return struct.pack(">BBI", kind, 0, len(body) if length is None else length) + body


def pdv(data: bytes, *, command: bool = False, last: bool = True, context: int = 1) -> bytes:
    """Encode one presentation data value item."""
    control = (1 if command else 0) | (2 if last else 0)
    return struct.pack(">IBB", len(data) + 2, context, control) + data


def request(
    called: str = "VST_DICOM",
    calling: str = "RAW",
    contexts: tuple[tuple[int, str, tuple[str, ...]], ...] = (
        (1, VL_WHOLE_SLIDE, (EXPLICIT,)),
        (3, VERIFICATION, (EXPLICIT,)),
    ),
    application_context: str = APPLICATION_CONTEXT,
    version: int = 1,
) -> bytes:
    """Encode an A-ASSOCIATE-RQ."""
    body = struct.pack(">HH", version, 0) + called.encode().ljust(16) + calling.encode().ljust(16) + bytes(32)
    body += _sub_item(0x10, application_context.encode())
    for number, abstract, syntaxes in contexts:
        sub = _sub_item(0x30, abstract.encode()) + b"".join(_sub_item(0x40, syntax.encode()) for syntax in syntaxes)
        body += _sub_item(0x20, bytes([number, 0, 0, 0]) + sub)
    body += _sub_item(0x50, _sub_item(0x51, struct.pack(">I", 16384)) + _sub_item(0x52, b"1.2.3.4"))
    return pdu(1, body)


def _sub_item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(value)) + value


class RawPeer:
    """A connection on which anything can be sent."""

    def __init__(self, port: int, timeout_s: float = 10.0, address: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_s, source_address=(address, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        """Send; a peer that has closed is not an error here."""
        try:
            self.socket.sendall(b"".join(parts))
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self) -> tuple[int, bytes]:
        """Receive one PDU; kind 0 if the connection is closed."""
        try:
            head = self._exactly(6)
            return head[0], self._exactly(int.from_bytes(head[2:6]))
        except (EOFError, ConnectionResetError, BrokenPipeError):
            return 0, b""

    def associate(self, **settings: object) -> "RawPeer":
        """Ask for an association, and see it accepted."""
        self.send(request(**settings))  # type: ignore[arg-type]
        kind, _ = self.receive()
        assert kind == ASSOCIATE_AC
        return self

    def store(self, command: bytes, data: bytes, fragment: int = 16_000) -> int:
        """Send a C-STORE and give its status; -1 if the association ended."""
        self.send_store(command, data, fragment)
        return self.status()

    def send_store(self, command: bytes, data: bytes, fragment: int = 16_000) -> None:
        """Send a C-STORE, one PDV per PDU."""
        parts = [data[start : start + fragment] for start in range(0, len(data), fragment)] or [b""]
        self.send(pdu(P_DATA, pdv(command, command=True)))
        for number, part in enumerate(parts):
            self.send(pdu(P_DATA, pdv(part, last=number == len(parts) - 1)))

    def status(self) -> int:
        """Receive a response; give its status, or -1 if the association ended."""
        kind, body = self.receive()
        if kind != P_DATA:
            return -1
        return read_command(body)[0x0900]

    def release(self) -> bool:
        """Release; say whether the peer agreed."""
        self.send(pdu(5, bytes(4)))
        return self.receive()[0] == RELEASE_RP

    def is_closed(self) -> bool:
        """Whether the peer ends the connection: with an abort, a close or a reset."""
        return self.receive()[0] in (0, ABORT)

    def _exactly(self, n: int) -> bytes:
        data = b""
        while len(data) < n:
            part = self.socket.recv(n - len(data))
            if not part:
                raise EOFError
            data += part
        return data


def read_command(body: bytes) -> dict[int, int]:
    """Numbers of a response's command set, by element number."""
    values, position = {}, 6
    while position < len(body):
        _, number, length = struct.unpack_from("<HHI", body, position)
        value = body[position + 8 : position + 8 + length]
        if length == 2:
            values[number] = struct.unpack("<H", value)[0]
        position += 8 + length
    return values
