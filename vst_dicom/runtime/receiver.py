"""The role ``receiver``: settings, ledger and listener joined; no model, no decoder, no picture in this process."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import structlog

from vst_dicom.config import DicomSettings, Settings
from vst_dicom.domain.errors import UsageError
from vst_dicom.ledger.database import open_database
from vst_dicom.receive.limits import Limits
from vst_dicom.receive.listener import Listener, ListenerSettings, ReportHandler
from vst_dicom.receive.peers import Peer
from vst_dicom.receive.recovery import recover
from vst_dicom.receive.spool import Spool
from vst_dicom.receive.storing import Storage
from vst_dicom.receive.tls import TlsFiles
from vst_dicom.runtime.admission import Admission

_log = structlog.get_logger()

_RECOVER_S: Final = 3600.0
"""How often the spool is compared with the database, for files that a failing database left without a row."""

_DRAIN_S: Final = 60.0
"""How long associations may go on after a request to stop."""


def run_receiver(
    settings: Settings,
    stop: threading.Event,
    *,
    on_report: ReportHandler | None = None,
    on_ready: Callable[[int], None] | None = None,
) -> None:
    """Receive until asked to stop.

    Parameters
    ----------
    settings
        All settings.
    stop
        Set by whoever wants it to end; associations may then go on for a minute.
    on_report
        Takes results of storage commitment; without it that service is not offered.
    on_ready
        Called with the port once peers can connect.

    Raises
    ------
    UsageError
        If the port is taken, or a setting does not fit the machine.
    """
    engine = open_database(settings.database)
    try:
        spool = Spool(settings.spool)
        storage = Storage(spool, engine, Admission(settings.storage, spool, engine), lambda: datetime.now(UTC))
        recover(storage)
        try:
            listener = Listener(listener_settings(settings.dicom), storage, on_report)
        except OSError as error:
            msg = (
                f"DICOM port {settings.dicom.host}:{settings.dicom.port} cannot be opened ({error.strerror}); "
                "set another dicom.port, or end what uses it"
            )
            raise UsageError(msg) from error
        _log.info("receiver listens", ae_title=settings.dicom.ae_title, port=listener.port)
        if on_ready is not None:
            on_ready(listener.port)
        while not stop.wait(_RECOVER_S):
            recover(storage)
        _log.info("receiver stops", n_connections=listener.n_connections)
        listener.stop(_DRAIN_S)
    finally:
        engine.dispose()


def listener_settings(settings: DicomSettings) -> ListenerSettings:
    """Translate settings into what the listener takes."""
    tls = settings.tls
    tls_files = None
    if tls is not None:
        tls_files = TlsFiles(tls.certificate, tls.private_key, tls.authorities, tls.require_peer_certificate)
    return ListenerSettings(
        ae_title=settings.ae_title,
        host=settings.host,
        port=settings.port,
        peers=tuple(Peer(peer.ae_title, peer.addresses) for peer in settings.allowed_peers),
        require_called_ae_title=settings.require_called_ae_title,
        tls=tls_files,
        limits=Limits(**settings.limits.model_dump()),
    )
