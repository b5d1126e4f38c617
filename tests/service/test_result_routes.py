"""REST of results."""

import hashlib
import json
from itertools import chain

import pytest

from tests.service.conftest import SERIES, STUDY
from tests.service.served import Site, Web


@pytest.fixture
def key(site: Site) -> str:
    (folder,) = (path for path in site.settings.results.iterdir() if (path / "tiles.geojson").exists())
    return folder.name


def test_results_of_a_slide_are_listed_with_their_files(web: Web, site: Site, key: str) -> None:
    found = web.get(f"/api/v1/results?series_instance_uid={SERIES}").json()["results"]

    (result,) = (one for one in found if one["key"] == key)
    assert (result["study_instance_uid"], result["series_instance_uid"]) == (STUDY, SERIES)
    assert result["bundle"] == "her2st-lite"
    assert result["created"].endswith("Z")
    files = {file["name"]: file for file in result["files"]}
    hashes = json.loads((site.settings.results / key / "manifest.json").read_text())["sha256"]
    assert files.keys() == hashes.keys()
    assert files["tiles.geojson"] == {
        "name": "tiles.geojson",
        "media_type": "application/geo+json",
        "n_bytes": (site.settings.results / key / "tiles.geojson").stat().st_size,
        "url": f"{web.url}/api/v1/results/{key}/files/tiles.geojson",
    }
    assert web.get(f"/api/v1/results/{key}").json() == result


def test_another_slide_has_no_results(web: Web) -> None:
    assert web.get("/api/v1/results?series_instance_uid=1.2").json() == {"results": []}


def test_pages_join_without_gap(web: Web) -> None:
    whole = web.get("/api/v1/results").json()["results"]
    pages = [web.get(f"/api/v1/results?limit=1&offset={n}").json()["results"] for n in range(len(whole))]

    assert [*chain.from_iterable(pages)] == whole


def test_files_are_those_of_the_manifest(web: Web, site: Site, key: str) -> None:
    response = web.get(f"/api/v1/results/{key}/files/tiles.geojson")

    assert response.content == (site.settings.results / key / "tiles.geojson").read_bytes()
    assert response.headers["Content-Type"] == "application/geo+json"
    assert response.headers["ETag"] == f'"{hashlib.sha256(response.content).hexdigest()}"'
    again = web.get(response.url.removeprefix(web.url), headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304


def test_a_range_of_a_file_is_sent(web: Web, key: str) -> None:
    whole = web.get(f"/api/v1/results/{key}/files/overview.png").content
    part = web.get(f"/api/v1/results/{key}/files/overview.png", headers={"Range": "bytes=10-19"})

    assert (part.status_code, part.content) == (206, whole[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole)}"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("{key}/files/manifest.json", 404),
        ("{key}/files/..%2f..%2fvst.sqlite", 404),
        ("{key}/files/nothing.dcm", 404),
        ("0" * 64, 404),
        ("0" * 64 + "/files/tiles.geojson", 404),
        (".work", 400),
        ("?limit=0", 400),
        ("?limit=1001", 400),
        ("?series_instance_uid=x", 400),
    ],
)
def test_what_is_not_there_is_a_problem(web: Web, key: str, path: str, status: int) -> None:
    response = web.get(f"/api/v1/results/{path.format(key=key)}".replace("/?", "?"))

    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
