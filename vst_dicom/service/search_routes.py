"""Routes of QIDO-RS (PS3.18 10.6)."""

from typing import Final

from fastapi import APIRouter, Request, Response

from vst_dicom.service.addresses import DICOMWEB, Accept, Base, SeriesUid, Served, StudyUid
from vst_dicom.service.media_types import require_type
from vst_dicom.service.query import parse_query
from vst_dicom.service.representations import DICOM_JSON, HAS_MORE, json_response, warning
from vst_dicom.service.route_responses import JSON_MODEL, SEARCH_PARAMETERS
from vst_dicom.service.search import Answer, Search

router: Final = APIRouter(prefix=DICOMWEB, tags=["DICOMweb: search"], default_response_class=Response)


@router.get("/studies", responses=JSON_MODEL, openapi_extra=SEARCH_PARAMETERS)
def search_studies(request: Request, archive: Served, base: Base, accept: Accept) -> Response:
    """Search studies."""
    query = parse_query(request.query_params.multi_items(), of_studies=True)
    return _respond(Search(archive, base + DICOMWEB, query).studies(), accept)


@router.get("/series", responses=JSON_MODEL, openapi_extra=SEARCH_PARAMETERS)
def search_all_series(request: Request, archive: Served, base: Base, accept: Accept) -> Response:
    """Search series in all studies."""
    query = parse_query(request.query_params.multi_items())
    return _respond(Search(archive, base + DICOMWEB, query).series(with_study=True), accept)


@router.get("/studies/{study}/series", responses=JSON_MODEL, openapi_extra=SEARCH_PARAMETERS)
def search_series(request: Request, study: StudyUid, archive: Served, base: Base, accept: Accept) -> Response:
    """Search series of a study."""
    query = parse_query(request.query_params.multi_items(), study_instance_uid=study)
    return _respond(Search(archive, base + DICOMWEB, query).series(with_study=False), accept)


@router.get("/instances", responses=JSON_MODEL, openapi_extra=SEARCH_PARAMETERS)
def search_all_instances(request: Request, archive: Served, base: Base, accept: Accept) -> Response:
    """Search instances in all studies."""
    query = parse_query(request.query_params.multi_items())
    search = Search(archive, base + DICOMWEB, query)
    return _respond(search.instances(with_study=True, with_series=True), accept)


@router.get("/studies/{study}/instances", responses=JSON_MODEL, openapi_extra=SEARCH_PARAMETERS)
def search_study_instances(request: Request, study: StudyUid, archive: Served, base: Base, accept: Accept) -> Response:
    """Search instances of a study."""
    query = parse_query(request.query_params.multi_items(), study_instance_uid=study)
    search = Search(archive, base + DICOMWEB, query)
    return _respond(search.instances(with_study=False, with_series=True), accept)


@router.get("/studies/{study}/series/{series}/instances", responses=JSON_MODEL, openapi_extra=SEARCH_PARAMETERS)
def search_instances(
    request: Request, study: StudyUid, series: SeriesUid, archive: Served, base: Base, accept: Accept
) -> Response:
    """Search instances of a series."""
    query = parse_query(request.query_params.multi_items(), study_instance_uid=study, series_instance_uid=series)
    search = Search(archive, base + DICOMWEB, query)
    return _respond(search.instances(with_study=False, with_series=False), accept)


def _respond(answer: Answer, accept: str) -> Response:
    media_type = require_type(accept, *DICOM_JSON)
    response = json_response(answer.rows, media_type)
    if answer.has_more:
        response.headers["Warning"] = warning(HAS_MORE)
    return response
