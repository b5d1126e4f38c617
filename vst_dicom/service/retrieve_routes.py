"""Routes of WADO-RS (PS3.18 10.4): metadata, instances, frames and bulk data, as stored."""

from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from vst_dicom.domain.errors import InputError
from vst_dicom.ledger.catalog import CatalogInstance, Wanted
from vst_dicom.service.addresses import DICOMWEB, Accept, Base, FrameList, InstanceUid, SeriesUid, Served, StudyUid
from vst_dicom.service.archive import Archive
from vst_dicom.service.frames import EXPLICIT_VR, FrameReader
from vst_dicom.service.media_types import OCTET_STREAM, Representation, negotiate, require_type
from vst_dicom.service.multipart import Part, boundary_of, content_type, join_parts
from vst_dicom.service.part10 import Part10File, Span
from vst_dicom.service.ranges import send_bytes
from vst_dicom.service.representations import (
    DICOM_JSON,
    NO_STORE,
    entity_tag,
    immutable_headers,
    is_known,
    not_modified,
)
from vst_dicom.service.route_responses import FRAMES, INSTANCE, INSTANCES, JSON_MODEL
from vst_dicom.slide.elements import PIXEL_DATA

_log = structlog.get_logger(__name__)

router: Final = APIRouter(prefix=DICOMWEB, tags=["DICOMweb: retrieve"], default_response_class=Response)

_DICOM: Final = "application/dicom"
_MOST_FRAMES: Final = 1000
_WHOLE_FRAMES: Final = 4
_WHOLE_METADATA: Final = 100
"""Up to so many are read before the response begins, beyond they are read as it goes."""

BulkPath = Annotated[
    str,
    Path(
        pattern=r"^[0-9A-Fa-f]{8}(/[0-9]{1,9}/[0-9A-Fa-f]{8}){0,16}$",
        description="Tag; behind that of a sequence the number of an item, from 1, and a tag in it",
    ),
]


@router.get("/studies/{study}/series/{series}/instances/{instance}/frames/{frames}", responses=FRAMES)
def retrieve_frames(
    request: Request,
    study: StudyUid,
    series: SeriesUid,
    instance: InstanceUid,
    frames: FrameList,
    archive: Served,
    accept: Accept,
) -> Response:
    """Retrieve frames, numbered from 1, as they are stored."""
    numbers = [int(number) for number in frames.split(",")]
    if len(numbers) > _MOST_FRAMES:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"at most {_MOST_FRAMES} frames are sent at once")
    found = archive.find(study, series, instance)
    reader = archive.open_frames(found.place)
    for number in numbers:
        reader.check(number)
    form = negotiate(accept, reader.media_type, reader.transfer_syntax_uid, is_single=len(numbers) == 1)
    parts = _frame_parts(reader, form, numbers)
    return _respond(request, found, f"frames {frames}", form, parts, whole=len(numbers) <= _WHOLE_FRAMES)


@router.get("/studies/{study}/metadata", responses=JSON_MODEL)
def retrieve_study_metadata(study: StudyUid, archive: Served, base: Base, accept: Accept) -> Response:
    """Retrieve the metadata of all instances of a study."""
    return _metadata(archive, Wanted((study,)), base, accept)


@router.get("/studies/{study}/series/{series}/metadata", responses=JSON_MODEL)
def retrieve_series_metadata(
    study: StudyUid, series: SeriesUid, archive: Served, base: Base, accept: Accept
) -> Response:
    """Retrieve the metadata of all instances of a series."""
    return _metadata(archive, Wanted((study,), (series,)), base, accept)


@router.get("/studies/{study}/series/{series}/instances/{instance}/metadata", responses=JSON_MODEL)
def retrieve_instance_metadata(
    study: StudyUid, series: SeriesUid, instance: InstanceUid, archive: Served, base: Base, accept: Accept
) -> Response:
    """Retrieve the metadata of an instance."""
    return _metadata(archive, Wanted((study,), (series,), (instance,)), base, accept)


@router.get("/studies/{study}", responses=INSTANCES)
def retrieve_study(study: StudyUid, archive: Served, accept: Accept) -> Response:
    """Retrieve all instances of a study."""
    return _instances(archive, Wanted((study,)), accept)


@router.get("/studies/{study}/series/{series}", responses=INSTANCES)
def retrieve_series(study: StudyUid, series: SeriesUid, archive: Served, accept: Accept) -> Response:
    """Retrieve all instances of a series."""
    return _instances(archive, Wanted((study,), (series,)), accept)


@router.get("/studies/{study}/series/{series}/instances/{instance}", responses=INSTANCE)
def retrieve_instance(
    request: Request, study: StudyUid, series: SeriesUid, instance: InstanceUid, archive: Served, accept: Accept
) -> Response:
    """Retrieve an instance."""
    found = archive.find(study, series, instance)
    file = archive.open(found.place)
    form = negotiate(accept, _DICOM, file.transfer_syntax_uid, is_single=True)
    media_type = f"{_DICOM}; transfer-syntax={file.transfer_syntax_uid}"
    return _respond_span(request, found, "instance", form, media_type, file, Span(0, file.size_bytes))


