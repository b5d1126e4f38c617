"""What routes of DICOMweb and of files answer, as OpenAPI says it."""

from http import HTTPStatus
from typing import Any, Final

from vst_dicom.service.media_types import MULTIPART, OCTET_STREAM
from vst_dicom.service.openapi import problem_response
from vst_dicom.service.picture_encoding import MEDIA_TYPES
from vst_dicom.service.representations import DICOM_JSON

Responses = dict[int | str, dict[str, Any]]

_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
_JSON: Final = {"schema": {"type": "array", "items": {"type": "object"}}}
_RANGE: Final = "Content-Range"


def _of(content: dict[str, Any], *, kept: bool = False, ranges: bool = False, chosen: bool = True) -> Responses:
    """Describe what is sent.

    Parameters
    ----------
    content
        By media type.
    kept
        Whether clients may have it already.
    ranges
        Whether ranges of bytes are sent.
    chosen
        Whether the client says which media types it accepts.
    """
    found: Responses = {int(HTTPStatus.OK): {"description": "As asked for", "content": content}}
    if chosen:
        found[int(HTTPStatus.NOT_ACCEPTABLE)] = problem_response(HTTPStatus.NOT_ACCEPTABLE)
    if kept:
        found[int(HTTPStatus.NOT_MODIFIED)] = {"description": "What the client has still holds (If-None-Match)"}
    if ranges:
        headers = {_RANGE: {"schema": {"type": "string"}}}
        found[int(HTTPStatus.PARTIAL_CONTENT)] = {
            "description": "The range of bytes asked for (Range, If-Range); of what is sent without parts",
            "headers": headers,
            "content": {media_type: _BINARY for media_type in content if media_type != MULTIPART},
        }
        found[int(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)] = problem_response(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        )
    return found


_PARTS: Final = {MULTIPART: _BINARY}
_FRAMES: Final = {OCTET_STREAM: _BINARY, "image/*": _BINARY, **_PARTS}

JSON_MODEL: Final = _of(dict.fromkeys(DICOM_JSON, _JSON))
"""The DICOM JSON model."""

INSTANCES: Final = _of({"application/dicom": _BINARY, **_PARTS})
INSTANCE: Final = _of({"application/dicom": _BINARY, **_PARTS}, kept=True, ranges=True)
FRAMES: Final = _of(_FRAMES, kept=True, ranges=True)
"""As stored: an image format by transfer syntax, or bytes."""

FILE: Final = _of({OCTET_STREAM: _BINARY}, kept=True, ranges=True, chosen=False)
THUMBNAIL: Final = _of(dict.fromkeys(MEDIA_TYPES, _BINARY), kept=True)
PICTURES: Final = _of(dict.fromkeys(MEDIA_TYPES, _BINARY) | _PARTS, kept=True)

SEARCH_PARAMETERS: Final[dict[str, Any]] = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
        for name, description, schema in (
            ("limit", "How many at most; never more than 1000", {"type": "integer", "minimum": 0}),
            ("offset", "How many to leave out first", {"type": "integer", "minimum": 0, "maximum": 999_999_999}),
            ("fuzzymatching", "Whether the beginning of any part of a name matches", {"type": "boolean"}),
            ("includefield", "Further attributes, by keyword or tag, or all", {"type": "string", "maxLength": 1024}),
        )
    ]
    + [
        {
            "name": "attributes",
            "in": "query",
            "required": False,
            "style": "form",
            "explode": True,
            "description": "Values to match, as keyword=value or tag=value, with * and ? and ranges (PS3.18 8.3.4.1)",
            "schema": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 1024}},
        }
    ]
}
"""Of searches; which attributes may be named is the dictionary's matter."""
