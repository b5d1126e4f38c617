"""Two bundles against each other on a cohort of one painted section."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from tests.predict.bundles import replace_file
from vst_dicom.cli.evaluate import evaluate
from vst_dicom.domain.errors import InputError, UsageError
from vst_dicom.predict.bundle import built_in_folder

GENES = ("IGKC", "CD74", "ERBB2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    random = np.random.default_rng(0)
    stripes = np.linspace(0, 1, 820)[None, :, None] * np.array([60, 120, 20])
    image = np.array([225.0, 190, 215]) - stripes + random.normal(0, 12, (820, 820, 3))
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / "a.png")
    places = [(x, y) for x in range(3) for y in range(3)]
    (folder / "spots.tsv").write_text(
        "x\ty\tpixel_x\tpixel_y\n" + "".join(f"{x}\t{y}\t{160 + 250 * x}\t{160 + 250 * y}\n" for x, y in places)
    )
    counts = {(x, y): [5 + 9 * x, *random.integers(1, 30, 3)] for x, y in places}
    (folder / "counts.tsv").write_text(
        "\t".join(["", *GENES, "OTHER"]) + "\n"
        + "".join(f"{x}x{y}\t" + "\t".join(map(str, values)) + "\n" for (x, y), values in counts.items())
    )  # fmt: skip
    shutil.copytree(built_in_folder() / "her2st-lite", folder / "other")
    head = safetensors.numpy.load_file(folder / "other" / "head.safetensors")
    head["coefficients"] = random.standard_normal(head["coefficients"].shape).astype(np.float32)
    replace_file(folder / "other", "head.safetensors", safetensors.numpy.save(head))
    return folder


def write_cohort(folder: Path, doi: str, patient: str) -> Path:
    section = (
        f'patient = "{patient}"\nimage = "a.png"\npixel_spacing_um = 0.5\ncounts = "counts.tsv"\nspots = "spots.tsv"'
    )
    path = folder / f"{patient}.toml"
    path.write_text(
        f'name = "a"\ndoi = "{doi}"\nlicense = "none"\nsource = "none"\norgan = "breast"\nspecimen = "FFPE"\n'
        f'library = "ST"\nspot_um = 100.0\n[[section]]\nid = "S1"\n{section}\n[[section]]\nid = "S2"\n{section}\n'
    )
    return path


def test_two_bundles_are_compared_on_patients_that_trained_neither(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["her2st-lite", str(folder / "other"), str(write_cohort(folder, "10.0/none", "P"))]

    evaluate(names, cache=folder / "cache", as_json=True)
    found = json.loads(capsys.readouterr().out)
    evaluate(names, cache=folder / "cache")
    table = capsys.readouterr().out

    assert found["sections"] == ["S1", "S2"]
    assert len(found["symbols"]) == len(found["genes"]) == 250
    assert found["first"] != found["second"]
    panel = found["depth_adjusted_r"]
    assert panel["difference"] == pytest.approx(panel["second"] - panel["first"])
    assert panel["low"] <= panel["difference"] <= panel["high"]
    assert "on 2 sections of 1 patient that trained neither (S1, S2)" in table
    assert "it speaks for this tissue alone" in table
    assert "| **all, mean** |" in table


def test_a_cohort_that_trained_one_of_them_is_refused(folder: Path) -> None:
    names = ["her2st-lite", str(folder / "other"), str(write_cohort(folder, "10.1038/s41467-021-26271-2", "C"))]

    with pytest.raises(InputError, match="nothing in this cohort is held out from her2st-lite"):
        evaluate(names)


def test_a_bundle_without_a_cohort_is_a_mistake_of_use() -> None:
    with pytest.raises(UsageError, match="give one bundle or two, then the cohort; 1 names"):
        evaluate(["her2st-lite"])
