"""The listener: accepts connections within limits, and lets welcome peers associate."""

import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, cast

import structlog
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.transport import AddressInformation, RequestHandler, ThreadedAssociationServer

from vst_dicom.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from vst_dicom.receive.association import BoundedAssociation
from vst_dicom.receive.contexts import prefer_first, supported_contexts
from vst_dicom.receive.gate import Gate
from vst_dicom.receive.library import set_up_library
from vst_dicom.receive.limits import Limits
from vst_dicom.receive.peers import (
    APPLICATION_CONTEXT,
    NO_REASON,
    TOO_MANY_ASSOCIATIONS,
    WRONG_APPLICATION_CONTEXT,
    Peer,
    Rejection,
    check_peer,
    plain_address,
)
from vst_dicom.receive.storing import Storage
from vst_dicom.receive.tls import ServerContext, TlsFiles

_log = structlog.get_logger()

_MOST_CONTEXTS: Final = 128
"""Presentation context identifiers are the odd numbers from 1 to 255 (PS3.8 9.3.2.2)."""

_MANY_ASSOCIATIONS: Final = 1 << 20
_PROCESSING_FAILURE: Final = 0x0110
"""PS3.7 C.4.2; also where nobody handles reports."""

_POLL_S: Final = 0.1
_END_S: Final = 5.0
"""For associations that are told to end."""

ReportHandler = Callable[[int, Dataset], int]
"""Takes Event Type ID and Event Information of a storage commitment report (PS3.4 J.3.3), and gives the status."""


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """How the listener presents itself.

    Parameters
    ----------
    ae_title
        Ours.
    host, port
        Where to listen; port 0 chooses a free one.
    peers
        Who may associate; anyone if empty.
    require_called_ae_title
        Whether peers must call us by our AE title.
    tls
        Certificates; plain TCP if none.
    limits
        What one peer can ask for.
    """

    ae_title: str = "VST_DICOM"
    host: str = "127.0.0.1"
    port: int = 11112
    peers: tuple[Peer, ...] = ()
    require_called_ae_title: bool = True
    tls: TlsFiles | None = None
    limits: Limits = field(default_factory=Limits)


