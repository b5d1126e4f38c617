"""DIMSE messages from their fragments (PS3.7 6.3.1, PS3.8 E.2): a C-STORE to the disk, all others within limits."""

import threading
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final, cast

from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import _MESSAGE_TYPES, DIMSEMessage
from pynetdicom.dimse_primitives import C_CANCEL
from pynetdicom.dsutils import decode
from pynetdicom.pdu_primitives import P_DATA

from vst_dicom.receive.limits import Limits
from vst_dicom.receive.reception import ProtocolError, Reception, StoreRequest
from vst_dicom.receive.transport import RingingQueue

_COMMAND: Final = 1
_LAST: Final = 2
"""Bits of the message control header (PS3.8 table E.2-1)."""

_C_STORE_RQ: Final = 0x0001
_NO_DATA_SET: Final = 0x0101
_INVALID_PDU: Final = "Evt19"

Begin = Callable[[StoreRequest, int, int], Reception]
"""Opens a reception, with the number of bytes that may come, and the number that ends the association."""


class BoundedDimse(DIMSEServiceProvider):
    """Assembles messages within limits.

    A C-STORE becomes a `Reception` in the queue of messages, every other message pynetdicom's primitive.

    Parameters
    ----------
    association
        The parent.
    limits
        What the peer may send.
    begin
        Opens a reception for a C-STORE.
    received
        Set when a message is whole.
    """

    def __init__(self, association: Association, limits: Limits, begin: Begin, received: threading.Event) -> None:
        super().__init__(association)
        self.limits = limits
        self.begin = begin
        self.msg_queue = RingingQueue(received.set)
        self.reception: Reception | None = None
        self.reception_context = 0
        self.room_bytes = limits.association_bytes
        self._context: int | None = None
        self._command: Dataset | None = None
        self._fragments = BytesIO()
        self._is_broken = False

    @property
    def is_full(self) -> bool:
        """Whether so many messages wait that the peer must wait too."""
        return self.msg_queue.qsize() >= self.limits.waiting_messages

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the fragments of one P-DATA; the association is aborted if they make no sense."""
        if self._is_broken:
            return
        try:
            for context_id, data in primitive.presentation_data_value_list:
                self._take(context_id, data)
        except Exception:
            self._is_broken = True
            self.dul.event_queue.put(_INVALID_PDU)

    def end_reception(self) -> None:
        """Hand over the data set that is whole."""
        if self.reception is not None:
            self.room_bytes -= self.reception.n_bytes
            self._hand_over(self.reception)
            self.reception = None

    def discard(self) -> None:
        """Throw away what was not handed over, and what nobody will ask for any more."""
        if self.reception is not None:
            self.reception.discard()
        while not self.msg_queue.empty():
            message: Any = self.msg_queue.get()[1]
            if isinstance(message, Reception):
                message.discard()

    def _take(self, context_id: int, data: bytes) -> None:
        control = data[0]
        if context_id not in self.assoc._accepted_cx or self._context not in {None, context_id}:
            raise ProtocolError("a fragment is not of this message's context")
        self._context = context_id
        if control & _COMMAND:
            self._take_command(data, is_last=bool(control & _LAST))
        elif self.reception is not None:
            self.reception.take(memoryview(data)[1:])
            if control & _LAST:
                self.end_reception()
        elif self._command is not None:
            self._collect(data, self.limits.data_set_bytes)
            if control & _LAST:
                self._end_message()
        else:
            raise ProtocolError("a data set came before its command")

    def _take_command(self, data: bytes, *, is_last: bool) -> None:
        if self._command is not None or self.reception is not None:
            raise ProtocolError("a command came within a data set")
        self._collect(data, self.limits.command_bytes)
        if not is_last:
            return
        self._fragments.seek(0)
        command = decode(self._fragments, True, True)
        self._fragments = BytesIO()
        if command.CommandField == _C_STORE_RQ:
            self._begin_reception(command)
            if command.CommandDataSetType == _NO_DATA_SET:
                self.end_reception()
        else:
            self._command = command
            if command.CommandDataSetType == _NO_DATA_SET:
                self._end_message()

    def _collect(self, data: bytes, limit_bytes: int) -> None:
        self._fragments.write(memoryview(data)[1:])
        if self._fragments.tell() > limit_bytes:
            raise ProtocolError("a message is longer than its limit")

    def _begin_reception(self, command: Dataset) -> None:
        context_id = cast(int, self._context)
        context = self.assoc._accepted_cx[context_id]
        requestor = self.assoc.requestor
        request = StoreRequest(
            message_id=int(command.MessageID),
            sop_class_uid=_text(command, "AffectedSOPClassUID"),
            sop_instance_uid=_text(command, "AffectedSOPInstanceUID"),
            context_sop_class_uid=str(context.abstract_syntax),
            transfer_syntax_uid=str(context.transfer_syntax[0]),
            calling_ae=requestor.ae_title.strip(),
            peer_address=requestor.address,
        )
        limit_bytes = self.limits.instance_bytes
        self.reception = self.begin(request, min(limit_bytes, self.room_bytes), 2 * limit_bytes)
        self.reception_context = context_id

    def _end_message(self) -> None:
        command = cast(Dataset, self._command)
        message = DIMSEMessage()
        message.context_id = self._context
        message.command_set = command
        message.data_set = self._fragments
        message.__class__ = _MESSAGE_TYPES[command.CommandField][1]
        primitive = message.message_to_primitive()
        self._command = None
        self._fragments = BytesIO()
        if isinstance(primitive, C_CANCEL):
            self._context = None
        else:
            self._hand_over(primitive)

    def _hand_over(self, message: Any) -> None:
        context_id, self._context = self._context, None
        self.msg_queue.put((cast(int, context_id), message))


def _text(command: Dataset, keyword: str) -> str:
    return str(command.get(keyword) or "")
