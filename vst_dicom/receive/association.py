"""An association that a peer asked for: waits without polling, and leaves nothing behind."""

import socket
import threading
from collections.abc import Callable
from typing import Any, Final

import structlog
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE

from vst_dicom.receive.limits import Limits
from vst_dicom.receive.messages import BoundedDimse
from vst_dicom.receive.reception import Reception
from vst_dicom.receive.storing import Storage
from vst_dicom.receive.upper_layer import BoundedUpperLayer
from vst_dicom.receive.walk import is_valid_uid

_log = structlog.get_logger()

_WAIT_S: Final = 0.5
"""How often the idle timer is looked at."""

_MOMENT_S: Final = 1.0
"""Longest pause between two messages of a peer that is at work."""


class BoundedAssociation(Association):
    """One association, with its two threads: this one serves messages, the upper layer's reads and writes.

    Parameters
    ----------
    ae
        Our AE.
    connected
        The connection, after the TLS handshake.
    limits
        What the peer may do.
    storage
        Where instances go.
    on_end
        Called once when everything of it is over.
    """

    def __init__(
        self,
        ae: ApplicationEntity,
        connected: socket.socket,
        limits: Limits,
        storage: Storage,
        on_end: Callable[["BoundedAssociation"], None],
    ) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        self.limits = limits
        self.storage = storage
        self._on_end = on_end
        self._received = threading.Event()
        self._upper_layer = BoundedUpperLayer(self, limits, self._received)
        self._messages = BoundedDimse(self, limits, storage.begin, self._received)
        self.dul, self.dimse = self._upper_layer, self._messages
        self._upper_layer.attach(connected)
        self.acse_timeout = limits.request_s
        self.dimse_timeout = limits.idle_s
        self.network_timeout = limits.idle_s
        self._serving = False

    @property
    def is_busy(self) -> bool:
        """Whether a message arrives, waits or is served, or was so a moment ago."""
        messages, upper_layer = self._messages, self._upper_layer
        at_work = self._serving or messages.reception is not None or not messages.msg_queue.empty()
        return self.is_established and (at_work or upper_layer.idle_s < _MOMENT_S)

    def end(self) -> None:
        """End it from another thread: by an abort once it is established, else by closing the connection."""
        if self.is_established:
            self.abort(block=False)
        else:
            self._upper_layer.cut()

    def run_reactor(self) -> None:
        """Negotiate, serve, and clean up, whatever happens."""
        try:
            super().run_reactor()
        except Exception as error:
            _log.warning("association failed", reason=type(error).__name__)
        finally:
            self._upper_layer.close()
            if self._started_dul:
                self._upper_layer.join()
            self._messages.discard()
            self._on_end(self)

    def _run_reactor(self) -> None:
        """Serve messages in the order in which they came, until the association ends."""
        while not self._kill:
            self._received.wait(_WAIT_S)
            self._received.clear()
            while self.is_established and self._serve_next():
                pass
            if self.is_established and self.acse.is_release_requested():
                self.acse.send_release(is_response=True)
                self.is_released = True
                self.is_established = False
                self.kill()
            elif self.acse.is_aborted():
                self.is_aborted = True
                self.kill()
            elif self._upper_layer.has_ended:
                self.kill()
            elif self._upper_layer.idle_timer_expired():
                _log.warning("association aborted", reason="the peer is idle")
                self.abort()

    def _serve_next(self) -> bool:
        """Serve one message; say whether there was one."""
        context_id, message = self._next_message()
        if message is None:
            return False
        self._serving = True
        if isinstance(message, Reception):
            self._serve_store(message, context_id)
        else:
            self._serve_request(message, context_id)
        self._upper_layer.resume()
        self._serving = False
        return True

    def _next_message(self) -> tuple[int, Any]:
        while not self._messages.msg_queue.empty():
            context_id, message = self._messages.msg_queue.get()
            if message is not None and context_id is not None:
                return context_id, message
        return 0, None

    def _serve_store(self, reception: Reception, context_id: int) -> None:
        """Answer a C-STORE (PS3.7 9.1.1)."""
        status = self.storage.finish(reception)
        if not self.is_established:
            return
        request = reception.request
        response = C_STORE()
        response.MessageIDBeingRespondedTo = request.message_id
        if is_valid_uid(request.sop_class_uid):
            response.AffectedSOPClassUID = request.sop_class_uid
        if is_valid_uid(request.sop_instance_uid):
            response.AffectedSOPInstanceUID = request.sop_instance_uid
        response.Status = status.code
        if status.comment:
            response.ErrorComment = status.comment  # type: ignore[assignment]
        self.dimse.send_msg(response, context_id)
