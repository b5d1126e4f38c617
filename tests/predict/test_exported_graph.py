import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from tests.predict.small_encoders import small_transformer
from vst_dicom.predict import exported_graph
from vst_dicom.predict.exported_graph import graph_of
from vst_dicom.predict.frozen_encoder import FrozenEncoder
from vst_dicom.predict.openvino_runner import OpenvinoRunner

TILES = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)


class Counted:
    """An encoder that counts how often it is loaded."""

    def __init__(self, seed: int = 0) -> None:
        known = small_transformer(seed)
        self.n_loaded = 0

        def load():  # type: ignore[no-untyped-def]
            self.n_loaded += 1
            return known.load()

        self.frozen = FrozenEncoder(known.spec, known.weights_sha256, load)


def features(encoder: FrozenEncoder, folder: Path) -> np.ndarray:
    return OpenvinoRunner(graph_of(encoder, folder), threads=1).start(TILES)()


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A file of the cache, and what its graph computes."""
    folder = tmp_path_factory.mktemp("graphs")
    expected = features(small_transformer(), folder)
    (path,) = folder.iterdir()
    return path, expected


def copy_of(path: Path, folder: Path, content: bytes | None = None) -> Path:
    copy = folder / path.name
    copy.write_bytes(path.read_bytes() if content is None else content)
    return copy


def test_a_graph_is_exported_once(cached: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    path, expected = cached
    copy_of(path, tmp_path)
    encoder = Counted()

    assert np.array_equal(features(encoder.frozen, tmp_path), expected)
    assert encoder.n_loaded == 0


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_a_damaged_file_is_exported_again_and_replaced(
    cached: tuple[Path, np.ndarray], tmp_path: Path, damage: str
) -> None:
    path, expected = cached
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[-1000] ^= 1
    changed = {"cut": content[:-5], "flipped": bytes(flipped), "empty": b"", "other": b"<xml>"}[damage]
    copy_of(path, tmp_path, changed)
    encoder = Counted()

    assert np.array_equal(features(encoder.frozen, tmp_path), expected)
    assert np.array_equal(features(encoder.frozen, tmp_path), expected)
    assert encoder.n_loaded == 1


def test_the_graph_of_another_encoder_is_not_trusted(cached: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    path, _ = cached
    other = features(small_transformer(seed=1), tmp_path)
    (name,) = tmp_path.iterdir()
    copy_of(path, tmp_path, None).replace(name)
    encoder = Counted(seed=1)

    assert np.array_equal(features(encoder.frozen, tmp_path), other)
    assert encoder.n_loaded == 1


def test_a_graph_of_another_version_of_the_library_is_not_used(
    cached: tuple[Path, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_of(cached[0], tmp_path)
    monkeypatch.setattr(exported_graph, "openvino_version", lambda: "1.2.3")
    encoder = Counted()

    graph_of(encoder.frozen, tmp_path)

    assert encoder.n_loaded == 1


def test_a_folder_that_cannot_be_written_to_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    assert len(features(small_transformer(), tmp_path / "file" / "cache")) == 2


def test_graphs_used_longest_ago_are_forgotten(
    cached: tuple[Path, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        old = copy_of(cached[0], tmp_path).rename(tmp_path / f"{number}.graph")
        os.utime(old, (number, number))
    monkeypatch.setattr(exported_graph, "_MOST_FILES", 2)

    graph_of(small_transformer(), tmp_path)

    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(["2.graph", cached[0].name])


def test_a_huge_graph_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exported_graph, "_MOST_BYTES", 1000)

    graph_of(small_transformer(), tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_the_cache_holds_no_path_and_no_code(cached: tuple[Path, np.ndarray]) -> None:
    parts = safetensors.numpy.load(cached[0].read_bytes())

    assert sorted(parts) == ["graph", "weights"]
    assert b"/home" not in parts["graph"].tobytes()


SILENT = """
import sys
seen = []
def listen(event, facts):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        seen.append(event)
    if event == "open" and isinstance(facts[0], str) and facts[0].startswith(sys.argv[1]):
        seen.append(facts[0])
sys.addaudithook(listen)
import json
from pathlib import Path
from vst_dicom.predict.openvino_library import import_openvino
import_openvino().Core()
from tests.predict.small_encoders import small_transformer
from vst_dicom.predict.exported_graph import graph_of
graph_of(small_transformer(), Path(sys.argv[2]))
print(json.dumps(seen))
"""


def test_the_library_reports_nothing_to_its_maker(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SILENT, str(home), str(tmp_path / "cache")],
        env=os.environ | {"HOME": str(home), "CI": ""},
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stdout.splitlines()[-1]) == []
    assert list(home.iterdir()) == []
