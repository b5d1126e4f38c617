"""The DICOM Upper Layer of one association (PS3.8 9): limits on every PDU, no polling, and the fast path."""

import socket
import threading
from typing import Final, cast

import structlog
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider

from vst_dicom.receive.fast_path import FastPath
from vst_dicom.receive.limits import Limits
from vst_dicom.receive.messages import BoundedDimse
from vst_dicom.receive.reception import ProtocolError
from vst_dicom.receive.transport import Bell, PeerSocket, RingingQueue

_log = structlog.get_logger()

_WAIT_S: Final = 0.5
"""How often the timers are looked at while nothing happens."""

_LEAST_S: Final = 0.05

_AWAITING_REQUEST: Final = "Sta2"
_ESTABLISHED: Final = "Sta6"
_AWAITING_CLOSE: Final = "Sta13"

_CLOSED: Final = "Evt17"
_INVALID_PDU: Final = "Evt19"
"""Events of the state machine (PS3.8 9.2.3)."""

_ASSOCIATE_RQ: Final = 1
_P_DATA: Final = 4
_OTHER_PDU_BYTES: Final = 1024


class BoundedUpperLayer(DULServiceProvider):
    """Reads PDUs within limits of length and time.

    Parameters
    ----------
    association
        The parent.
    limits
        What the peer may do.
    received
        Set when something was received.
    """

    peer: PeerSocket

    def __init__(self, association: Association, limits: Limits, received: threading.Event) -> None:
        super().__init__(association)
        self.daemon = True
        self.limits = limits
        self.received = received
        self.bell = Bell()
        self._run_loop_delay = 0.0  # waiting is done for the socket, not by sleeping
        self.to_provider_queue = RingingQueue(self.bell.ring)
        self.to_user_queue = RingingQueue(received.set)
        self._fast_path: FastPath | None = None

    def attach(self, connected: socket.socket) -> None:
        """Take over a connection."""
        self.peer = PeerSocket(self.assoc, connected, self.limits.pdu_s, self.bell)
        self.socket = self.peer

    def close(self) -> None:
        """Close the connection and wake whoever waits; harmless when repeated."""
        self._kill_thread = True
        self.peer._shutdown_socket()
        self.bell.close()
        self.to_user_queue.put(None)  # frees a reactor that waits for a request

    @property
    def has_ended(self) -> bool:
        """Whether the connection is closed, or about to be."""
        return self._kill_thread

    @property
    def idle_s(self) -> float:
        """Seconds since the peer sent something, or a message of it was served."""
        return self.limits.idle_s - self._idle_timer.remaining

    def cut(self) -> None:
        """Let the thread see the end of the connection."""
        self.peer.cut()

    def resume(self) -> None:
        """Go on after a message was served: the peer may send again, and was not idle meanwhile."""
        self._idle_timer.restart()
        self.bell.ring()

    def run(self) -> None:
        """Run until the connection is closed; nothing is left open, and the association learns of it."""
        try:
            super().run()
        except Exception as error:
            _log.warning("association failed", reason=type(error).__name__)
        finally:
            self.close()

    def kill_dul(self) -> None:
        """End the thread."""
        super().kill_dul()
        self.bell.ring()

    def stop_dul(self) -> bool:
        """End the thread if the connection is closed; say whether it is."""
        if self.state_machine.current_state != "Sta1":
            return False
        self.kill_dul()
        self.join(2 * _WAIT_S)
        return not self.is_alive()

    def _is_transport_event(self) -> bool:
        """Wait for the peer, the service user or a timer, whichever comes first, and read one PDU."""
        if self.state_machine.current_state == _AWAITING_CLOSE:
            self.peer.close()
            return True
        if not self.event_queue.empty() or self.to_provider_queue.queue:
            return False
        dimse = cast(BoundedDimse, self.assoc.dimse)
        if not self.peer.wait(_WAIT_S, for_peer=not dimse.is_full):
            return False
        self._read_pdu_data()
        return True

    def _read_pdu_data(self) -> None:
        """Read one PDU in the ordinary way, or as many as the fast path takes."""
        try:
            if not self._take_fast_path():
                self._read_one()
        except EOFError:
            self.event_queue.put(_CLOSED)
        except (TimeoutError, ProtocolError) as error:
            _log.warning("association aborted", reason=str(error) or "a PDU was not whole in time")
            self.event_queue.put(_INVALID_PDU)
        except OSError:
            self.event_queue.put(_CLOSED)

    def _take_fast_path(self) -> bool:
        """Let the fast path run while a data set is open; say whether the ordinary way has nothing to do."""
        dimse = cast(BoundedDimse, self.assoc.dimse)
        reception = dimse.reception
        if reception is None or not self.limits.fast_path or self.state_machine.current_state != _ESTABLISHED:
            return False
        if self._fast_path is None:
            self._fast_path = FastPath(
                self.peer,
                self.limits.maximum_pdu_bytes,
                self.limits.pdu_s,
                self._has_other_work,
                self._idle_timer.restart,
            )
        if self._fast_path.move(reception, dimse.reception_context):
            dimse.end_reception()
            return True
        return not self.peer.has_unread

    def _has_other_work(self) -> bool:
        return bool(self.to_provider_queue.queue) or self._kill_thread

    def _read_one(self) -> None:
        head = bytearray(6)
        self._read(memoryview(head))
        kind, length = head[0], int.from_bytes(head[2:6])
        longest = {_ASSOCIATE_RQ: self.limits.request_bytes, _P_DATA: self.limits.maximum_pdu_bytes}
        if not 1 <= kind <= 7 or length > longest.get(kind, _OTHER_PDU_BYTES):
            msg = f"a PDU of type {kind} and {length} bytes is not taken"
            raise ProtocolError(msg)
        pdu = bytearray(6 + length)
        pdu[:6] = head
        self._read(memoryview(pdu)[6:])
        try:
            decoded, event = self._decode_pdu(pdu)
        except Exception as error:
            raise ProtocolError("a PDU cannot be decoded") from error
        self._recv_pdu.put(decoded)
        self.event_queue.put(event)

    def _read(self, view: memoryview) -> None:
        """Fill the view; a request for an association has a deadline that began with the connection."""
        is_request = self.state_machine.current_state == _AWAITING_REQUEST
        self.peer.set_deadline(max(self.artim_timer.remaining, _LEAST_S) if is_request else self.limits.pdu_s)
        self.peer.read_into(view)
