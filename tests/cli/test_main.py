"""What the command line promises as a whole: answers at once, one line per failure, exit codes, nothing written."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from tests.wsi_builder import Wsi, write_wsi
from vst_dicom.cli.failures import exit_code
from vst_dicom.domain import errors

HEAVY = [
    "numpy",
    "torch",
    "highdicom",
    "cv2",
    "matplotlib",
    "anndata",
    "pandas",
    "scipy",
    "sklearn",
    "openslide",
    "pydicom",
]


def vst_dicom(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    environment = {"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [sys.executable, "-m", "vst_dicom", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
        cwd=cwd or root,
        env=environment,
    )


def test_help_loads_no_heavy_library() -> None:
    code = f"import sys, vst_dicom.cli.main; print([name for name in {HEAVY} if name in sys.modules])"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert loaded.stdout.strip() == "[]"


COMMANDS = """
demo, predict, import, simulate slide, simulate cohort, train, evaluate, bundle list, bundle show, bundle verify,
bundle encoders, serve, send, doctor, studies list, studies show, studies run-now, jobs list, jobs show, jobs retry,
jobs cancel, config show, config check, config example
"""


@pytest.mark.parametrize("command", [command.strip() for command in COMMANDS.split(",")])
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    shown = vst_dicom(*command.split(), "--help")

    assert shown.returncode == 0
    assert f"vst-dicom {command}" in " ".join(shown.stdout.split())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError, 2),
        (errors.InputError, 3),
        (errors.TissueError, 3),
        (errors.BundleError, 4),
        (errors.PeerError, 5),
        (errors.ResourceError, 6),
        (errors.EncodingError, 1),
    ],
)
def test_exit_codes_say_who_must_act(error: type[errors.VstDicomError], code: int) -> None:
    assert exit_code(error("x")) == code


def missing(folder: Path) -> Path:
    return folder / "nothing-here"


def empty_folder(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def zero_bytes(folder: Path) -> Path:
    (folder / "zero.dcm").touch()
    return folder / "zero.dcm"


def not_dicom(folder: Path) -> Path:
    (folder / "notes.dcm").write_text("these are my notes\n" * 50)
    return folder / "notes.dcm"


def truncated(folder: Path) -> Path:
    path = write_wsi(folder / "slide.dcm", Wsi([np.full((600, 600, 3), (220, 140, 190), np.uint8)], tile=(256, 256)))
    path.write_bytes(path.read_bytes()[:-300_000])
    return path


def no_spacing(folder: Path) -> Path:
    Image.fromarray(np.full((600, 600, 3), (220, 140, 190), np.uint8)).save(folder / "photo.png")
    return folder / "photo.png"


def no_tissue(folder: Path) -> Path:
    return write_wsi(folder / "glass.dcm", Wsi([np.full((600, 600, 3), 240, np.uint8)], tile=(256, 256)))


def ct_series(folder: Path) -> Path:
    def make_ct(dataset: pydicom.Dataset) -> None:
        dataset.SOPClassUID, dataset.Modality = "1.2.840.10008.5.1.4.1.1.2", "CT"

    return write_wsi(folder / "ct.dcm", Wsi([np.zeros((64, 64, 3), np.uint8)], change=make_ct))


def label_only(folder: Path) -> Path:
    return write_wsi(folder / "label.dcm", Wsi([np.zeros((64, 64, 3), np.uint8)], flavor="LABEL"))


def too_coarse(folder: Path) -> Path:
    image = np.full((600, 600, 3), (220, 140, 190), np.uint8)
    return write_wsi(folder / "coarse.dcm", Wsi([image], tile=(256, 256), spacing_mm=(0.002, 0.002)))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (missing, "nothing-here"),
        (empty_folder, "empty"),
        (zero_bytes, "0 bytes"),
        (not_dicom, "notes.dcm"),
        (truncated, "slide.dcm"),
        (no_spacing, "--pixel-spacing-um"),
        (no_tissue, "no tissue"),
        (ct_series, "CT"),
        (label_only, "only label"),
        (too_coarse, "2 µm"),
    ],
)
def test_bad_input_gets_one_line_the_right_code_and_leaves_nothing(tmp_path: Path, make, says: str) -> None:
    path = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    answer = vst_dicom("predict", path, "--out", tmp_path / "out")

    assert answer.returncode == 3, answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1, answer.stderr
    assert says in answer.stderr
    assert answer.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--formats", "pm,foo"], "foo"),
        (["--pixel-spacing-um", "wide"], "wide"),
        (["--genes", "NOSUCHGENE"], "NOSUCHGENE"),
        (["--focal-plane", "7"], "focal plane"),
    ],
)
def test_a_wrong_choice_is_usage(tmp_path: Path, arguments: list[str], says: str) -> None:
    path = no_tissue(tmp_path)

    answer = vst_dicom("predict", path, "--out", tmp_path / "out", *arguments)

    assert answer.returncode == 2, answer.stderr
    assert says in answer.stderr
    assert not (tmp_path / "out").exists()


def test_a_bundle_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    answer = vst_dicom("predict", no_tissue(tmp_path), "--out", tmp_path / "out", "--bundle", "nobody")

    assert answer.returncode == 4
    assert "nobody" in answer.stderr
