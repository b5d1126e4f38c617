"""Refuse what a foreign page could make a browser send, and bodies that are not small JSON."""

from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vst_dicom.service.addresses import API
from vst_dicom.service.problems import problem

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_OWN_SITES: Final = frozenset({"same-origin", "none"})
MOST_BODY_BYTES: Final = 2 << 20


class OwnRequestsOnly:
    """Guards every request that changes something.

    A page of another site can make a browser send forms and simple requests here, with its cookies or from this very
    machine. Such requests name their origin (RFC 6454), cannot be of type JSON without asking first (CORS), and are
    refused.

    Parameters
    ----------
    app
        What answers.
    public_url
        Address of the proxy before this server, if any.
    """

    def __init__(self, app: ASGIApp, public_url: str | None) -> None:
        self._app = app
        self._public = _origin(public_url) if public_url else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        is_socket = scope["type"] == "websocket"  # which scripts of any page may open, with the cookies of this one
        if not is_socket and (scope["type"] != "http" or scope["method"] in _SAFE):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refused = self._refusal(scope, headers)
        if refused is not None:
            status, detail = refused
            await problem(status, detail, code="usage")(scope, receive, send)
            return
        if scope["path"].startswith(API):
            receive = _limited(receive)
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[HTTPStatus, str] | None:
        """Say why a request is refused; None if it is not."""
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if (site is not None and site not in _OWN_SITES) or (origin is not None and not self._is_own(origin, headers)):
            return HTTPStatus.FORBIDDEN, "pages of other sites may not change anything here"
        if not scope["path"].startswith(API):
            return None
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send Content-Type: application/json"
        if "content-encoding" in headers:
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the body as it is, without Content-Encoding"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > MOST_BODY_BYTES:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"send at most {MOST_BODY_BYTES >> 20} MiB"
        return None

    def _is_own(self, origin: str, headers: Headers) -> bool:
        return urlsplit(origin).netloc == headers.get("host") or (bool(self._public) and origin == self._public)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _limited(receive: Receive) -> Receive:
    """Pass a body on until it is too long; the rest then looks as if the client had gone."""
    n_bytes = 0

    async def receive_some() -> Message:
        nonlocal n_bytes
        message = await receive()
        n_bytes += len(message.get("body", b""))
        return {"type": "http.disconnect"} if n_bytes > MOST_BODY_BYTES else message

    return receive_some
