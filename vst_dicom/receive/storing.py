"""From the command of a C-STORE to its status: open, check, bring to the disk, record."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from vst_dicom.domain.errors import (
    InvalidUidError,
    ResourceError,
    TransferSyntaxError,
    UnexpectedSopClassError,
    UnsupportedInstanceError,
    VstDicomError,
)
from vst_dicom.ledger.instances import Outcome, ReceivedInstance, Revision, find_revisions, find_sha256, record_instance
from vst_dicom.receive.accepted import STORED, TRANSFER_SYNTAXES
from vst_dicom.receive.reception import Reception, StoreRequest
from vst_dicom.receive.spool import Incoming, Spool, encode_header, hash_data_set, is_same_data_set
from vst_dicom.receive.statuses import SUCCESS, Status, status_of
from vst_dicom.receive.walk import Identity, check_data_set, is_valid_uid

_log = structlog.get_logger()


class Storage:
    """Stores instances in the spool and the database, in this order, and answers Success last.

    Parameters
    ----------
    spool
        Where files go.
    engine
        The database.
    admit
        Raises ResourceError while no instance can be taken: disk, backlog.
    now
        The clock, UTC.
    """

    def __init__(self, spool: Spool, engine: Engine, admit: Callable[[], None], now: Callable[[], datetime]) -> None:
        self.spool = spool
        self.engine = engine
        self.admit = admit
        self.now = now

    def begin(self, request: StoreRequest, limit_bytes: int, abort_bytes: int) -> Reception:
        """Open a file for a data set; one that is refused is still read, and then answered.

        Parameters
        ----------
        request
            The command.
        limit_bytes, abort_bytes
            More than the first is refused, more than the second ends the association.
        """
        try:
            _check_command(request)
            if limit_bytes <= 0:
                raise ResourceError("the association has sent its share; open another")
            self.admit()
            header = encode_header(
                request.sop_class_uid, request.sop_instance_uid, request.transfer_syntax_uid, request.calling_ae
            )
            incoming = self.spool.begin(header)
        except (VstDicomError, OSError) as error:
            refused = error if isinstance(error, VstDicomError) else _disk_error(error)
            return Reception(request, None, limit_bytes, abort_bytes, self.admit, refused)
        return Reception(request, incoming, limit_bytes, abort_bytes, self.admit)

    def finish(self, reception: Reception) -> Status:
        """Check and keep a data set that has arrived; what this returns may be answered at once."""
        request = reception.request
        try:
            outcome = self._store(reception)
        except Exception as error:  # whatever fails, the peer must learn that we do not have the instance
            reception.discard()
            status = status_of(error)
            _log.warning(
                "instance refused",
                code=getattr(error, "code", type(error).__name__),
                status=f"{status.code:04X}",
                reason=str(error) if isinstance(error, VstDicomError) else type(error).__name__,
                sop_instance_uid=request.sop_instance_uid if is_valid_uid(request.sop_instance_uid) else "",
                calling_ae=request.calling_ae,
            )
            return status
        _log.info(
            "instance stored",
            outcome=outcome.value,
            sop_instance_uid=request.sop_instance_uid,
            n_bytes=reception.n_bytes,
            calling_ae=request.calling_ae,
        )
        return Status(SUCCESS)

    def _store(self, reception: Reception) -> Outcome:
        if reception.error is not None:
            raise reception.error
        incoming = reception.incoming
        if incoming is None:
            raise ResourceError("the instance was thrown away; send again later")
        request = reception.request
        start = incoming.data_set_start
        try:
            identity = check_data_set(
                incoming.descriptor, start, start + reception.n_bytes, request.transfer_syntax_uid
            )
            reception.identity = identity
            _check_identity(request, identity)
            outcome = self.keep(incoming, identity, reception.n_bytes, request)
        except OSError as error:
            raise _disk_error(error) from error
        reception.incoming = None
        return outcome

    def keep(self, incoming: Incoming, identity: Identity, n_bytes: int, request: StoreRequest) -> Outcome:
        """Bring a checked file to the disk and record it; afterwards it is closed."""

        def is_same(known: Revision) -> bool:
            return known.transfer_syntax_uid == request.transfer_syntax_uid and self.is_same(
                known, incoming.descriptor, n_bytes
            )

        with self._answering(), self.engine.connect() as connection:
            known = find_revisions(connection, identity.sop_instance_uid)
        if any(is_same(revision) for revision in known):
            incoming.discard()
            return Outcome.DUPLICATE
        file_name = self.spool.keep(incoming)
        instance = ReceivedInstance(
            sop_instance_uid=identity.sop_instance_uid,
            sop_class_uid=identity.sop_class_uid,
            study_instance_uid=identity.study_instance_uid,
            series_instance_uid=identity.series_instance_uid,
            transfer_syntax_uid=request.transfer_syntax_uid,
            file_name=file_name,
            n_bytes=n_bytes,
            calling_ae=request.calling_ae,
            peer_address=request.peer_address,
        )
        try:
            with self._answering():
                outcome = record_instance(self.engine, instance, is_same, self.now()).outcome
        except ResourceError:
            incoming.close()  # the commit may have happened all the same: the next start decides about the file
            raise
        if outcome is Outcome.DUPLICATE:
            incoming.discard()
        else:
            incoming.close()
        return outcome

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise ResourceError("the database does not answer; send again later") from error

    def is_same(self, known: Revision, descriptor: int, n_bytes: int) -> bool:
        """Whether an open file holds the data set of a known revision, whose own file may have been removed."""
        if known.n_bytes != n_bytes:
            return False
        try:
            other = os.open(self.spool.path(known.file_name), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            with self.engine.connect() as connection:
                sha256 = find_sha256(connection, known.instance_id)
            return sha256 is not None and sha256 == hash_data_set(descriptor, n_bytes)
        try:
            return is_same_data_set(other, descriptor, n_bytes)
        finally:
            os.close(other)


def _check_command(request: StoreRequest) -> None:
    if not is_valid_uid(request.sop_instance_uid):
        raise InvalidUidError("Affected SOP Instance UID (0000,1000) is not a UID")
    if request.sop_class_uid != request.context_sop_class_uid:
        raise UnexpectedSopClassError("Affected SOP Class UID is not that of the context")
    if request.sop_class_uid not in STORED:
        raise UnexpectedSopClassError("instances of this SOP class are not received")
    if request.transfer_syntax_uid not in TRANSFER_SYNTAXES:
        raise TransferSyntaxError("instances in this transfer syntax are not received")


def _check_identity(request: StoreRequest, identity: Identity) -> None:
    if identity.sop_class_uid != request.sop_class_uid:
        raise UnsupportedInstanceError("command and data set name different SOP classes")
    if identity.sop_instance_uid != request.sop_instance_uid:
        raise UnsupportedInstanceError("command and data set name different SOP instances")
    if request.study_instance_uid not in ("", identity.study_instance_uid):
        raise UnsupportedInstanceError("the instance belongs to another study than the request is for")


def _disk_error(error: OSError) -> ResourceError:
    msg = f"the spool cannot be used ({error.strerror}); send again later"
    return ResourceError(msg)
