"""Routes of STOW-RS (PS3.18 10.5): instances come to the same spool and ledger as by C-STORE."""

import asyncio
import re
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from vst_dicom.domain.errors import ResourceError
from vst_dicom.receive.statuses import OUT_OF_RESOURCES, SUCCESS, TRANSFER_SYNTAX_NOT_SUPPORTED
from vst_dicom.service.access.guard import address_of
from vst_dicom.service.access.principals import Principal
from vst_dicom.service.addresses import DICOMWEB, Accept, Base, StudyUid
from vst_dicom.service.media_types import require_type
from vst_dicom.service.openapi import problem_response
from vst_dicom.service.problems import problem
from vst_dicom.service.representations import DICOM_JSON
from vst_dicom.service.store_response import store_response
from vst_dicom.service.store_upload import OtherTypeError, Stored, TooMuchError, Upload
from vst_dicom.service.uploading import Uploading

router: Final = APIRouter(prefix=DICOMWEB, tags=["DICOMweb: store"])

_PIECE_BYTES: Final = 1 << 19
"""Written at once, in a thread."""

_AGAIN_S: Final = "60"
_NO_AE: Final = re.compile(r"[^!-\[\]-~]")
_AE_TITLE_CHARACTERS: Final = 16

_BODY: Final = {
    "requestBody": {
        "description": 'Instances in the DICOM file format, each a part: multipart/related; type="application/dicom"',
        "required": True,
        "content": {"multipart/related": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_MODULE: Final[dict[str, Any]] = {media_type: {"schema": {"type": "object"}} for media_type in DICOM_JSON}


def _failed(status: HTTPStatus, description: str) -> dict[str, Any]:
    return {"description": description, "content": {**_MODULE, **problem_response(status)["content"]}}


_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "All instances are stored", "content": _MODULE},
    202: {"description": "Some instances are stored, others failed, with reasons", "content": _MODULE},
    406: problem_response(HTTPStatus.NOT_ACCEPTABLE),
    408: problem_response(HTTPStatus.REQUEST_TIMEOUT),
    409: _failed(HTTPStatus.CONFLICT, "No instance is stored, with reasons"),
    415: _failed(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body, or all in it, is encoded in a way that is not stored"),
    503: _failed(HTTPStatus.SERVICE_UNAVAILABLE, "Busy, or no room; Retry-After says when to try again"),
}


@router.post("/studies", responses=_ANSWERS, openapi_extra=_BODY, response_class=Response)
async def store(request: Request, base: Base, accept: Accept) -> Response:
    """Store instances of any study."""
    return await _store(request, base, accept)


@router.post("/studies/{study}", responses=_ANSWERS, openapi_extra=_BODY, response_class=Response)
async def store_in_study(request: Request, study: StudyUid, base: Base, accept: Accept) -> Response:
    """Store instances of one study; others fail."""
    return await _store(request, base, accept, study)


async def _store(request: Request, base: str, accept: str, study_instance_uid: str = "") -> Response:
    media_type = require_type(accept, *DICOM_JSON)
    uploading: Uploading = request.app.state.uploading
    if "content-encoding" in request.headers:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the body as it is, without Content-Encoding")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > uploading.limits.body_bytes:
        detail = f"a request may have {uploading.limits.body_bytes} bytes"
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    if uploading.slots.locked():
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "too many send at once", {"Retry-After": _AGAIN_S})
    async with uploading.slots:
        try:
            outcomes = await _receive(request, uploading, study_instance_uid)
        except ResourceError as error:
            return problem(
                HTTPStatus.SERVICE_UNAVAILABLE, str(error), code=error.code, headers={"Retry-After": _AGAIN_S}
            )
        except OtherTypeError as error:
            raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error)) from error
        except TooMuchError as error:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error)) from error
        except ClientDisconnect as error:
            raise HTTPException(HTTPStatus.BAD_REQUEST, "the body is cut off; send it again") from error
        except TimeoutError as error:
            detail = f"nothing came for {uploading.silence_s:.0f} s"
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, detail, {"Connection": "close"}) from error
    status = _status(outcomes)
    headers = {"Retry-After": _AGAIN_S} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}
    body = store_response(outcomes, f"{base}{DICOMWEB}")
    return Response(body, status, headers, media_type=media_type)


async def _receive(request: Request, uploading: Uploading, study_instance_uid: str) -> list[Stored]:
    await run_in_threadpool(uploading.storage.admit)
    content_type = request.headers.get("content-type", "")
    calling_ae = calling_ae_of(request.state.principal)
    upload = Upload(
        uploading.storage, content_type, uploading.limits, study_instance_uid, address_of(request), calling_ae
    )
    try:
        async for piece in _pieces(request.stream(), uploading.silence_s):
            await run_in_threadpool(upload.feed, piece)
        return upload.finish()
    finally:
        studies = {one.identity.study_instance_uid for one in upload.outcomes if one.identity is not None}
        request.state.studies = studies  # for the audit
        upload.discard()


def calling_ae_of(principal: Principal) -> str:
    """Name who sends as an AE title (PS3.5 6.2), without the kind of login; rules know it as CallingAE."""
    name = principal.subject.partition(":")[2] or principal.subject
    return _NO_AE.sub("_", name)[:_AE_TITLE_CHARACTERS]


async def _pieces(stream: AsyncIterator[bytes], silence_s: float) -> AsyncIterator[bytes]:
    """Gather what comes to pieces that are worth a thread."""
    gathered = bytearray()
    more = True
    while more:
        async with asyncio.timeout(silence_s):
            arrived = await anext(stream, None)
        more = arrived is not None
        gathered += arrived or b""
        if len(gathered) >= _PIECE_BYTES:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


def _status(outcomes: list[Stored]) -> HTTPStatus:
    """Choose the status of the whole (PS3.18 table 10.5.3-1)."""
    codes = {outcome.status.code for outcome in outcomes}
    if codes == {SUCCESS}:
        return HTTPStatus.OK
    if SUCCESS in codes:
        return HTTPStatus.ACCEPTED
    if codes == {OUT_OF_RESOURCES}:
        return HTTPStatus.SERVICE_UNAVAILABLE
    if codes == {TRANSFER_SYNTAX_NOT_SUPPORTED}:
        return HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    return HTTPStatus.CONFLICT
