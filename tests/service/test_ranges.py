"""Ranges of bytes and HEAD: of instances, frames, bulk data and files of results."""

from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic

import pytest
from fastapi import Request
from pydicom import dcmread
from sqlalchemy import text
from starlette.exceptions import HTTPException

from tests.service.conftest import BASE, ICC_PROFILE, LABEL, LEVEL, SERIES, STUDY
from tests.service.served import Site, Web
from tests.service.test_access import audit_of, new_token
from tests.service.test_retrieve import stored_frames
from vst_dicom.service.part10 import Span
from vst_dicom.service.ranges import find_range

INSTANCE = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances"
ICC = f"{INSTANCE}/{BASE}/bulkdata/00480105/1/00282000"
BYTES = "application/octet-stream"


def request(**headers: str) -> Request:
    encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": encoded})


@pytest.mark.parametrize(
    ("asked", "span"),
    [
        ("bytes=0-0", Span(0, 1)),
        ("bytes=10-19", Span(10, 20)),
        ("BYTES= 10 - 19 ", Span(10, 20)),
        ("bytes=90-", Span(90, 100)),
        ("bytes=90-1000", Span(90, 100)),
        ("bytes=-30", Span(70, 100)),
        ("bytes=-1000", Span(0, 100)),
        ("bytes=19-10", None),
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("frames=0-1", None),
        ("bytes=one", None),
        ("", None),
    ],
)
def test_one_range_is_understood_and_all_else_means_the_whole(asked: str, span: Span | None) -> None:
    assert find_range(request(range=asked), '"tag"', 100) == span


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(asked: str) -> None:
    with pytest.raises(HTTPException) as raised:
        find_range(request(range=asked), '"tag"', 100)

    assert raised.value.status_code == 416
    assert raised.value.headers == {"Content-Range": "bytes */100"}


@pytest.mark.parametrize(("tag", "span"), [('"tag"', Span(0, 2)), ('"other"', None), ('W/"tag"', None)])
def test_a_range_of_what_has_changed_since_is_the_whole(tag: str, span: Span | None) -> None:
    assert find_range(request(range="bytes=0-1", if_range=tag), '"tag"', 100) == span


@pytest.fixture
def wholes(slide: dict[str, Path], site: Site) -> dict[str, tuple[str, bytes]]:
    """Media type and bytes by address."""
    (result,) = (path for path in site.settings.results.iterdir() if (path / "tiles.geojson").exists())
    pixels = dcmread(slide[LEVEL]).pixel_array
    return {
        f"{INSTANCE}/{BASE}": ("application/dicom", slide[BASE].read_bytes()),
        f"{INSTANCE}/{BASE}/frames/1": ("image/jpeg", stored_frames(slide[BASE])[0]),
        f"{INSTANCE}/{LEVEL}/frames/2": (BYTES, pixels[1].tobytes()),
        f"{INSTANCE}/{LEVEL}/bulkdata/7FE00010": (BYTES, dcmread(slide[LEVEL]).PixelData),
        ICC: (BYTES, ICC_PROFILE),
        f"/api/v1/results/{result.name}/files/overview.png": ("*/*", (result / "overview.png").read_bytes()),
    }


def test_parts_join_to_the_whole(web: Web, wholes: dict[str, tuple[str, bytes]]) -> None:
    for url, (accept, whole) in wholes.items():
        middle = len(whole) // 2
        first = web.get(url, accept, headers={"Range": f"bytes=0-{middle - 1}"})
        rest = web.get(url, accept, headers={"Range": f"bytes={middle}-", "If-Range": first.headers["ETag"]})
        assert (first.status_code, rest.status_code) == (206, 206)
        assert first.content + rest.content == whole
        assert rest.headers["Content-Range"] == f"bytes {middle}-{len(whole) - 1}/{len(whole)}"
        everything = web.get(url, accept)
        assert everything.headers["Accept-Ranges"] == "bytes"
        assert everything.content == whole


