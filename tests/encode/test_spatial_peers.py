"""What scanpy, squidpy and spatialdata make of a result.

They need other versions of libraries than this product, so they live in an environment of their own: see
``tests/encode/spatial-peers.txt``.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.encode.conftest import MakeResult, MakeSource
from tests.encode.stored import PICTURE_PX, store
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.result import SlideResult

PYTHON = os.environ.get("VST_DICOM_SPATIAL_PYTHON", "")
REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not PYTHON and not os.environ.get("VST_DICOM_REQUIRE_PROGRAMS"),
    reason="needs scanpy, squidpy and spatialdata: install tests/encode/spatial-peers.txt into an environment of its "
    "own, and set VST_DICOM_SPATIAL_PYTHON to its interpreter",
)


@pytest.fixture
def made(make_result: MakeResult) -> SlideResult:
    size = MatrixSize(9, 11)
    rows, columns = np.argwhere(np.add.outer(np.arange(9), np.arange(11)) % 2 == 0).T
    random = np.random.default_rng(3)
    values = np.stack([rows + columns / 2, np.sin(rows * 5.0) * columns, random.normal(size=len(rows))], axis=1)
    return make_result(values=values, size=size)


def ask(*arguments: str) -> str:
    """Run the peers' interpreter in the repository."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [PYTHON, *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def morans_i(values: np.ndarray, cells: np.ndarray) -> float:
    """Moran's I with the diagonal neighbors of a checkerboard, weights of each row summing to 1, written out."""
    offsets = np.abs(cells[:, None, :] - cells[None, :, :])
    weights = (offsets == 1).all(axis=2).astype(float)
    weights /= weights.sum(axis=1, keepdims=True)
    away = values - values.mean()
    return float(len(values) / weights.sum() * (away @ weights @ away) / (away @ away))


def test_scanpy_and_squidpy_draw_the_table_and_find_the_morans_i_of_the_formula(
    tmp_path: Path, make_source: MakeSource, made: SlideResult
) -> None:
    folder = store(tmp_path / "result", make_source(), made)

    found: dict[str, Any] = json.loads(ask("tests/encode/spatial_peers.py", "table", str(folder)))

    for column, symbol in enumerate(("ERBB2", "ESR1", "LOC1")):
        expected = morans_i(made.expression.values[:, column].astype(float), made.grid.cells)
        assert found["morans_i"][symbol] == pytest.approx(expected, abs=1e-5)
    assert sorted(set(found["n_neighbors"])) == [1, 2, 4]
    assert found["drawn"][0] >= 1
    for name in ("scanpy.png", "squidpy.png"):
        assert (folder / name).stat().st_size > 5000


def test_spatialdata_reads_the_exported_store_with_tiles_picture_and_values_at_their_places(
    tmp_path: Path, make_source: MakeSource, made: SlideResult
) -> None:
    turned = (0.8, 0.6, 0.0, -0.6, 0.8, 0.0)
    source = make_source(orientation=turned, origin_mm=(-3.5, 12.25, 0.0))
    folder, out = store(tmp_path / "result", source, made), tmp_path / "slide.zarr"

    ask("-m", "vst_dicom", "export", str(folder), "--to", "spatialdata", "--out", str(out))
    found: dict[str, Any] = json.loads(ask("tests/encode/spatial_peers.py", "store", str(out)))

    np.testing.assert_allclose(found["centers_mm"], found["places_mm"], atol=1e-9)
    np.testing.assert_allclose(found["places_mm"], source.plane.to_slide_mm(*made.grid.centers_px.T)[:, :2], atol=1e-9)
    np.testing.assert_allclose(found["first_um"], [0, 0, 103 * 0.4, 101 * 0.5], atol=1e-9)
    width, height = 11 * 103 // PICTURE_PX, 9 * 101 // PICTURE_PX
    np.testing.assert_allclose(found["picture_um"], [[0, width * 8], [0, height * 10]], atol=1)
    assert found["red_px"] == [[0, 0], [101 // PICTURE_PX - 1, 103 // PICTURE_PX - 1]]
    assert found["picture_channels"] == ["r", "g", "b"]
    np.testing.assert_array_equal(np.array(found["values"], np.float32), made.expression.values)
    assert found["about"]["unit"] == "ln(1+CP10k)"
    assert found["about"]["intended_use"].startswith("For Research Use Only")
