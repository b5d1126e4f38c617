"""Ranges of bytes (RFC 9110 14): the rest of a download that broke off, a part of a large file."""

import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Final

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from vst_dicom.service.part10 import Span

_RANGE: Final = re.compile(r"bytes=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.IGNORECASE)


def find_range(request: Request, tag: str, n_bytes: int) -> Span | None:
    """Find which bytes a client asks for.

    Several ranges, other units and what is not understood are left out of account, as is a range of something that
    changed since (If-Range).

    Parameters
    ----------
    request
        Its header fields say it.
    tag
        Entity tag of the whole.
    n_bytes
        Length of the whole.

    Returns
    -------
    Span or None
        None for the whole.

    Raises
    ------
    HTTPException
        416 if there are no such bytes.
    """
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    if found is None or request.headers.get("if-range", tag) != tag:
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(0, n_bytes - int(last))
    stop = min(int(last) + 1, n_bytes) if first and last else n_bytes
    if start >= stop:
        headers = {"Content-Range": f"bytes */{n_bytes}"}
        raise HTTPException(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"it has {n_bytes} bytes", headers)
    return Span(start, stop)


def send_bytes(
    request: Request,
    tag: str,
    n_bytes: int,
    read: Callable[[Span], Iterable[bytes]],
    media_type: str,
    headers: dict[str, str],
    *,
    whole: bool = False,
) -> Response:
    """Send bytes that never change, or the range of them that is asked for.

    Parameters
    ----------
    request
        May ask for a range.
    tag, n_bytes
        Entity tag and length of the whole.
    read
        Reads a part, piece by piece.
    media_type, headers
        Of the whole.
    whole
        Whether to read everything before the response begins.

    Raises
    ------
    HTTPException
        416 if the range lies outside.
    """
    span = find_range(request, tag, n_bytes)
    status = HTTPStatus.OK
    headers = headers | {"Accept-Ranges": "bytes"}
    if span is not None:
        status = HTTPStatus.PARTIAL_CONTENT
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{n_bytes}"
    span = span or Span(0, n_bytes)
    headers["Content-Length"] = str(span.n_bytes)
    if whole:
        return Response(b"".join(read(span)), status, headers, media_type)
    return StreamingResponse(read(span), status, headers, media_type)