def test_a_range_that_is_not_there_is_a_problem(web: Web, wholes: dict[str, tuple[str, bytes]]) -> None:
    for url, (accept, whole) in wholes.items():
        response = web.get(url, accept, headers={"Range": f"bytes={len(whole)}-"})
        assert response.status_code == 416
        assert response.headers["Content-Range"] == f"bytes */{len(whole)}"
        assert response.headers["Content-Type"] == "application/problem+json"


def test_several_ranges_and_another_version_give_the_whole(web: Web, wholes: dict[str, tuple[str, bytes]]) -> None:
    for url, (accept, whole) in wholes.items():
        for headers in ({"Range": "bytes=0-1,4-5"}, {"Range": "bytes=0-1", "If-Range": '"other"'}):
            response = web.get(url, accept, headers=headers)
            assert (response.status_code, response.content) == (200, whole)


def test_what_the_client_has_goes_before_a_range(web: Web) -> None:
    tag = web.get(ICC, BYTES).headers["ETag"]

    assert web.get(ICC, BYTES, headers={"Range": "bytes=0-1", "If-None-Match": tag}).status_code == 304


def test_head_says_what_get_would(web: Web, wholes: dict[str, tuple[str, bytes]]) -> None:
    urls = {url: accept for url, (accept, _) in wholes.items()} | {
        f"/dicom-web/studies/{STUDY}": "*/*",
        f"/dicom-web/studies/{STUDY}/metadata": "*/*",
        "/dicom-web/studies": "*/*",
        f"{INSTANCE}/{BASE}/rendered": "image/png",
        f"{INSTANCE}/{BASE}/thumbnail": "*/*",
        f"{INSTANCE}/{LABEL}": "*/*",
        "/api/v1/results": "*/*",
        "/health/live": "*/*",
    }
    for url, accept in urls.items():
        got = web.get(url, accept)
        head = web.session.head(web.url + url, headers={"Accept": accept}, timeout=30)
        assert (head.status_code, head.content) == (got.status_code, b"")
        for name in (
            "Content-Type",
            "Content-Length",
            "ETag",
            "Accept-Ranges",
            "Cache-Control",
            "Content-Security-Policy",
        ):
            assert head.headers.get(name) == got.headers.get(name), (url, name)


def test_head_of_a_stream_without_end_ends(web: Web) -> None:
    head = web.session.head(f"{web.url}/api/v1/events", timeout=5)

    assert head.headers["Content-Type"].startswith("text/event-stream")
    assert web.get("/health/live").status_code == 200


def test_head_asks_for_a_role_and_is_written_down_as_a_look(tmp_path: Path) -> None:
    site = Site.make(tmp_path, auth={"mode": "token"})
    token = new_token(site, "reader", "viewer")
    with site.serving() as web:
        url = f"{web.url}/dicom-web/studies/1.2.3/metadata"
        nobody = web.session.head(url, timeout=30)
        reader = web.session.head(url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        admin = web.session.head(f"{web.url}/api/v1/audit", headers={"Authorization": f"Bearer {token}"}, timeout=30)
        change = web.session.head(f"{web.url}/api/v1/rules/dry-run", timeout=30)
        rows = [(row.who, row.method, row.status) for row in audit_of(site)]
        with site.database.begin() as connection:
            connection.execute(text("DROP TABLE audit"))
        unwritten = web.session.head(
            f"{web.url}/dicom-web/studies/1.2.4/metadata", headers={"Authorization": f"Bearer {token}"}, timeout=30
        )
    site.database.dispose()

    statuses = [response.status_code for response in (nobody, reader, admin, change, unwritten)]
    assert statuses == [401, 404, 403, 405, 503]
    assert ("token:reader", "GET", 404) in rows
    assert ("", "GET", 401) in rows


def test_answers_do_not_wait_for_receipts_of_their_header_fields(web: Web) -> None:
    url, n_asked = ICC, 40
    began_s = monotonic()
    with closing(HTTPConnection(web.url.removeprefix("http://"), timeout=30)) as connection:
        for _ in range(n_asked):  # each would take 40 ms: header fields and content are sent one after the other
            connection.request("GET", url, headers={"Accept": BYTES})
            assert connection.getresponse().read() == ICC_PROFILE

    assert monotonic() - began_s < n_asked * 0.03
