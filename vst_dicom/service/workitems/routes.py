"""Routes of UPS-RS (PS3.18 11): thin, what happens stands in `vst_dicom.runtime.workitems`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.exceptions import HTTPException

from vst_dicom.dicom.attributes import is_uid
from vst_dicom.dicom.procedure_step import FILTERED_WORKLIST, WORKLIST, Json, first_of, key_of
from vst_dicom.dicom.uids import new_uid
from vst_dicom.domain.errors import ConflictError, NotFoundError, UsageError
from vst_dicom.ledger.workitem_events import Subscription
from vst_dicom.ledger.workitems import read_workitem
from vst_dicom.runtime.workitems import (
    add_subscription,
    change_state,
    create,
    remove_subscription,
    request_cancellation,
    suspend_subscription,
    update,
)
from vst_dicom.service.access.principals import Principal
from vst_dicom.service.addresses import DICOMWEB, Accept, Base
from vst_dicom.service.holdings import Changing, Now, Reading
from vst_dicom.service.media_types import require_type
from vst_dicom.service.representations import DICOM_JSON, HAS_MORE, json_response, warning
from vst_dicom.service.route_responses import JSON_MODEL
from vst_dicom.service.workitems.payload import read_data_set
from vst_dicom.service.workitems.search import matches_filter, parse_workitem_query, search_workitems

router: Final = APIRouter(prefix=DICOMWEB, tags=["DICOMweb: worklist (UPS-RS)"])

WorkitemUid = Annotated[str, Path(pattern=r"^[0-9.]{1,64}$", description="SOP Instance UID (0008,0018)")]
AeTitle = Annotated[
    str, Path(pattern=r"^[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?$", description="AE title of a subscriber")
]
DeletionLock = Annotated[bool, Query(description="Whether final work items are to be kept; they always are")]
DataSet = Annotated[tuple[Json, bool], Depends(read_data_set)]

_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "description": "A data set in the DICOM JSON model (PS3.18 F.2)",
        "content": {DICOM_JSON[0]: {"schema": {"type": "object"}}},
    }
}
_STATUS: Final[tuple[tuple[type[UsageError], HTTPStatus], ...]] = (
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (ConflictError, HTTPStatus.CONFLICT),
    (UsageError, HTTPStatus.BAD_REQUEST),
)
"""First match wins, so a subclass stands above its base."""

_WITH_MODIFICATIONS: Final = "The Workitem was {} with modifications."


@contextmanager
def _warned() -> Iterator[None]:
    """Answer what is refused with the header field Warning too, which UPS-RS prescribes."""
    try:
        yield
    except UsageError as error:
        status = next(status for kind, status in _STATUS if isinstance(error, kind))
        raise HTTPException(status, str(error), {"Warning": warning(str(error))}) from error


@router.post("/workitems", status_code=HTTPStatus.CREATED, response_class=Response, openapi_extra=_BODY)
def create_workitem(request: Request, sent: DataSet, connection: Changing, base: Base, now: Now) -> Response:
    """Create a work item (PS3.18 11.4); its UID stands behind the question mark, in the data set, or is made."""
    attributes, was_reduced = sent
    with _warned():
        uid = _bare_uid(request, "workitem") or str(first_of(attributes, "SOPInstanceUID")) or new_uid()
        if uid in (WORKLIST, FILTERED_WORKLIST):
            raise UsageError("this UID is that of the worklist itself")
        create(connection, uid, attributes, now, matches_filter)
    address = f"{base}{DICOMWEB}/workitems/{uid}"
    headers = {"Location": address, "Content-Location": address}
    if was_reduced:
        headers["Warning"] = warning(_WITH_MODIFICATIONS.format("created"))
    return Response(status_code=HTTPStatus.CREATED, headers=headers)


@router.get("/workitems", response_class=Response, responses=JSON_MODEL)
def search(request: Request, connection: Reading, accept: Accept) -> Response:
    """Search work items (PS3.18 11.9); attributes in sequences are named with dots."""
    media_type = require_type(accept, *DICOM_JSON)
    found, has_more = search_workitems(connection, parse_workitem_query(request.query_params.multi_items()))
    response = json_response(found, media_type)
    if has_more:
        response.headers["Warning"] = warning(HAS_MORE)
    return response


@router.get("/workitems/{workitem}", response_class=Response, responses=JSON_MODEL)
def retrieve_workitem(workitem: WorkitemUid, connection: Reading, accept: Accept) -> Response:
    """Retrieve a work item (PS3.18 11.5), without its transaction."""
    media_type = require_type(accept, *DICOM_JSON)
    with _warned():
        return json_response([read_workitem(connection, workitem).attributes], media_type)


@router.post("/workitems/{workitem}", response_class=Response, openapi_extra=_BODY)
def update_workitem(
    request: Request, workitem: WorkitemUid, sent: DataSet, connection: Changing, base: Base, now: Now
) -> Response:
    """Change attributes of a work item (PS3.18 11.6); once it is claimed, by who knows the transaction."""
    attributes, was_reduced = sent
    with _warned():
        transaction = _bare_uid(request, "transaction-uid", "transaction")
        stated = attributes.pop(key_of("TransactionUID"), {}).get("Value") or [""]
        update(connection, workitem, attributes, transaction or str(stated[0]), now)
    headers = {"Content-Location": f"{base}{DICOMWEB}/workitems/{workitem}"}
    if was_reduced:
        headers["Warning"] = warning(_WITH_MODIFICATIONS.format("updated"))
    return Response(status_code=HTTPStatus.OK, headers=headers)


@router.put("/workitems/{workitem}/state", response_class=Response, openapi_extra=_BODY)
def change_workitem_state(workitem: WorkitemUid, sent: DataSet, connection: Changing, now: Now) -> Response:
    """Claim, complete or cancel a work item (PS3.18 11.7); of two who claim it one is answered 409."""
    attributes, _ = sent
    wanted, transaction = (str(first_of(attributes, name)) for name in ("ProcedureStepState", "TransactionUID"))
    with _warned():
        said = change_state(connection, workitem, wanted, transaction, now)
    return Response(status_code=HTTPStatus.OK, headers={"Warning": warning(said)} if said else None)


@router.post(
    "/workitems/{workitem}/cancelrequest",
    status_code=HTTPStatus.ACCEPTED,
    response_class=Response,
    openapi_extra=_BODY,
)
def request_workitem_cancellation(
    request: Request, workitem: WorkitemUid, sent: DataSet, connection: Changing, now: Now
) -> Response:
    """Ask that a work item be canceled (PS3.18 11.8): done at once unless somebody else performs it already."""
    principal: Principal = request.state.principal
    requester = re.sub(r"[^A-Za-z0-9_-]", "_", principal.subject)[:16] or "UNKNOWN"
    with _warned():
        said = request_cancellation(connection, workitem, sent[0], requester, now)
    headers = {"Warning": warning(said)} if said else None
    return Response(status_code=HTTPStatus.ACCEPTED, headers=headers)


@router.post("/workitems/{workitem}/subscribers/{aetitle}", status_code=HTTPStatus.CREATED, response_class=Response)
def subscribe_to_workitem(
    request: Request,
    workitem: WorkitemUid,
    aetitle: AeTitle,
    connection: Changing,
    base: Base,
    now: Now,
    deletionlock: DeletionLock = False,
) -> Response:
    """Subscribe to a work item, to the worklist, or to what a filter lets through (PS3.18 11.10)."""
    wanted = None
    with _warned():
        if workitem == FILTERED_WORKLIST:
            wanted = tuple(
                (name, value) for name, value in request.query_params.multi_items() if name != "deletionlock"
            )
            if not wanted:
                raise UsageError("the filtered worklist needs a filter, such as ?ProcedureStepLabel=Predict*")
            parse_workitem_query(wanted)
        add_subscription(connection, Subscription(aetitle, workitem, deletionlock, wanted), now, matches_filter)
    channel = f"ws{base.removeprefix('http')}{DICOMWEB}/subscribers/{aetitle.replace(' ', '%20')}"
    return Response(status_code=HTTPStatus.CREATED, headers={"Content-Location": channel})


@router.delete("/workitems/{workitem}/subscribers/{aetitle}", response_class=Response)
def unsubscribe_from_workitem(workitem: WorkitemUid, aetitle: AeTitle, connection: Changing) -> Response:
    """End a subscription (PS3.18 11.11)."""
    with _warned():
        remove_subscription(connection, aetitle, workitem)
    return Response(status_code=HTTPStatus.OK)


@router.post("/workitems/{workitem}/subscribers/{aetitle}/suspend", response_class=Response)
def suspend_worklist_subscription(workitem: WorkitemUid, aetitle: AeTitle, connection: Changing) -> Response:
    """Subscribe to no further work items (PS3.18 11.12)."""
    with _warned():
        if workitem not in (WORKLIST, FILTERED_WORKLIST):
            raise NotFoundError("only a subscription to the worklist can be suspended")
        suspend_subscription(connection, aetitle, workitem)
    return Response(status_code=HTTPStatus.OK)


def _bare_uid(request: Request, *names: str) -> str:
    """Read a UID that stands behind the question mark by itself, or under a name; empty if there is none."""
    for name, value in request.query_params.multi_items():
        found = value if name in names else name if not value else ""
        if not found:
            continue
        if not is_uid(found):
            raise UsageError("behind the question mark stands something that is no UID")
        return found
    return ""
