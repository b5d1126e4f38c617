"""The role ``web``: DICOMweb and REST by HTTP."""

import logging
import socket
from collections.abc import Callable
from threading import Event, Thread
from typing import Final

import structlog
import uvicorn

from vst_dicom.config import Settings
from vst_dicom.domain.errors import UsageError
from vst_dicom.ledger.database import open_database
from vst_dicom.service.app import make_app

_log = structlog.get_logger(__name__)

_DRAIN_S: Final = 10
"""How long responses may go on after a request to stop."""

_KEEP_ALIVE_S: Final = 60
_BACKLOG: Final = 512
_LARGEST_MESSAGE_BYTES: Final = 4096
"""From clients of WebSockets, which have nothing to say."""


def run_web(settings: Settings, stop: Event, *, on_ready: Callable[[int], None] | None = None) -> None:
    """Answer until the event is set.

    Parameters
    ----------
    settings, stop
        As for every role.
    on_ready
        Called with the port once clients can connect.

    Raises
    ------
    UsageError
        If the port is taken.
    """
    logging.captureWarnings(
        capture=True
    )  # pydicom quotes values in its warnings; of logged ones only the place is kept
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    database = open_database(settings.database)
    try:
        with _listen(settings.web.host, settings.web.port) as listener:
            port = int(listener.getsockname()[1])
            app = make_app(settings, database)
            app.state.uploading.storage.spool.sweep()  # what this role left half received when it was killed
            config = uvicorn.Config(
                app,
                access_log=False,
                log_config=None,
                log_level="warning",  # below, it writes down addresses with what somebody put into them
                proxy_headers=bool(settings.web.trusted_proxies),
                forwarded_allow_ips=list(settings.web.trusted_proxies),
                server_header=False,
                ws="websockets-sansio",
                ws_max_size=_LARGEST_MESSAGE_BYTES,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_DRAIN_S,
            )
            server = uvicorn.Server(config)
            thread = Thread(target=server.run, args=([listener],), name="web")
            thread.start()
            _log.info("web listens", host=settings.web.host, port=port)
            if on_ready is not None:
                on_ready(port)
            stop.wait()
            server.should_exit = True
            app.state.feed.close()
            thread.join()
    finally:
        database.dispose()
        logging.captureWarnings(capture=False)


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out a line of uvicorn for each WebSocket that is refused by an HTTP response, as it should be."""
    return "without completing handshake" not in record.getMessage()


def _listen(host: str, port: int) -> socket.socket:
    try:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=_BACKLOG
        )
    except OSError as error:
        msg = f"web port {host}:{port} cannot be opened ({error.strerror}); set another web.port, or end what uses it"
        raise UsageError(msg) from error
    # What is accepted inherits it. Without it the content of an answer waits 40 ms for a receipt of its header fields.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
