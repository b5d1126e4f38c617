"""The page: files of this package, nothing from elsewhere."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response

from vst_dicom.domain.errors import MissingInputError
from vst_dicom.service.representations import is_known

router: Final = APIRouter(include_in_schema=False)

_FOLDER: Final = files("vst_dicom.service") / "page"
_MEDIA_TYPES: Final = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "txt": "text/plain",
}

_HEADERS: Final = {
    "Cache-Control": "no-cache",  # asked again each time, answered by 304: a new version is seen at once
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' blob: data:",
            "connect-src 'self'",
            "frame-src 'self'",  # a model's card, which its own policy locks in
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
}

FileName = Annotated[str, Path(pattern=r"^[a-z0-9_.-]{1,60}$")]


@router.get("/")
def read_page(request: Request) -> Response:
    """Send the page."""
    return _send(request, "index.html")


@router.get("/page/{name}")
def read_page_file(request: Request, name: FileName) -> Response:
    """Send a file of the page."""
    return _send(request, name)


def _send(request: Request, name: str) -> Response:
    content, tag = _read(name)
    headers = {**_HEADERS, "ETag": tag}
    if is_known(request, tag):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=_MEDIA_TYPES[name.rpartition(".")[2]], headers=headers)


@cache
def _read(name: str) -> tuple[bytes, str]:
    """Content and entity tag of a file of the page."""
    if name not in _names():
        raise MissingInputError("the page has no such file")
    content = (_FOLDER / name).read_bytes()
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'


@cache
def _names() -> frozenset[str]:
    return frozenset(file.name for file in _FOLDER.iterdir() if file.name.rpartition(".")[2] in _MEDIA_TYPES)
