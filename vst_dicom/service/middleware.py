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

_BULK_ROUTES: Final = ("/frames/", "/bulkdata/", "/health")
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


def _log_request(scope: Scope, status: int, seconds: float) -> None:
    """Log the route, not the path, whose parts come from outside."""
    route = getattr(scope.get("route"), "path", "")
    if 0 < status < 400 and any(part in route for part in _BULK_ROUTES):
        return
    _log.info("request", method=scope["method"], route=route, status=int(status), ms=round(seconds * 1000))
