"""The description of the API, OpenAPI: what FastAPI derives, and how failures are really answered."""

from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from vst_dicom.service.access.roles import Role, least_role

_PROBLEM: Final = {
    "title": "Problem",
    "description": "Problem details (RFC 9457)",
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What to do, for people"},
        "code": {"type": "string", "description": "Of the failure, for programs"},
    },
}
_SCHEMES: Final = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token, or one of the identity provider; not needed where nobody must log in",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-vst-session",
        "description": "Session of a browser; without TLS the cookie is named vst-session",
    },
}
_ALWAYS: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.SERVICE_UNAVAILABLE)
_BEHIND_LOGIN: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
_OF_ONE: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
_OF_CHANGES: Final = (
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)


def describe_api(app: FastAPI) -> None:
    """Have the application describe itself truly."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(
                get_openapi(title=app.title, version=app.version, description=app.description, routes=app.router.routes)
            )
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(schema: dict[str, Any]) -> dict[str, Any]:
    parts = schema.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        parts.pop(name, None)
    parts["Problem"] = _PROBLEM
    schema["components"]["securitySchemes"] = _SCHEMES
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            responses = operation["responses"]
            responses.pop("422", None)  # a request that does not fit is answered by 400
            statuses = {*_ALWAYS}
            if "{" in path:
                statuses.update(_OF_ONE)
            if method not in ("get", "head"):
                statuses.update(_OF_CHANGES)
            role = least_role(method.upper(), path)
            operation["x-least-role"] = role.label
            if role is not Role.PUBLIC:
                statuses.update(_BEHIND_LOGIN)
                operation["security"] = [{name: []} for name in _SCHEMES]
            for status in sorted(statuses):
                responses.setdefault(str(int(status)), problem_response(status))
    return schema


def problem_response(status: HTTPStatus) -> dict[str, Any]:
    """Describe a failure."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": status.phrase, "content": content}
