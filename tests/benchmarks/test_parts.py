"""That parts run on tiny inputs, and that rows come out."""

from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.encoding import encode_lines
from benchmarks.peers import PLACE, peer_python, write_slide
from benchmarks.processes import memory_mb, run_afresh
from benchmarks.receive import association_lines, measure_receivers
from benchmarks.receivers import receivers
from benchmarks.stand_ins import make_predictor, make_slide
from tests.programs import needs
from vst_dicom.tiles.grid import lay_grid
from vst_dicom.tiles.thumbnail import read_thumbnail
from vst_dicom.tiles.tissue import find_tissue


def test_encoding_gives_a_row_per_limit(tmp_path: Path) -> None:
    rows = [line for line in encode_lines(tmp_path, 1, n_genes=2, side=8) if line.startswith("| write")]

    assert [row.split(" | ")[0] for row in rows] == [
        "| write the transposed float32 values",
        "| write the transposed stored 16-bit numbers",
    ]


@needs("storescp", "dcmtk")
def test_receivers_are_measured_round_by_round(tmp_path: Path) -> None:
    among = [receiver for receiver in receivers() if receiver.name != "Orthanc"]

    found = measure_receivers(tmp_path, among, 1, 1_000_000)

    assert list(found) == ["socket → file, Python", "storescp +B", "ours"]
    assert all(each.cpu_s_per_gb[0] > 0 and each.peak_mb[0] > 1 for each in found.values())


@needs("storescu", "dcmtk")
def test_every_instance_is_stored_whatever_the_number_of_associations(tmp_path: Path) -> None:
    lines = list(association_lines(tmp_path, n_instances=2, n_bytes=100_000))

    assert sum("| 2 of 2 |" in line for line in lines) == 2


def test_a_made_up_slide_has_about_as_many_tiles_as_wanted(tmp_path: Path) -> None:
    slide = make_slide(tmp_path, 100)

    grid, _ = lay_grid(slide.levels[0], find_tissue(read_thumbnail(slide)))

    assert 90 <= len(grid) <= 110


def test_a_stand_in_shows_as_many_genes_as_wanted() -> None:
    predictor = make_predictor(7, 100)

    assert sum(gene.shown for gene in predictor.bundle.genes) == 7


def test_a_module_runs_in_a_process_of_its_own_and_says_what_it_cost() -> None:
    found = run_afresh("benchmarks.grown", 100, 2, threads=None)

    assert found["n_genes"] == 2
    assert found["cpu_s"] > 0
    assert found["peak_mb"] >= found["before_mb"] > 0
    assert {"predict", "maps", "encode", "check", "export"} <= found["stages"].keys()


def test_a_module_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match="No module named"):
        run_afresh("benchmarks.nothing")


def test_peers_get_the_corners_and_the_mask_of_the_same_tiles(tmp_path: Path) -> None:
    import numpy as np

    _, tiles, n_tiles = write_slide(tmp_path, 2048)

    with np.load(tiles) as given:
        assert len(given["corners_px"]) == n_tiles == given["mask"].sum()


def test_a_peer_that_is_not_installed_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PLACE, raising=False)
    assert peer_python("tiatoolbox") is None

    monkeypatch.setenv(PLACE, str(tmp_path))
    assert peer_python("tiatoolbox") is None


def test_versions_of_every_peer_are_pinned() -> None:
    for name in peers.PEERS:
        pinned = (Path(peers.__file__).parent / "peer_versions" / f"{name}.txt").read_text().splitlines()
        assert any(line.startswith(f"{name}==") for line in pinned)
        assert not any(line.startswith("torch==") for line in pinned)


def test_memory_of_a_process_is_known() -> None:
    memory = memory_mb("self")

    assert memory["peak"] >= memory["now"] > 0
