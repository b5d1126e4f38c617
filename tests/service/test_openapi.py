"""The description of the API says what routes really take and send."""

from typing import Any

import pytest

from tests.service.conftest import BASE, LEVEL, SERIES, STUDY
from tests.service.served import Web
from vst_dicom.service.access.roles import LEAST_ROLES

WEB = "/dicom-web"
INSTANCE = f"{WEB}/studies/{{study}}/series/{{series}}/instances/{{instance}}"
VALUES = {"study": STUDY, "series": SERIES, "instance": BASE, "frames": "1", "path": "7FE00010"}


@pytest.fixture
def paths(web: Web) -> dict[str, Any]:
    found: dict[str, Any] = web.get("/api/v1/openapi.json").json()["paths"]
    return found


def test_every_route_of_the_api_is_described(paths: dict[str, Any]) -> None:
    described = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    declared = {route.replace(":path}", "}") for route in LEAST_ROLES}

    assert described >= {route for route in declared if "/api/v1" in route or WEB in route} - {
        "GET /api/v1/openapi.json",  # the description itself
        f"GET {WEB}/subscribers/{{aetitle}}",  # a WebSocket, which OpenAPI does not know
    }


def test_every_answer_has_a_media_type_and_failures_are_problems(paths: dict[str, Any]) -> None:
    for path, methods in paths.items():
        if not path.startswith((WEB, "/api/v1")):
            continue
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                kinds = set(answer.get("content", {}))
                if int(status) >= 400:
                    kinds -= {"application/dicom+json", "application/json"} if is_store(method, path) else set()
                    assert kinds == {"application/problem+json"}, (method, path, status)
                elif status not in ("204", "304") and not is_worklist_change(method, path):
                    assert kinds, (method, path, status)
                assert answer["description"]


def is_store(method: str, path: str) -> bool:
    """Whether failures may be told instance by instance."""
    return method == "post" and path.startswith(f"{WEB}/studies")


def is_worklist_change(method: str, path: str) -> bool:
    """Whether success has no content, though its status is not 204 (PS3.18 11)."""
    return method != "get" and path.startswith(f"{WEB}/workitems")


def test_dicomweb_sends_what_is_described(web: Web, paths: dict[str, Any]) -> None:
    for path, methods in paths.items():
        if not path.startswith(WEB) or "get" not in methods or path.endswith("{workitem}"):
            continue
        answer = methods["get"]["responses"]
        kind = web.get(path.format(**VALUES)).headers["Content-Type"].partition(";")[0]
        described = set(answer["200"]["content"])
        assert kind in described or f"{kind.partition('/')[0]}/*" in described, path
        refused = web.get(path.format(**VALUES), "text/html")
        assert (refused.status_code, "406" in answer) == (406, True), path


def test_parameters_of_searches_and_pictures_are_described(paths: dict[str, Any]) -> None:
    def names(path: str) -> set[str]:
        return {one["name"] for one in paths[path]["get"]["parameters"] if one["in"] == "query"}

    search = {"limit", "offset", "fuzzymatching", "includefield", "attributes", "accept"}
    assert names(f"{WEB}/studies") == names(f"{WEB}/studies/{{study}}/series") == search
    assert names(f"{INSTANCE}/rendered") == {"viewport", "quality", "window", "iccprofile", "annotation", "accept"}
    assert names(f"{INSTANCE}/thumbnail") == {"viewport", "accept"}


def test_ranges_are_described_where_they_are_sent(web: Web, paths: dict[str, Any]) -> None:
    for path, kind in (
        (INSTANCE, "application/dicom"),
        (f"{INSTANCE}/frames/{{frames}}", "application/octet-stream"),
        (f"{INSTANCE}/bulkdata/{{path}}", "application/octet-stream"),
    ):
        assert {"206", "304", "416"} <= set(paths[path]["get"]["responses"])
        url = path.format(**{**VALUES, "instance": LEVEL})
        assert web.get(url, kind, headers={"Range": "bytes=0-3"}).status_code == 206
