"""What requests may name, and where this server says that it is."""

from typing import Annotated, Final

from fastapi import Depends, Path, Query, Request

from vst_dicom.service.archive import Archive

DICOMWEB: Final = "/dicom-web"
API: Final = "/api/v1"

_UID: Final = r"^[0-9.]{1,64}$"

StudyUid = Annotated[str, Path(pattern=_UID, description="Study Instance UID (0020,000D)")]
SeriesUid = Annotated[str, Path(pattern=_UID, description="Series Instance UID (0020,000E)")]
InstanceUid = Annotated[str, Path(pattern=_UID, description="SOP Instance UID (0008,0018)")]
FrameList = Annotated[str, Path(pattern=r"^[0-9]{1,9}(,[0-9]{1,9})*$", max_length=10_000, description="Such as 1,2,3")]
SeriesFilter = Annotated[str, Query(pattern=_UID, description="Series Instance UID (0020,000E) of a slide")]


async def archive_of(request: Request) -> Archive:
    """Find what is served."""
    archive: Archive = request.app.state.archive
    return archive


async def base_url(request: Request) -> str:
    """Address of this server as its clients see it, without a slash at the end."""
    public_url: str | None = request.app.state.public_url
    if public_url:
        return public_url.rstrip("/")
    port = request.url.port or request.scope["server"][1]  # some clients leave the port out of the field Host
    return f"{request.url.scheme}://{request.url.netloc.removesuffix(f':{port}')}:{port}"


async def accept_of(
    request: Request,
    accept: Annotated[
        str | None, Query(max_length=4096, description="Media types; goes before the header field (PS3.18 8.3.3.1)")
    ] = None,
) -> str:
    """Media types that the client accepts."""
    return accept or ", ".join(request.headers.getlist("accept"))


Served = Annotated[Archive, Depends(archive_of)]
Base = Annotated[str, Depends(base_url)]
Accept = Annotated[str, Depends(accept_of)]
