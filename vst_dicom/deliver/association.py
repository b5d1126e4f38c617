"""Associate with a peer as requestor: every wait bounded, nothing piled up in memory."""

import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA

from vst_dicom.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from vst_dicom.domain.errors import PeerError, UsageError

MAXIMUM_CONTEXTS: Final = 128
"""Presentation contexts of one association at most (PS3.8 9.3.2.2: odd numbers 1 to 255)."""

_MAXIMUM_PDU_BYTES: Final = 131_072
_QUEUED_PDUS: Final = 16
_CLOSING_S: Final = 5.0
_SLOWEST_BYTES_PER_S: Final = 65_536
"""A peer that takes less than this on average is given up."""

_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Forward secrecy and authenticated encryption only (BCP 195, RFC 9325 4.2)."""

EventHandlers = Sequence[tuple[Any, Callable[[Any], Any]]]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Certificate and key of this side, and who vouches for the other.

    Parameters
    ----------
    certificate, private_key
        PEM files of this side; None where the peer asks for none.
    authorities
        PEM file of the authorities that vouch for the peer; those of the system if None.
    require_peer_certificate
        Whether the peer must show a certificate that fits its host name.
    """

    certificate: Path | None = None
    private_key: Path | None = None
    authorities: Path | None = None
    require_peer_certificate: bool = True


@dataclass(frozen=True, slots=True)
class DicomPeer:
    """A DICOM application entity that accepts associations.

    Parameters
    ----------
    ae_title, host, port
        Its title and address.
    tls
        How to secure the connection; plain if None.
    timeout_s
        How long to wait for a connection, an answer, and any progress while sending.
    """

    ae_title: str
    host: str
    port: int
    tls: TlsFiles | None = None
    timeout_s: float = 60.0

    def __str__(self) -> str:
        """Title and address."""
        return f"{self.ae_title}@{self.host}:{self.port}"


def client_tls(files: TlsFiles) -> ssl.SSLContext:
    """Make the TLS settings of a requestor after BCP 195 (PS3.15 B.12): TLS 1.2 or later.

    Raises
    ------
    UsageError
        If a file cannot be read, or key and certificate do not fit.
    """
    try:
        context = ssl.create_default_context(cafile=files.authorities)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        if not files.require_peer_certificate:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if files.certificate is not None:
            context.load_cert_chain(files.certificate, files.private_key)
    except (OSError, ssl.SSLError) as error:
        msg = f"TLS certificate, key or authorities cannot be used: {error}; check the paths and that both fit"
        raise UsageError(msg) from error
    return context


@contextmanager
def open_association(
    peer: DicomPeer,
    calling_ae_title: str,
    contexts: Sequence[tuple[str, Sequence[str]]],
    handlers: EventHandlers = (),
) -> Iterator["PacedAssociation"]:
    """Associate with a peer, and release or cut the association at the end.

    Parameters
    ----------
    peer
        With whom.
    calling_ae_title
        Title of this side.
    contexts
        Abstract syntaxes, each with the transfer syntaxes to propose in one context.
    handlers
        pynetdicom events to answer meanwhile.

    Raises
    ------
    PeerError
        If the peer cannot be reached, rejects or aborts.
    UsageError
        If the TLS files cannot be used.
    """
    entity = AE(ae_title=calling_ae_title)
    entity.maximum_pdu_size = _MAXIMUM_PDU_BYTES
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = peer.timeout_s
    entity.network_timeout = peer.timeout_s
    for abstract_syntax, transfer_syntaxes in contexts:
        entity.add_requested_context(abstract_syntax, list(transfer_syntaxes))
    tls = (client_tls(peer.tls), peer.host) if peer.tls else None
    wire = _Wire(peer.timeout_s)
    try:
        association = entity.associate(
            peer.host,
            peer.port,
            ae_title=peer.ae_title,
            tls_args=tls,
            evt_handlers=[*wire.handlers, *handlers],
        )
    except OSError as error:
        msg = f"{peer} cannot be found: {error}"
        raise PeerError(msg) from error
    if not association.is_established:
        raise PeerError(_explain(peer, association, wire))
    association.acse_timeout = min(peer.timeout_s, _CLOSING_S)
    association.dimse = _PacedDimse(association, wire)
    try:
        yield PacedAssociation(association, peer, wire)
    except RuntimeError as error:  # pynetdicom's, when the association ended just before it was used
        wire.cut(association)
        msg = f"{peer} ended the association"
        raise PeerError(msg) from error
    except BaseException:
        wire.cut(association)
        raise
    if association.is_established:
        association.release()
    if not association.is_released:
        wire.cut(association)


