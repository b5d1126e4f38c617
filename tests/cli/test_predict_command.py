"""The commands together, with the bundle that ships: simulate, predict, show."""

import json
from pathlib import Path

import anndata
import pydicom
import pytest

from tests.cli.test_main import vst_dicom
from tests.programs import dcentvfy_errors, dciodvfy_errors, needs_dcentvfy, needs_dciodvfy
from vst_dicom.predict.bundle import load_bundle


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "slide"
    made = vst_dicom("simulate", "slide", "--out", folder, "--size", "2600x2200", "--seed", "5")
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def predicted(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("predicted")
    answer = vst_dicom("predict", simulated / "slide", "--out", out, "--json", "--device", "cpu")
    assert answer.returncode == 0, answer.stderr
    return out, json.loads(answer.stdout)


def test_results_lie_in_a_folder_named_by_the_series(predicted: tuple[Path, dict]) -> None:
    out, summary = predicted

    (folder,) = out.iterdir()
    assert folder.name == summary["slide"]["series_instance_uid"]
    assert json.loads((folder / "summary.json").read_text()) == summary


def test_shown_genes_are_those_of_the_bundle_and_no_others(predicted: tuple[Path, dict]) -> None:
    out, summary = predicted
    shown = {gene.gene.symbol for gene in load_bundle().genes if gene.shown}

    assert {gene["symbol"] for gene in summary["genes"] if gene["shown"]} == shown
    (table,) = out.glob("*/expression.h5ad")
    assert set(anndata.read_h5ad(table).var_names) == shown
    (map_file,) = out.glob("*/parametric-map.dcm")
    frames = pydicom.dcmread(map_file).PerFrameFunctionalGroupsSequence
    assert len(frames) == len(shown)


def test_results_on_a_painted_slide_say_so_first(predicted: tuple[Path, dict]) -> None:
    assert predicted[1]["warnings"][0].startswith("a simulated slide")


@needs_dciodvfy
@needs_dcentvfy
def test_every_object_of_a_real_run_is_valid(simulated: Path, predicted: tuple[Path, dict]) -> None:
    objects = sorted(predicted[0].glob("*/*.dcm"))

    assert {path.name: errors for path in objects if (errors := dciodvfy_errors(path))} == {}
    assert dcentvfy_errors([*sorted((simulated / "slide").iterdir()), *objects]) == []


def test_a_second_run_replaces_nothing_unasked(simulated: Path, predicted: tuple[Path, dict]) -> None:
    again = vst_dicom("predict", simulated / "slide", "--out", predicted[0])

    assert again.returncode == 2
    assert "not an empty folder" in again.stderr


def test_a_changed_bundle_is_refused_before_anything_is_written(simulated: Path, tmp_path: Path) -> None:
    built_in = load_bundle().folder
    copy = tmp_path / "bundle"
    copy.mkdir()
    for path in built_in.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    with (copy / "head.safetensors").open("ab") as file:
        file.write(b"\0")

    answer = vst_dicom("predict", simulated / "slide", "--out", tmp_path / "out", "--bundle", copy)

    assert answer.returncode == 4
    assert "SHA-256" in answer.stderr
    assert not (tmp_path / "out").exists()


def test_the_label_is_never_decoded(simulated: Path, tmp_path: Path) -> None:
    """Pixels of the label are replaced by garbage: whoever decoded them would fail."""
    for path in (simulated / "slide").iterdir():
        dataset = pydicom.dcmread(path)
        if "LABEL" in dataset.ImageType:
            dataset.PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x04\x00\x00\x00\xde\xad\xbe\xef"
        dataset.save_as(tmp_path / path.name)

    answer = vst_dicom("predict", tmp_path, "--out", tmp_path / "out", "--formats", "pm")

    assert answer.returncode == 0, answer.stderr


def test_the_demo_brings_your_slide_through_a_pacs_and_back(simulated: Path, tmp_path: Path) -> None:
    shown = vst_dicom("demo", "--once", "--slide", simulated / "slide", "--out", tmp_path / "result")

    assert shown.returncode == 0, shown.stderr
    (picture,) = (tmp_path / "result").rglob("overview.png")
    assert str(picture) in "".join(shown.stdout.split())
    assert "For Research Use Only" in shown.stdout
    assert " objects (ANN, OT, SEG, SR)" in shown.stdout