class Listener:
    """Listens from birth until `stop`.

    Parameters
    ----------
    settings
        How.
    storage
        Where instances go.
    on_report
        Takes results of storage commitment; without it that service is not offered.

    Raises
    ------
    UsageError
        If pynetdicom or a certificate does not fit.
    OSError
        If the port is taken.
    """

    def __init__(self, settings: ListenerSettings, storage: Storage, on_report: ReportHandler | None = None) -> None:
        set_up_library()
        self._server = _Server(settings, storage, on_report)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def n_connections(self) -> int:
        """How many connections are open."""
        return self._server.gate.n_open

    def stop(self, patience_s: float = 60.0) -> None:
        """Accept nothing more, let associations that are at work go on for a while, and end all others."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        gate = self._server.gate
        deadline = monotonic() + patience_s
        while self.n_connections and monotonic() < deadline + _END_S:
            for association in gate.associations():
                if not association.is_busy or monotonic() >= deadline:
                    association.end()
            gate.wait_for_change(_POLL_S)


class _Server(ThreadedAssociationServer):
    """Accepts connections; nothing that depends on a peer happens in its loop."""

    daemon_threads = True

    def __init__(self, settings: ListenerSettings, storage: Storage, on_report: ReportHandler | None) -> None:
        self.settings = settings
        self.storage = storage
        self.gate = Gate(settings.limits)
        self.request_queue_size = settings.limits.backlog
        self.tls = ServerContext(settings.tls) if settings.tls is not None else None
        self.on_report = on_report
        ae = ApplicationEntity(settings.ae_title)
        ae.maximum_pdu_size = settings.limits.maximum_pdu_bytes
        ae.maximum_associations = _MANY_ASSOCIATIONS  # counted here, where an association that ends is known
        ae.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        self.handlers: list[tuple[Any, Callable[[evt.Event], Any]]] = [(evt.EVT_REQUESTED, self._admit)]
        if on_report is not None:
            self.handlers.append((evt.EVT_N_EVENT_REPORT, self._take_report))
        super().__init__(
            ae,
            (settings.host, settings.port),
            settings.ae_title,
            supported_contexts(with_commitment=on_report is not None),
            request_handler=_Handler,
        )
        ae._servers.append(self)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        """Refuse a connection before it costs a thread."""
        welcome = self.gate.enter(client_address[0])
        if not welcome:
            _log.warning("connection refused", reason="too many are open", peer_address=client_address[0])
        return welcome

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept; the TLS handshake belongs to the thread of the connection."""
        connected, address = cast(socket.socket, self.socket).accept()
        return connected, address

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Shake hands, then start an association; the connection counts until that has ended."""
        try:
            connected = self._shake_hands(request)
            handler = _Handler(connected, client_address, self)
            handler.association.start()
        except Exception as error:
            reason = "TLS handshake failed" if isinstance(error, OSError) else type(error).__name__
            _log.warning("connection closed", reason=reason, peer_address=client_address[0])
            self.shutdown_request(request)
            self.gate.leave(client_address[0])

    def service_actions(self) -> None:
        """Leave collecting garbage to Python."""

    def _shake_hands(self, request: socket.socket) -> socket.socket:
        if self.tls is None:
            return request
        request.settimeout(self.settings.limits.handshake_s)
        wrapped = self.tls.current().wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        timer = threading.Timer(self.settings.limits.handshake_s, _cut, (wrapped,))
        timer.daemon = True
        timer.start()  # the time-out of a socket starts again with each byte
        try:
            wrapped.do_handshake()
        except BaseException:
            wrapped.close()
            raise
        finally:
            timer.cancel()
        return wrapped

    def _admit(self, event: evt.Event) -> None:
        """Reject a request that is not welcome; whatever fails here rejects it too."""
        association = cast(BoundedAssociation, event.assoc)
        try:
            rejection = self._check(association)
        except Exception as error:
            _log.warning("association request cannot be checked", reason=type(error).__name__)
            rejection = NO_REASON
        if rejection is not None:
            requestor = association.requestor
            _log.warning("association rejected", rejection=tuple(rejection), peer_address=requestor.address)
            association.acse.send_reject(*rejection)
            association.kill()

    def _check(self, association: BoundedAssociation) -> Rejection | None:
        request = cast(A_ASSOCIATE, association.requestor.primitive)
        contexts = request.presentation_context_definition_list
        identifiers = {context.context_id for context in contexts}
        if str(request.application_context_name) != APPLICATION_CONTEXT:
            return WRONG_APPLICATION_CONTEXT
        if not 1 <= len(contexts) <= _MOST_CONTEXTS or len(identifiers) != len(contexts):
            return NO_REASON
        rejection = check_peer(
            self.settings.peers,
            request.calling_ae_title,
            request.called_ae_title,
            self.settings.ae_title if self.settings.require_called_ae_title else None,
            association.requestor.address,
        )
        if rejection is None and not self.gate.admit(association):
            return TOO_MANY_ASSOCIATIONS
        prefer_first(contexts)
        return rejection

    def _take_report(self, event: evt.Event) -> tuple[int, Dataset | None]:
        """Hand a report of storage commitment over (PS3.4 J.3.3)."""
        try:
            on_report = cast(ReportHandler, self.on_report)
            return on_report(event.event_type or 0, event.event_information), None
        except Exception as error:
            _log.warning("report of storage commitment failed", reason=type(error).__name__)
            return _PROCESSING_FAILURE, None


class _Handler(RequestHandler):
    """Makes the association of one connection."""

    server: _Server
    association: BoundedAssociation

    def handle(self) -> None:
        """Make it; the server starts it."""
        server, address = self.server, self.client_address[0]

        def leave(association: BoundedAssociation) -> None:
            server.gate.leave(address, association)

        association = BoundedAssociation(server.ae, self.request, server.settings.limits, server.storage, leave)
        association._server = server
        association.acceptor.maximum_length = server.ae.maximum_pdu_size
        association.acceptor.ae_title = server.ae_title
        association.acceptor.address_info = self.local
        association.acceptor.implementation_class_uid = server.ae.implementation_class_uid
        association.acceptor.implementation_version_name = server.ae.implementation_version_name
        association.acceptor.supported_contexts = server.contexts
        host, port = str(plain_address(address)), self.client_address[1]
        association.requestor.address_info = AddressInformation(host, port)
        for event, handler in server.handlers:
            association.bind(event, handler)
        server.gate.add(association)
        self.association = association


def _cut(connected: ssl.SSLSocket) -> None:
    try:
        connected.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