class PacedAssociation:
    """An open association whose messages are sent no faster than the peer takes them."""

    def __init__(self, association: Association, peer: DicomPeer, wire: "_Wire") -> None:
        self.association = association
        self._peer = peer
        self._wire = wire

    def accepts(self, abstract_syntax: str, transfer_syntax: str | None = None) -> bool:
        """Whether the peer accepted a context for this."""
        return any(
            context.abstract_syntax == abstract_syntax and transfer_syntax in (None, *context.transfer_syntax)
            for context in self.association.accepted_contexts
        )

    def begin(self, n_bytes: int) -> None:
        """Prepare to send a message of that size: from now on the time for it runs.

        Raises
        ------
        PeerError
            If the association ended.
        """
        if not self.association.is_established:
            msg = f"{self._peer} ended the association"
            raise PeerError(msg)
        self._wire.deadline_s = time.monotonic() + self._peer.timeout_s + n_bytes / _SLOWEST_BYTES_PER_S

    def require_status(self, response: Any, what: str) -> int:
        """Status of a response.

        Raises
        ------
        PeerError
            If there was none in time, or the peer aborted.
        """
        if "Status" not in response:
            msg = f"{self._peer} did not answer to {what}: it aborted, closed the connection or took too long"
            raise PeerError(msg)
        return int(response.Status)


class _Wire:
    """Watch what leaves the socket, so that the sender waits for it and never sends into a closed one."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._changed = threading.Condition()
        self._closed = False
        self.is_open = False
        self.deadline_s = 0.0

    @property
    def handlers(self) -> EventHandlers:
        return (
            (evt.EVT_CONN_OPEN, self._limit_waits),
            (evt.EVT_DATA_SENT, self._wake_sender),
            (evt.EVT_FSM_TRANSITION, self._watch_state),
        )

    def send(self, association: Association, primitive: P_DATA) -> None:
        """Queue a part of a message when the queue has room.

        Raises
        ------
        PeerError
            If the connection ended, or nothing left it for too long.
        """
        waiting: queue.Queue[Any] = association.dul.to_provider_queue
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or waiting.qsize() < _QUEUED_PDUS, self._timeout_s):
                msg = f"the peer took no data for {self._timeout_s:g} s"
                raise PeerError(msg)
            if self._closed:
                raise PeerError("the peer closed the connection while it was sent to")
            if time.monotonic() > self.deadline_s:
                msg = f"the peer takes less than {_SLOWEST_BYTES_PER_S} bytes/s"
                raise PeerError(msg)
            association.dul.send_pdu(primitive)

    def cut(self, association: Association) -> None:
        """End an association without waiting for the peer."""
        connection = association.dul.socket.socket if association.dul.socket else None
        if connection is not None:
            with suppress(OSError):  # the peer was faster
                socket.socket.shutdown(connection, socket.SHUT_RDWR)  # not SSLSocket's, which would first drop TLS
        association.kill()

    def _limit_waits(self, event: Any) -> None:
        """Without this one silent peer would hold the sending thread for ever."""
        self.is_open = True
        event.assoc.dul.socket.socket.settimeout(self._timeout_s)

    def _wake_sender(self, _event: Any) -> None:
        with self._changed:
            self._changed.notify_all()

    def _watch_state(self, event: Any) -> None:
        """Drop what waits to be sent once the connection is gone; pynetdicom's state machine would break on it."""
        if event.next_state != "Sta1":
            return
        with self._changed:
            self._closed = True
            waiting = event.assoc.dul.to_provider_queue
            while not waiting.empty():
                waiting.get_nowait()
            self._changed.notify_all()


class _PacedDimse(DIMSEServiceProvider):
    """Sends a message piece by piece, reading from disk only what the peer takes."""

    def __init__(self, association: Association, wire: _Wire) -> None:
        super().__init__(association)
        self._wire = wire

    @property
    def maximum_pdu_size(self) -> int:
        """Bytes of a PDU: what the peer takes, never unlimited."""
        peer_bytes = super().maximum_pdu_size or _MAXIMUM_PDU_BYTES
        return min(peer_bytes, _MAXIMUM_PDU_BYTES)

    def send_msg(self, primitive: Any, context_id: int) -> None:
        """Send a message; C-STORE requests at the pace of the peer."""
        if not isinstance(primitive, C_STORE) or primitive.MessageIDBeingRespondedTo is not None:
            super().send_msg(primitive, context_id)
            return
        message = C_STORE_RQ()
        message.primitive_to_message(primitive)
        for part in message.encode_msg(context_id, self.maximum_pdu_size):
            self._wire.send(self.assoc, part)


def _explain(peer: DicomPeer, association: Association, wire: _Wire) -> str:
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return (
            f"{peer} rejected the association ({answer.result_str}, {answer.reason_str}); "
            "register this AE title and address there"
        )
    if not wire.is_open:
        return f"{peer} cannot be reached{' by TLS' if peer.tls else ''}; check address, port and that it runs"
    if association.is_aborted or not association.accepted_contexts:
        return f"{peer} accepted none of the proposed presentation contexts, or aborted the association"
    return f"{peer} did not answer the association request"
