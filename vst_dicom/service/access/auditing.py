"""Writes down who asked for what, before the answer goes out."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from threading import Lock
from typing import Any, Final

import structlog
from cachetools import TTLCache
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vst_dicom.ledger.audit import AuditEntry, record_audit
from vst_dicom.service.access.principals import NOBODY, Principal
from vst_dicom.service.access.roles import is_audited
from vst_dicom.service.problems import problem

_log = structlog.get_logger(__name__)

_ONCE_IN_S: Final = 600.0
"""The same look at the same thing by the same person is one row in so long: a slide is thousands of frames."""

_REMEMBERED: Final = 20_000
_UID: Final = re.compile(r"[0-9.]{1,64}")
_TARGET: Final = re.compile(r"[0-9.]{1,64}|[0-9a-f]{64}")
_TARGETS: Final = ("instance", "series", "key", "slide_id", "workitem")
_ANSWERS: Final = ("http.response.start", "websocket.accept", "websocket.http.response.start", "websocket.close")


class Audited:
    """Writes rows of the audit.

    Parameters
    ----------
    app
        What answers.
    database
        The ledger.
    """

    def __init__(self, app: ASGIApp, database: Engine) -> None:
        self._app = app
        self._database = database
        self._written: TTLCache[object, None] = TTLCache(_REMEMBERED, _ONCE_IN_S)
        self._lock = Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a look at patient data that cannot be written down is refused."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refused = answered = False

        async def send_audited(message: Message) -> None:
            nonlocal refused, answered
            if refused:
                return
            if message["type"] in _ANSWERS and not answered:
                answered = True
                entry = _describe(scope, _status(message))
                written = entry is None or not self._is_new(entry) or await self._write(entry)
                if not written and _method(scope) == "GET":
                    refused = True
                    detail = "the audit cannot be written, so nothing is shown; ask again later"
                    await problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, code="resource")(scope, receive, send)
                    return
            await send(message)

        await self._app(scope, receive, send_audited)

    def _is_new(self, entry: AuditEntry) -> bool:
        """Whether the like of it was not written lately; changes that were made are always written."""
        if entry.method != "GET" and entry.status < 400:
            return True
        about = (entry.who, entry.address, entry.method, entry.route, entry.study_instance_uid, entry.target)
        with self._lock:
            return (*about, entry.status) not in self._written

    async def _write(self, entry: AuditEntry) -> bool:
        def write() -> None:
            with self._database.begin() as connection:
                record_audit(connection, entry)

        try:
            await run_in_threadpool(write)
        except SQLAlchemyError as error:
            _log.error("audit could not be written", error=type(error).__name__, route=entry.route, who=entry.who)
            return False
        about = (entry.who, entry.address, entry.method, entry.route, entry.study_instance_uid, entry.target)
        with self._lock:
            self._written[*about, entry.status] = None
        return True


def _method(scope: Scope) -> str:
    """Tell the method of a request; a WebSocket begins as GET (RFC 6455 4.1)."""
    return str(scope.get("method", "GET"))


def _status(message: Message) -> int:
    """Tell the status of an answer, or that of an opened or refused WebSocket."""
    if message["type"] == "websocket.accept":
        return HTTPStatus.SWITCHING_PROTOCOLS
    return int(message.get("status", HTTPStatus.FORBIDDEN))


def _describe(scope: Scope, status: int) -> AuditEntry | None:
    """Describe a request; None if it is not audited. Values that are no identifiers are left out."""
    route = getattr(scope.get("route"), "path", "")
    if not route or not is_audited(_method(scope), route):
        return None
    principal: Principal = scope.get("state", {}).get("principal", NOBODY)
    values: Mapping[str, Any] = scope.get("path_params", {})
    studies = scope.get("state", {}).get("studies", ())
    study = str(values.get("study", "") or (next(iter(studies)) if len(studies) == 1 else ""))
    target = next((str(values[name]) for name in _TARGETS if name in values), "")
    client = scope.get("client")
    return AuditEntry(
        at=datetime.now(UTC),
        who=principal.subject,
        role=principal.role.label,
        address=client[0] if client else "",
        method=_method(scope),
        route=route,
        study_instance_uid=study if _UID.fullmatch(study) else "",
        target=target if _TARGET.fullmatch(target) else "",
        status=status,
    )
