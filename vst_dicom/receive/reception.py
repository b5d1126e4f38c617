"""One C-STORE while its data set arrives: to the disk, or nowhere when it was refused."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from vst_dicom.domain.errors import ResourceError, VstDicomError
from vst_dicom.receive.spool import Incoming
from vst_dicom.receive.walk import Identity

_WATCH_BYTES: Final = 64 << 20
"""How often the disk is looked at, and told to write, while a data set arrives."""


class ProtocolError(Exception):
    """The peer breaks the protocol, or a limit, so that the association is aborted."""


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """Command set of a C-STORE-RQ (PS3.7 9.3.1.1), and who sent it.

    Parameters
    ----------
    message_id
        (0000,0110).
    sop_class_uid, sop_instance_uid
        (0000,0002) and (0000,1000), as sent.
    context_sop_class_uid, transfer_syntax_uid
        What was agreed on for the presentation context.
    calling_ae, peer_address
        Who sent it.
    study_instance_uid
        The only study that it may belong to; any if empty.
    """

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    context_sop_class_uid: str
    transfer_syntax_uid: str
    calling_ae: str = ""
    peer_address: str = ""
    study_instance_uid: str = ""


class Reception:
    """Takes the data set of one C-STORE, and stays within limits.

    Parameters
    ----------
    request
        The command.
    incoming
        Where the bytes go; None if `error` says why they go nowhere.
    limit_bytes
        More is refused.
    abort_bytes
        More ends the association.
    watch
        Raises ResourceError when the instance cannot be taken any more; called now and then.
    error
        Why it is refused from the start.
    """

    def __init__(
        self,
        request: StoreRequest,
        incoming: Incoming | None,
        limit_bytes: int,
        abort_bytes: int,
        watch: Callable[[], None],
        error: VstDicomError | None = None,
    ) -> None:
        self.request = request
        self.incoming = incoming
        self.limit_bytes = limit_bytes
        self.abort_bytes = abort_bytes
        self.watch = watch
        self.error = error
        self.n_bytes = 0
        self.identity: Identity | None = None
        """What it is, once its data set was checked."""
        self._look_at = min(_WATCH_BYTES, limit_bytes)

    def take(self, *parts: memoryview) -> None:
        """Take the next bytes of the data set.

        Raises
        ------
        ProtocolError
            If the peer sends on for ever.
        """
        self.n_bytes += sum(map(len, parts))
        if self.n_bytes > self._look_at:
            self._look()
        if self.incoming is not None:
            try:
                self.incoming.write(*parts)
            except OSError as error:
                msg = f"the spool cannot be written ({error.strerror}); send again later"
                self.refuse(ResourceError(msg))

    def refuse(self, error: VstDicomError) -> None:
        """Throw away what came and what comes; the first reason stays."""
        if self.error is None:
            self.error = error
        self.discard()

    def discard(self) -> None:
        """Remove the file, unless it is closed already."""
        if self.incoming is not None:
            self.incoming.discard()
            self.incoming = None

    def _look(self) -> None:
        self._look_at = self.n_bytes + _WATCH_BYTES
        if self.n_bytes > self.limit_bytes:
            self._look_at = min(self._look_at, self.abort_bytes)
            msg = f"this instance may have {self.limit_bytes} bytes; it is longer"
            self.refuse(ResourceError(msg))
            if self.n_bytes > self.abort_bytes:
                raise ProtocolError("a data set does not end within the limit")
        elif self.error is None:
            self._look_at = min(self._look_at, self.limit_bytes)
            try:
                self.watch()
                if self.incoming is not None:
                    self.incoming.hand_over()
            except VstDicomError as error:
                self.refuse(error)
