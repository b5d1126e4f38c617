"""Logs as JSON lines on standard error: constant messages, facts beside them, UIDs at most, never a patient."""

import logging
import sys
from typing import Final

import structlog
from structlog.typing import EventDict

_QUOTING_LIBRARIES: Final = ("dbos",)
"""Libraries whose messages are known to hold keys and addresses only; of all others only the place is logged."""


class _LibraryMessages(logging.Handler):
    """Passes on messages of libraries; their text is left out, because it may quote header values."""

    def emit(self, record: logging.LogRecord) -> None:
        facts = {"library": record.name, "place": f"{record.module}:{record.lineno}"}
        if record.name.split(".")[0] in _QUOTING_LIBRARIES and not record.exc_info:
            facts["text"] = record.getMessage()
        if record.exc_info and record.exc_info[0]:
            facts["error"] = record.exc_info[0].__name__
        structlog.get_logger("library").log(record.levelno, "message of a library", **facts)


def configure_logs(role: str = "") -> None:
    """Send all logs of this process to standard error, one JSON object a line.

    Parameters
    ----------
    role
        Named in each line, if given.
    """

    def name_role(_logger: object, _method: str, facts: EventDict) -> EventDict:
        if role:
            facts["role"] = role
        return facts

    structlog.configure(
        processors=[
            name_role,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(_name_exception),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_LibraryMessages()]
    root.setLevel(logging.WARNING)
    dbos = logging.getLogger("dbos")
    dbos.handlers = [_LibraryMessages()]  # it would write to the console itself
    dbos.propagate = False
    dbos.setLevel(logging.WARNING)


def _name_exception(exc_info: object) -> str:
    """Name an exception; its text and its traceback may quote header values."""
    return exc_info[0].__name__ if isinstance(exc_info, tuple) and exc_info[0] else ""
