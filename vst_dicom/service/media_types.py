"""Which representation a client accepts (RFC 9110 12.5.1, PS3.18 8.7)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException

_LONGEST_ACCEPT: Final = 4096
_MOST_RANGES: Final = 50
_COMMA: Final = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)')
"""A comma that stands in no quotes."""

MULTIPART: Final = "multipart/related"
OCTET_STREAM: Final = "application/octet-stream"
ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class MediaRange:
    """What a client accepts.

    Parameters
    ----------
    media_type
        Such as ``image/jpeg``, ``image/*`` or ``*/*``; of each part where `multipart` is set.
    multipart
        Whether in parts (RFC 2387); None where the client leaves that open.
    transfer_syntax_uid
        ``*`` for any; empty where the client does not say.
    quality
        From 0 to 1.
    """

    media_type: str
    multipart: bool | None
    transfer_syntax_uid: str
    quality: float

    def takes(self, media_type: str) -> bool:
        """Whether a media type lies in the range."""
        kind, _, subtype = self.media_type.partition("/")
        return self.media_type == media_type or (subtype == ANY and kind in (ANY, media_type.partition("/")[0]))


@dataclass(frozen=True, slots=True)
class Representation:
    """How something is sent.

    Parameters
    ----------
    media_type
        Of the whole, or of each part.
    multipart
        Whether in parts.
    """

    media_type: str
    multipart: bool


def parse_accept(text: str) -> list[MediaRange]:
    """Parse the header field Accept, the most wanted first; an empty one accepts anything.

    Raises
    ------
    HTTPException
        400 if it is too long or not understood.
    """
    if len(text) > _LONGEST_ACCEPT or text.count(",") > _MOST_RANGES:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the header field Accept is too long")
    parsed = [_parse_range(part) for part in _COMMA.split(text or "*/*") if part.strip()]
    return sorted((found for found in parsed if found.quality > 0), key=lambda found: -found.quality)


def negotiate(accept: str, media_type: str, transfer_syntax_uid: str, *, is_single: bool) -> Representation:
    """Choose how to send something that is not converted.

    Parameters
    ----------
    accept
        The header field.
    media_type, transfer_syntax_uid
        As stored.
    is_single
        Whether it is one thing, which needs no parts.

    Raises
    ------
    HTTPException
        406 if the client accepts none of what can be sent.
    """
    for wanted in parse_accept(accept):
        if wanted.multipart is False and not is_single:
            continue
        chosen = _choose_type(wanted, media_type, transfer_syntax_uid)
        if chosen:
            return Representation(chosen, wanted.multipart is not False)
    many = f'{MULTIPART}; type="{media_type}"; transfer-syntax={transfer_syntax_uid}'
    raise HTTPException(HTTPStatus.NOT_ACCEPTABLE, f"it is stored, and sent, as: {many}")


def negotiate_picture(accept: str, media_types: Sequence[str], *, is_single: bool) -> Representation:
    """Choose how to send one picture, or several in parts.

    Raises
    ------
    HTTPException
        406 if the client accepts none of the media types, or several pictures only without parts.
    """
    for wanted in parse_accept(accept):
        if wanted.multipart is False and not is_single:
            continue
        for media_type in media_types:
            if wanted.takes(media_type):
                return Representation(media_type, multipart=bool(wanted.multipart) or not is_single)
    kinds = ", ".join(media_types if is_single else [f'{MULTIPART}; type="{one}"' for one in media_types])
    raise HTTPException(HTTPStatus.NOT_ACCEPTABLE, f"only sent as: {kinds}")


def require_type(accept: str, *media_types: str) -> str:
    """Choose one of several media types of a whole.

    Raises
    ------
    HTTPException
        406 if the client accepts none of them.
    """
    for wanted in parse_accept(accept):
        for media_type in media_types:
            if not wanted.multipart and wanted.takes(media_type):
                return media_type
    raise HTTPException(HTTPStatus.NOT_ACCEPTABLE, f"only sent as: {', '.join(media_types)}")


def _choose_type(wanted: MediaRange, media_type: str, transfer_syntax_uid: str) -> str:
    """Media type under which a stored thing fits a range; empty if it does not."""
    is_native = media_type == OCTET_STREAM
    same_syntax = wanted.transfer_syntax_uid in (ANY, transfer_syntax_uid)
    if wanted.takes(media_type) and (same_syntax or not wanted.transfer_syntax_uid):
        return media_type
    if wanted.media_type == OCTET_STREAM and same_syntax and not is_native:
        return OCTET_STREAM  # as stored, whatever that is
    return ""


def _parse_range(text: str) -> MediaRange:
    message = Message()
    message["Content-Type"] = text.strip()
    media_type = message.get_content_type()
    if "/" not in text or (media_type == "text/plain" and "text/plain" not in text.lower()):
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the header field Accept is not understood")
    parameters = {name.lower(): value for name, value in (message.get_params() or [])[1:]}
    try:
        quality = min(max(float(parameters.get("q", "1")), 0.0), 1.0)
    except ValueError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "a quality in the header field Accept is no number") from error
    multipart: bool | None = media_type == MULTIPART
    if multipart or media_type in ("multipart/*", "*/*"):
        multipart = None if media_type == "*/*" else True
        media_type = parameters.get("type", "*/*").lower()
    return MediaRange(media_type, multipart, parameters.get("transfer-syntax", ""), quality)
