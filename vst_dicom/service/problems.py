"""What goes wrong, as HTTP says it: problem details (RFC 9457), without values of the request or of a header."""

from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from vst_dicom.domain.errors import (
    ConflictError,
    InputError,
    MissingInputError,
    NotFoundError,
    PeerError,
    ResourceError,
    UsageError,
    VstDicomError,
)

_log = structlog.get_logger(__name__)

_STATUS: Final[tuple[tuple[type[Exception], HTTPStatus], ...]] = (
    (MissingInputError, HTTPStatus.NOT_FOUND),
    (InputError, HTTPStatus.CONFLICT),  # the stored instance does not allow what was asked for
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (ConflictError, HTTPStatus.CONFLICT),
    (UsageError, HTTPStatus.BAD_REQUEST),
    (ResourceError, HTTPStatus.SERVICE_UNAVAILABLE),
    (PeerError, HTTPStatus.SERVICE_UNAVAILABLE),
)
"""First match wins, so a subclass stands above its base."""


class ProblemResponse(JSONResponse):
    """Problem details (RFC 9457)."""

    media_type = "application/problem+json"


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every failure with problem details."""
    app.add_exception_handler(HTTPException, _protocol_problem)
    app.add_exception_handler(RequestValidationError, _request_problem)
    app.add_exception_handler(VstDicomError, _product_problem)
    app.add_exception_handler(SQLAlchemyError, _database_problem)
    app.add_exception_handler(Exception, _unexpected_problem)


def problem(status: int, detail: str, *, code: str = "", headers: dict[str, str] | None = None) -> ProblemResponse:
    """Make the answer to a failure.

    Parameters
    ----------
    status
        HTTP status.
    detail
        What to do, for people.
    code
        Of the error's class, for programs.
    headers
        Further header fields.
    """
    content: dict[str, Any] = {"title": HTTPStatus(status).phrase, "status": int(status), "detail": detail}
    if code:
        content["code"] = code
    return ProblemResponse(content, status, headers)


def _protocol_problem(_request: Request, error: Exception) -> ProblemResponse:
    if not isinstance(error, HTTPException):
        raise error
    return problem(error.status_code, str(error.detail), headers=dict(error.headers or {}))


def _request_problem(_request: Request, error: Exception) -> ProblemResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    faults = sorted({" ".join(str(part) for part in fault["loc"]) for fault in error.errors()})
    return problem(HTTPStatus.BAD_REQUEST, f"not as it must be: {', '.join(faults)}", code=UsageError.code)


def _product_problem(_request: Request, error: Exception) -> ProblemResponse:
    if not isinstance(error, VstDicomError):
        raise error
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("request failed", code=error.code)
    return problem(status, str(error), code=error.code)


def _database_problem(_request: Request, error: Exception) -> ProblemResponse:
    _log.error("request failed: the database does not answer", error=type(error).__name__)
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer; ask again later", code="resource")


def _unexpected_problem(_request: Request, error: Exception) -> ProblemResponse:
    _log.error("request failed unexpectedly", error=type(error).__name__)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "this failed unexpectedly; the log says where", code="error")
