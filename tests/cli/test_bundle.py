from pathlib import Path

from typer.testing import CliRunner

from tests.predict.bundles import read_manifest, rewrite_manifest, write_bundle
from tests.predict.test_signatures import entry
from vst_dicom.cli.bundle import app


def show(folder: Path) -> str:
    answer = CliRunner().invoke(app, ["show", str(folder)])
    assert answer.exit_code == 0
    return answer.output


def test_show_says_of_every_signature_why_it_is_shown_or_not(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b")
    refused = entry(name="Refused", genes=[], status="hidden", reason="Hidden: 0 of 2 genes usable, fewer than half.")
    shown = entry(name="Shown", reason="Exploratory: it holds.", note="Mind this.")
    rewrite_manifest(folder, {**read_manifest(folder), "signatures": [refused, shown]})

    lines = show(folder).splitlines()

    assert lines[-3:] == [
        "1 of 2 signatures are shown:",
        "  Shown: Exploratory: it holds. Genes: ERBB2. Mind this.",
        "  Refused: Hidden: 0 of 2 genes usable, fewer than half.",
    ]


def test_show_says_what_to_do_for_signatures_of_an_older_bundle(tmp_path: Path) -> None:
    assert "train it with this version" in show(write_bundle(tmp_path / "b"))
