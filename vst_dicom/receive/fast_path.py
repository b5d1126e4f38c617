"""Data set fragments from the socket to the file by one buffer, past decoding, queues and state machine.

Only P-DATA-TF PDUs of the plain form pass, with one data set fragment of the message that is open (PS3.8 9.3.5 and
E.2). Whatever else arrives is put back, and pynetdicom reads it in the ordinary way. A read waits for the rest of the
PDU that is open and takes as much as there is, whatever PDUs that covers; one write takes all fragments among it: few
system calls, no copy.
"""

import struct
from collections.abc import Callable
from time import monotonic
from typing import Final

from vst_dicom.receive.reception import Reception
from vst_dicom.receive.transport import PeerSocket

_HEAD: Final = struct.Struct(">BxIIBB")
"""PDU type, reserved, PDU length, item length, presentation context, message control header."""

_P_DATA: Final = 4
_PDU_HEAD_BYTES: Final = 6
_LEAST_PDU_BYTES: Final = 10
"""A-ABORT and A-RELEASE-RQ (PS3.8 9.3.6, 9.3.8): the shortest that may follow."""

_BUFFER_BYTES: Final = 512 << 10
_MOST_FRAGMENTS: Final = 512
"""In one write; systems take about a thousand."""

_WAIT_S: Final = 0.5


class FastPath:
    """Moves the fragments of one association, one data set after the other.

    Parameters
    ----------
    peer
        The connection.
    maximum_pdu_bytes
        As negotiated.
    pdu_s
        Time for one PDU.
    is_wanted_elsewhere
        Whether something waits to be sent, or the association ends.
    on_pdu
        Called when PDUs came: the peer is alive.
    """

    def __init__(
        self,
        peer: PeerSocket,
        maximum_pdu_bytes: int,
        pdu_s: float,
        is_wanted_elsewhere: Callable[[], bool],
        on_pdu: Callable[[], None],
    ) -> None:
        self.peer = peer
        self.maximum_pdu_bytes = maximum_pdu_bytes
        self.pdu_s = pdu_s
        self.is_wanted_elsewhere = is_wanted_elsewhere
        self.on_pdu = on_pdu
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._n_kept = 0
        """Bytes at the begin of the buffer that are part of a head."""

        self._n_left = 0
        """Bytes of a fragment that are still to come."""

        self._is_last = False
        self._due: float | None = None
        """When the PDU that is not whole must be."""

    def move(self, reception: Reception, context_id: int) -> bool:
        """Move fragments for as long as they come; say whether the last one came.

        False means that something else is to be done first; what was read of it is put back.

        Raises
        ------
        TimeoutError
            If a PDU is not whole in time.
        EOFError
            If the peer closed the connection.
        ProtocolError
            If the data set does not end.
        """
        try:
            while not self.is_wanted_elsewhere():
                self.peer.expect(self._least_bytes())
                n = self.peer.read_some(self._buffer[self._n_kept :], _WAIT_S)
                if self._due is not None and monotonic() > self._due:
                    raise TimeoutError
                if n == 0:
                    if self._due is None:
                        return False
                    continue
                stop = self._n_kept + n
                position, ends = self._take(reception, context_id, stop)
                if ends is not None:
                    self._n_kept, self._due = 0, None
                    self.peer.unread(bytes(self._buffer[position:stop]))
                    return ends
                self._n_kept = stop - position
                self._buffer[: self._n_kept] = self._buffer[position:stop]
            return False
        finally:
            self.peer.expect(1)

    def _least_bytes(self) -> int:
        """Count what surely comes: the rest of the fragment, and a PDU after one that is not the last."""
        following = 0 if self._is_last else _LEAST_PDU_BYTES
        return max(self._n_left + following - self._n_kept, 1)

    def _take(self, reception: Reception, context_id: int, stop: int) -> tuple[int, bool | None]:
        """Take all fragments up to `stop`.

        Gives where that ended, and whether the data set is whole; None if it goes on with bytes that are to come.
        """
        buffer, n_left, position, n_whole = self._buffer, self._n_left, 0, 0
        fragments: list[memoryview] = []
        ends: bool | None = None
        while True:
            if n_left:
                n = min(n_left, stop - position)
                fragments.append(buffer[position : position + n])
                position += n
                n_left -= n
                if n_left:
                    break
                n_whole += 1
                if len(fragments) == _MOST_FRAGMENTS:
                    reception.take(*fragments)
                    fragments.clear()
                if self._is_last:
                    ends = True
                    break
            if not self._is_head_whole(position, stop):
                break
            fragment_bytes = self._read_head(position, stop, context_id)
            if fragment_bytes is None:
                ends = False
                break
            position += _HEAD.size
            n_left = fragment_bytes
            if n_left == 0 and self._is_last:
                ends = True
                break
        self._n_left = n_left
        if fragments:
            reception.take(*fragments)
        if n_whole or self._due is None:
            self._due = monotonic() + self.pdu_s if n_left or position < stop else None
            self.on_pdu()
        return position, ends

    def _is_head_whole(self, position: int, stop: int) -> bool:
        """Whether a head can be judged: whole, or of a PDU that is shorter than a head."""
        n = stop - position
        if n >= _HEAD.size or (n and self._buffer[position] != _P_DATA):
            return True
        length = int.from_bytes(self._buffer[position + 2 : position + _PDU_HEAD_BYTES])
        return n >= _PDU_HEAD_BYTES and length < _HEAD.size - _PDU_HEAD_BYTES

    def _read_head(self, position: int, stop: int, context_id: int) -> int | None:
        """Give the length of the fragment; None if this PDU goes the ordinary way."""
        if stop - position < _HEAD.size:
            return None
        kind, pdu_bytes, item_bytes, context, control = _HEAD.unpack_from(self._buffer, position)
        self._is_last = control == 2
        is_plain = (
            kind == _P_DATA
            and pdu_bytes <= self.maximum_pdu_bytes
            and item_bytes == pdu_bytes - 4
            and item_bytes >= 2
            and context == context_id
            and control in (0, 2)
        )
        return item_bytes - 2 if is_plain else None
