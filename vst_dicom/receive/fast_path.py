"""Data set fragments from the socket to the file by one buffer, past decoding, queues and state machine.

Only P-DATA-TF PDUs of the plain form pass, with one data set fragment of the message that is open (PS3.8 9.3.5 and
E.2). Whatever else arrives is put back, and pynetdicom reads it in the ordinary way.
"""

import struct
from collections.abc import Callable
from typing import Final

from vst_dicom.receive.reception import Reception
from vst_dicom.receive.transport import PeerSocket

_HEAD_BYTES: Final = 12
"""PDU type, reserved, PDU length, item length, presentation context, message control header."""

_P_DATA: Final = 4
_HEAD: Final = struct.Struct(">BxIIBB")
_LEAST_PDU_BYTES: Final = 6
_WAIT_S: Final = 0.5


class FastPath:
    """Moves the fragments of one association.

    Parameters
    ----------
    peer
        The connection.
    maximum_pdu_bytes
        As negotiated.
    is_wanted_elsewhere
        Whether something waits to be sent, or the association ends.
    on_pdu
        Called after each PDU: the peer is alive.
    """

    def __init__(
        self,
        peer: PeerSocket,
        maximum_pdu_bytes: int,
        is_wanted_elsewhere: Callable[[], bool],
        on_pdu: Callable[[], None],
    ) -> None:
        self.peer = peer
        self.maximum_pdu_bytes = maximum_pdu_bytes
        self.is_wanted_elsewhere = is_wanted_elsewhere
        self.on_pdu = on_pdu
        self._head = memoryview(bytearray(_HEAD_BYTES))
        self._body = memoryview(bytearray(maximum_pdu_bytes))

    def move(self, reception: Reception, context_id: int) -> bool:
        """Move fragments for as long as they come; say whether the last one came.

        False means that something else is to be done first: what was read of it is put back.

        Raises
        ------
        TimeoutError
            If a PDU is not whole in time.
        EOFError
            If the peer closed the connection.
        ProtocolError
            If the data set does not end.
        """
        peer, head, body = self.peer, self._head, self._body
        while not self.is_wanted_elsewhere():
            n = peer.read_ready(head)
            if n == 0:
                if not peer.wait(_WAIT_S):
                    return False
                continue
            if n < _HEAD_BYTES and not self._complete_head(n):
                return False
            kind, pdu_bytes, item_bytes, context, control = _HEAD.unpack(head)
            if (
                kind != _P_DATA
                or pdu_bytes > self.maximum_pdu_bytes
                or item_bytes != pdu_bytes - 4
                or item_bytes < 2
                or context != context_id
                or control & ~2
            ):
                peer.unread(bytes(head))
                return False
            fragment = body[: item_bytes - 2]
            peer.read_into(fragment)
            reception.take(fragment)
            self.on_pdu()
            if control:
                return True
        return False

    def _complete_head(self, n: int) -> bool:
        """Read the rest of the head, unless it is of a PDU that may be shorter; then put it back."""
        head = self._head
        if n < _LEAST_PDU_BYTES and head[0] == _P_DATA:
            self.peer.read_into(head[n:_LEAST_PDU_BYTES])
            n = _LEAST_PDU_BYTES
        if head[0] != _P_DATA or int.from_bytes(head[2:6]) < _HEAD_BYTES - _LEAST_PDU_BYTES:
            self.peer.unread(bytes(head[:n]))
            return False
        self.peer.read_into(head[n:])
        return True
