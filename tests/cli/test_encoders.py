"""Encoders on the command line: the list, the licence, and what is refused."""

import json
from pathlib import Path

import pytest

from tests.cli.test_main import vst_dicom

COHORT = "benchmarks/her2st/cohort.toml"


def test_the_presets_are_listed_with_licence_terms_and_features() -> None:
    listed = vst_dicom("bundle", "encoders", "--json")

    facts = {fact["preset"]: fact for fact in json.loads(listed.stdout)}
    assert (facts["virchow2"]["features"], facts["virchow2"]["license"]) == (2560, "CC BY-NC-ND 4.0")
    assert facts["virchow2"]["terms"] == ["gated", "non-commercial", "no-derivatives", "no-sharing"]
    assert (facts["h-optimus-0"]["license"], facts["h-optimus-0"]["terms"]) == ("Apache-2.0", [])
    assert "unverified" in facts["h0-mini"]["facts"]


def test_the_list_for_people_marks_what_a_licence_asks() -> None:
    listed = vst_dicom("bundle", "encoders")

    assert "uni2-h             CC BY-NC-ND 4.0 [gated, non-commercial, no-derivatives, no-sharing]" in listed.stdout
    assert "midnight-12k       MIT; 3072 features, 1136 M parameters" in listed.stdout


def test_a_bundle_is_shown_with_its_encoders_licence() -> None:
    assert "Encoder efficientnet_lite0, 2064 features, licence Apache-2.0" in vst_dicom("bundle", "show").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "conch"], "there is no preset 'conch'"),
        (["--preset", "uni"], "get pytorch_model.bin from huggingface.co/MahmoodLab/UNI and give it with --encoder"),
        (["--encoder", "{folder}/pytorch_model.bin", "--preset", "uni"], "pytorch_model.bin is a pickled PyTorch file"),
        (["--encoder", "{folder}"], "or name one with --preset"),
    ],
)
def test_training_refuses_an_encoder_that_cannot_be_had(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02")
    filled = [argument.format(folder=tmp_path) for argument in arguments]

    answer = vst_dicom("train", COHORT, "--out", tmp_path / "out", *filled)

    assert answer.returncode != 0
    assert message in answer.stderr
    assert not (tmp_path / "out").exists()