@router.get("/studies/{study}/series/{series}/instances/{instance}/bulkdata/{path:path}", responses=FRAMES)
def retrieve_bulk_data(
    request: Request,
    study: StudyUid,
    series: SeriesUid,
    instance: InstanceUid,
    path: BulkPath,
    archive: Served,
    accept: Accept,
) -> Response:
    """Retrieve a value that metadata name by BulkDataURI; encapsulated pixel data frame by frame."""
    found = archive.find(study, series, instance)
    file = archive.open(found.place)
    tags, items = path.split("/")[::2], path.split("/")[1::2]
    if int(tags[0], 16) == PIXEL_DATA and PIXEL_DATA in file.elements and file.elements[PIXEL_DATA].undefined:
        reader = archive.open_frames(found.place)
        form = negotiate(accept, reader.media_type, reader.transfer_syntax_uid, is_single=reader.n_frames == 1)
        parts = _frame_parts(reader, form, range(1, reader.n_frames + 1))
        return _respond(request, found, path, form, parts)
    steps = [int(tags[0], 16)]
    for item, tag in zip(items, tags[1:], strict=True):
        steps += [int(item), int(tag, 16)]
    span, _ = file.find_bulk_data(steps)
    form = negotiate(accept, OCTET_STREAM, EXPLICIT_VR, is_single=True)
    media_type = f"{OCTET_STREAM}; transfer-syntax={EXPLICIT_VR}"
    return _respond_span(request, found, path, form, media_type, file, span)


def _metadata(archive: Archive, wanted: Wanted, base: str, accept: str) -> Response:
    media_type = require_type(accept, *DICOM_JSON)
    found = list(archive.find_all(wanted))

    def write() -> Iterator[bytes]:
        separator = b"["
        for instance in found:
            try:
                encoded = archive.metadata(instance, base + DICOMWEB)
            except InputError as error:
                if len(found) == 1:
                    raise
                _log.warning("metadata left out", code=error.code, sop_instance_uid=instance.sop_instance_uid)
                continue
            yield separator + encoded
            separator = b","
        yield b"]" if separator == b"," else b"[]"

    headers = {"Cache-Control": NO_STORE, "Vary": "Accept"}
    if len(found) <= _WHOLE_METADATA:  # what fails then still has a status
        return Response(b"".join(write()), media_type=media_type, headers=headers)
    return StreamingResponse(write(), media_type=media_type, headers=headers)


def _instances(archive: Archive, wanted: Wanted, accept: str) -> Response:
    found = list(archive.find_all(wanted))
    syntaxes = {archive.open(instance.place).transfer_syntax_uid for instance in found}
    forms = {negotiate(accept, _DICOM, uid, is_single=len(found) == 1) for uid in syntaxes}

    def parts() -> Iterator[Part]:
        for instance in found:
            file = archive.open(instance.place)
            yield Part(f"{_DICOM}; transfer-syntax={file.transfer_syntax_uid}", file.stream())

    form = next(iter(forms))
    boundary = boundary_of(str(wanted))
    headers = {"Cache-Control": NO_STORE, "Vary": "Accept"}
    if form.multipart:
        media_type = content_type(_DICOM, boundary)
        return StreamingResponse(join_parts(parts(), boundary), media_type=media_type, headers=headers)
    (part,) = parts()
    return StreamingResponse(part.content, media_type=part.content_type, headers=headers)


def _frame_parts(reader: FrameReader, form: Representation, numbers: Sequence[int]) -> Iterator[Part]:
    for number in numbers:
        yield Part(f"{form.media_type}; transfer-syntax={reader.transfer_syntax_uid}", [reader.read(number)])


def _respond(
    request: Request,
    instance: CatalogInstance,
    what: str,
    form: Representation,
    parts: Iterable[Part],
    *,
    whole: bool = False,
) -> Response:
    """Respond with frames, which never change.

    Parameters
    ----------
    request
        May say that the client has it already.
    instance, what, form
        Name what is sent.
    parts
        To be sent; a single one unless the form has parts.
    whole
        Whether to read everything before the response begins.
    """
    tag = _tag(instance, what, form)
    if is_known(request, tag):
        return not_modified(tag)
    headers = immutable_headers(tag)
    if not form.multipart:
        (part,) = parts
        content = b"".join(part.content)
        return send_bytes(
            request,
            tag,
            len(content),
            lambda span: [content[span.start : span.stop]],
            part.content_type,
            headers,
            whole=True,
        )
    boundary = boundary_of(tag)
    media_type, body = content_type(form.media_type, boundary), join_parts(parts, boundary)
    if whole:
        return Response(b"".join(body), media_type=media_type, headers=headers)
    return StreamingResponse(body, media_type=media_type, headers=headers)


def _respond_span(
    request: Request,
    instance: CatalogInstance,
    what: str,
    form: Representation,
    media_type: str,
    file: Part10File,
    span: Span,
) -> Response:
    """Respond with bytes of a file, which never change, or with a range of them.

    Parameters
    ----------
    request
        May say that the client has it already, or ask for a range.
    instance, what, form, media_type
        Name what is sent.
    file, span
        Where it lies.
    """
    tag = _tag(instance, what, form)
    if is_known(request, tag):
        return not_modified(tag)
    headers = immutable_headers(tag)
    if form.multipart:
        boundary = boundary_of(tag)
        body = join_parts([Part(media_type, file.stream(span))], boundary)
        return StreamingResponse(body, media_type=content_type(form.media_type, boundary), headers=headers)

    def read(part: Span) -> Iterator[bytes]:
        return file.stream(Span(span.start + part.start, span.start + part.stop))

    return send_bytes(request, tag, span.n_bytes, read, media_type, headers)


def _tag(instance: CatalogInstance, what: str, form: Representation) -> str:
    place = instance.place
    return entity_tag(place.job_key, place.file_name, what, form.media_type, str(form.multipart))
