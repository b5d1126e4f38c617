"""Responses: JSON that nobody keeps, stored bytes that never change."""

import hashlib
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response

from vst_dicom.service.dicom_json import write_json

DICOM_JSON: Final = ("application/dicom+json", "application/json")

HAS_MORE: Final = "There are additional results that can be requested"
"""Warning of a search that was cut at its limit (PS3.18 8.3.4)."""

IMMUTABLE: Final = "private, max-age=31536000, immutable"
"""Of what never changes under its address; shared caches keep no patient data."""

NO_STORE: Final = "no-store"


def json_response(content: Any, media_type: str) -> Response:
    """Respond with JSON that holds patient data."""
    return Response(write_json(content), media_type=media_type, headers={"Cache-Control": NO_STORE, "Vary": "Accept"})


def warning(text: str) -> str:
    """Value of the header field Warning, as DICOMweb uses it."""
    return f'299 vst_dicom "{text}"'


def entity_tag(*parts: str) -> str:
    """Derive an entity tag (RFC 9110 8.8.3) from what names content that never changes."""
    return f'"{hashlib.sha256("/".join(parts).encode()).hexdigest()[:32]}"'


def immutable_headers(tag: str) -> dict[str, str]:
    """Header fields of stored bytes."""
    return {"ETag": tag, "Cache-Control": IMMUTABLE, "Vary": "Accept"}


def is_known(request: Request, tag: str) -> bool:
    """Whether the client has it already (RFC 9110 13.1.2)."""
    sent: Iterable[str] = (
        part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")
    )
    return any(part in (tag, "*") for part in sent)


def not_modified(tag: str) -> Response:
    """Tell the client that what it has still holds."""
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=immutable_headers(tag))
