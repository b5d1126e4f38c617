"""What holds for every response: header fields for browsers, and a line of log without values."""

from time import monotonic
from typing import Final

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = structlog.get_logger(__name__)

_SECURITY: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_BULK_ROUTES: Final = ("/frames/", "/bulkdata/", "/health/")
"""Asked by the thousand; logged only when they fail."""


class EveryResponse:
    """Adds header fields and logs requests.

    Parameters
    ----------
    app
        What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s, status = monotonic(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            _log_request(scope, status, monotonic() - began_s)


class HeadAsGet:
    """Answers HEAD wherever GET is answered, with the same header fields and without the content (RFC 9110 9.3.2).

    Everything within sees a GET, so that roles and audit treat both alike. The server takes an answer for complete
    with its header fields, and what would go on sending is told that the client has left.

    Parameters
    ----------
    app
        What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})

        await self._app({**scope, "method": "GET"}, receive, send_head)


def _log_request(scope: Scope, status: int, seconds: float) -> None:
    """Log the route, not the path, whose parts come from outside."""
    route = getattr(scope.get("route"), "path", "")
    if 0 < status < 400 and any(part in route for part in _BULK_ROUTES):
        return
    _log.info("request", method=scope["method"], route=route, status=int(status), ms=round(seconds * 1000))
