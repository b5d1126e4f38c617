"""The script for QuPath runs on Groovy against stand-ins of the QuPath classes that it uses, and a real HTTP server."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import openslide
import pytest

from tests.encode.conftest import MakeResult, MakeSource
from tests.programs import needs
from tests.wsi_builder import Wsi, paint, write_wsi
from vst_dicom.encode.geojson import write_geojson

SCRIPT = Path(__file__).parents[2] / "deploy" / "qupath" / "show_gene_maps.groovy"
STANDINS = Path(__file__).parent / "qupath"
SERIES = "1.2.3.4"
NEWEST, OLDER, WITHOUT_TILES = "b" * 64, "a" * 64, "c" * 64

pytestmark = needs("groovy", "groovy")


class Api:
    """Answers as the REST interface does; `tiles` is the file of the newest result."""

    def __init__(self, tiles: bytes) -> None:
        self.tiles = tiles
        self.asked: list[str] = []
        self.authorization: list[str | None] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api.asked.append(self.path)
                api.authorization.append(self.headers["Authorization"])
                body = api.answer(self.path)
                self.send_response(200 if body is not None else 404)
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, path: str) -> bytes | None:
        parts = urlsplit(path)
        if parts.path == "/api/v1/results":
            known = parse_qs(parts.query).get("series_instance_uid") == [SERIES]
            return json.dumps({"results": [self.describe(*one) for one in RESULTS] if known else []}).encode()
        return self.tiles if parts.path == f"/api/v1/results/{NEWEST}/files/tiles.geojson" else None

    def describe(self, key: str, created: str, names: tuple[str, ...]) -> dict[str, Any]:
        files = [{"name": name, "media_type": "", "n_bytes": 1, "url": f"{self.address}/elsewhere"} for name in names]
        return {"key": key, "created": created, "bundle": "her2st-lite", "series_instance_uid": SERIES, "files": files}


RESULTS = (
    (OLDER, "2026-01-02T03:04:05Z", ("summary.json", "tiles.geojson")),
    (NEWEST, "2026-01-02T03:04:05.250000+00:00", ("summary.json", "tiles.geojson")),
    (WITHOUT_TILES, "2026-05-01T00:00:00Z", ("summary.json",)),
)


@pytest.fixture
def api(tmp_path: Path, make_source: MakeSource, make_result: MakeResult) -> Iterator[Api]:
    write_geojson(tmp_path / "tiles.geojson", make_source(), make_result())
    api = Api((tmp_path / "tiles.geojson").read_bytes())
    thread = threading.Thread(target=api.server.serve_forever, daemon=True)
    thread.start()
    yield api
    api.server.shutdown()
    api.server.server_close()
    thread.join()


def run(address: str, times: int = 1, **settings: str) -> list[str]:
    """Lines that the script prints, its stand-ins' notes among them."""
    java = shutil.which("java")
    home = {"JAVA_HOME": str(Path(java).resolve().parents[1])} if java else {}
    done = subprocess.run(
        ["groovy", "-cp", str(STANDINS), str(STANDINS / "run.groovy"), str(times), str(SCRIPT)],
        env={**os.environ, **home, "VST_DICOM_URL": address, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


METADATA = json.dumps({"dicom.SeriesInstanceUID": SERIES, "openslide.level[0].width": "5000"})


def test_it_imports_the_newest_tiles_of_the_open_slide_once_and_maps_a_gene(api: Api) -> None:
    lines = run(api.address, times=2, TEST_METADATA=METADATA, VST_DICOM_GENE="ESR1", VST_DICOM_AUTHORIZATION="Bearer x")

    assert api.asked[:2] == [
        f"/api/v1/results?series_instance_uid={SERIES}",
        f"/api/v1/results/{NEWEST}/files/tiles.geojson",
    ]
    assert set(api.authorization) == {"Bearer x"}
    assert lines[-2:] == ["held: 19 objects, 19 ids", "map: ESR1 filled true shown true"]
    assert "ESR1: 18 tiles, 0.057 to 2.943" in lines
    assert any(line.startswith("info: 18 tiles, 1 hotspots, predicted by her2st-lite, not measured.") for line in lines)


def test_it_asks_for_series_and_gene_where_it_cannot_know_them(api: Api) -> None:
    lines = run(api.address, TEST_METADATA="<OME/>", TEST_SERIES=SERIES)

    assert "asked: Series Instance UID of this slide (its file does not say it):" in lines
    assert "choices: ERBB2, ESR1, LOC1" in lines
    assert lines[-1] == "map: ERBB2 filled true shown true"


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"dicom.SeriesInstanceUID": "9.9"}, "The server has no result with tiles for series 9.9."),
        (
            {"dicom.SeriesInstanceUID": SERIES, "openslide.level[0].width": "6000"},
            "QuPath shows a part of this slide. Add it again with the option --no-crop.",
        ),
    ],
    ids=["unknown slide", "cropped slide"],
)
def test_it_says_why_it_shows_nothing(api: Api, metadata: dict[str, str], message: str) -> None:
    lines = run(api.address, TEST_METADATA=json.dumps(metadata))

    assert lines == [f"error: {message}", "held: 0 objects, 0 ids", "map: null filled false shown false"]


def test_it_says_that_no_server_answers() -> None:
    lines = run("http://127.0.0.1:9", TEST_METADATA=METADATA)

    assert lines[0].startswith("error: http://127.0.0.1:9/api/v1/results?series_instance_uid=1.2.3.4 cannot be reached")


def test_openslide_names_the_series_and_the_width_as_the_script_expects(tmp_path: Path) -> None:
    path = write_wsi(tmp_path / "slide.dcm", Wsi([paint(100, 150)], series=SERIES))

    properties = openslide.OpenSlide(path).properties

    assert properties["dicom.SeriesInstanceUID"] == SERIES
    assert properties["openslide.level[0].width"] == "150"
