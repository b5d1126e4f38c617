"""What the slide view asks of the server."""

import io
import re
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.page import npm
from tests.page.planted_site import HIDDEN_REASON, PlantedSite
from tests.service.served import Web
from tests.wsi_builder import NATIVE, Wsi, write_wsi
from vst_dicom.service.pyramid import Pyramid
from vst_dicom.service.zip_stream import stream_zip


@pytest.fixture(scope="module")
def view(web: Web, planted: PlantedSite) -> dict:
    return web.get(f"/api/v1/results/{planted.key}/view").json()


def test_the_view_describes_levels_whose_frames_a_browser_can_load(web: Web, view: dict) -> None:
    base, coarsest = view["slide"]["levels"][0], view["slide"]["levels"][-1]

    assert (base["n_rows"], base["n_columns"]) == (view["slide"]["n_rows"], view["slide"]["n_columns"])
    frame = web.get(coarsest["url"].replace("{frame}", str(coarsest["first_frame"])), "image/webp,image/*;q=0.8")
    assert frame.headers["Content-Type"].startswith("image/jpeg")
    assert frame.content[:2] == b"\xff\xd8"


def test_a_layer_has_one_value_per_tile_and_never_changes(web: Web, planted: PlantedSite) -> None:
    path = f"/api/v1/results/{planted.key}/layers"

    values, cells = web.get(f"{path}/gene:SPOT"), web.get(f"{path}/cells")

    np.testing.assert_array_equal(np.frombuffer(values.content, "<f4"), planted.values[:, 1])
    np.testing.assert_array_equal(np.frombuffer(cells.content, "<u2").reshape(-1, 2), planted.grid.cells)
    assert "immutable" in values.headers["Cache-Control"]
    again = web.get(f"{path}/gene:SPOT", headers={"If-None-Match": values.headers["ETag"]})
    assert again.status_code == 304


def test_a_hidden_gene_has_its_reason_and_no_value(web: Web, planted: PlantedSite, view: dict) -> None:
    (hidden,) = view["hidden"]

    assert (hidden["label"], hidden["reason"]) == ("SECRET", HIDDEN_REASON)
    assert set(hidden) == {"kind", "label", "reason", "held_out", "coverage"}
    assert web.get(f"/api/v1/results/{planted.key}/layers/gene:SECRET").status_code == 404


def test_hotspots_come_with_outlines_on_the_base_level(view: dict) -> None:
    (hotspot,) = view["hotspots"]

    ring = np.array(hotspot["outlines_px"][0])
    assert hotspot["gene"] == "SPOT"
    assert ring.min() > 900
    assert ring.max() < 2500
    assert not (ring % (view["grid"]["tile_n_rows"], view["grid"]["tile_n_columns"])).any()


@pytest.mark.parametrize("path", ["view", "layers/cells", "picture", "slide/0/0/0", "values.csv", "dicom.zip"])
def test_an_unknown_result_is_not_found(web: Web, path: str) -> None:
    answer = web.get(f"/api/v1/results/{'0' * 64}/{path}")

    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_place_beyond_the_slide_is_not_found(web: Web, planted: PlantedSite) -> None:
    assert web.get(f"/api/v1/results/{planted.key}/slide/0/0/99999").status_code == 404
    assert web.get(f"/api/v1/results/{planted.key}/slide/99/0/0").status_code == 404


def test_any_frame_can_be_had_decoded(web: Web, planted: PlantedSite) -> None:
    answer = web.get(f"/api/v1/results/{planted.key}/slide/0/1/1")

    assert answer.headers["Content-Type"] == "image/jpeg"
    assert "immutable" in answer.headers["Cache-Control"]


def test_frames_that_no_browser_reads_are_decoded(tmp_path: Path) -> None:
    image = np.full((300, 200, 3), (200, 60, 90), dtype=np.uint8)
    wsi = Wsi([image], tile=(128, 128), transfer_syntax=NATIVE, spacing_mm=(0.0005, 0.0005), flavor="VOLUME")
    pyramid = Pyramid("a" * 64, [write_wsi(tmp_path / "slide.dcm", wsi)])

    (level,) = pyramid.levels
    assert level.first_frame is None
    assert level.url == f"/api/v1/results/{'a' * 64}/slide/0/{{row}}/{{column}}"
    file = tmp_path / "frame.jpg"
    file.write_bytes(pyramid.read_jpeg(0, 0, 0))
    decoded = np.asarray(Image.open(file)).astype(int)
    assert decoded.shape == (128, 128, 3)
    assert np.abs(decoded - (200, 60, 90)).max() <= 3


def test_the_page_may_load_nothing_from_elsewhere_and_run_nothing_inline(web: Web) -> None:
    page = web.get("/")

    policy = page.headers["Content-Security-Policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "style-src 'self'" in policy
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert " style=" not in page.text
    assert page.headers["ETag"]
    assert web.get("/", headers={"If-None-Match": page.headers["ETag"]}).status_code == 304


@pytest.mark.parametrize("name", ["..%2fapp.py", "app.py", "style.scss", "%2e%2e"])
def test_only_files_of_the_page_are_served(web: Web, name: str) -> None:
    assert web.get(f"/page/{name}").status_code in {400, 404}


def test_the_server_starts_without_the_libraries_of_the_model() -> None:
    code = "import sys, vst_dicom.service.app; print({'torch', 'anndata', 'pandas', 'highdicom'} & set(sys.modules))"

    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert run.stdout.strip() == "set()"


def test_the_picture_of_a_list_is_small(web: Web, planted: PlantedSite, tmp_path: Path) -> None:
    file = tmp_path / "picture.jpg"
    file.write_bytes(web.get(f"/api/v1/results/{planted.key}/picture?longest=64").content)

    assert max(Image.open(file).size) == 64


def test_every_module_is_asked_for_at_once(web: Web) -> None:
    modules = {file.name for file in npm.PAGE.glob("*.js")} - {"openseadragon.min.js", "main.js"}

    preloaded = set(re.findall(r'rel="modulepreload" href="page/([^"]+)"', web.get("/").text))

    assert preloaded == modules


def test_values_come_as_csv_that_says_first_what_it_is(web: Web, planted: PlantedSite) -> None:
    answer = web.get(f"/api/v1/results/{planted.key}/values.csv?gene=SPOT")

    table = pd.read_csv(io.StringIO(answer.text), comment="#", dtype={"SPOT": np.float32})
    assert answer.text.startswith("# intended_use: For Research Use Only.")
    np.testing.assert_array_equal(table["SPOT"], planted.values[:, 1])
    assert "RANDOM" not in table
    assert web.get(f"/api/v1/results/{planted.key}/values.csv?gene=SECRET").status_code == 400


def test_objects_come_as_an_archive_that_says_the_same(web: Web, planted: PlantedSite) -> None:
    answer = web.get(f"/api/v1/results/{planted.key}/dicom.zip")

    folder = planted.site.settings.results / planted.key
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        found = {Path(name).name: archive.read(name) for name in archive.namelist()}
    assert found == {path.name: path.read_bytes() for path in folder.glob("*.dcm")}
    assert answer.content == web.get(f"/api/v1/results/{planted.key}/dicom.zip").content


def test_an_archive_holds_no_more_than_a_piece_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "large.dcm"
    file.write_bytes(bytes(64 << 20))

    tracemalloc.start()
    n_bytes = sum(map(len, stream_zip({"large.dcm": file})))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert n_bytes > 64 << 20
    assert peak < 4 << 20
