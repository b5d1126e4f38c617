"""What ``vst-dicom bundle`` says about a bundle's card."""

from pathlib import Path

import pytest

from tests.predict.bundles import replace_file, write_bundle
from vst_dicom.cli.bundle import card, show
from vst_dicom.domain.errors import BundleError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "tiny")


def test_the_card_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card(str(folder))

    assert capsys.readouterr().out.startswith("# card")


def test_the_page_is_named_by_its_path(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replace_file(folder, "card.html", b"<!DOCTYPE html>")

    card(str(folder), page=True)
    show(str(folder))

    path, *shown = capsys.readouterr().out.splitlines()
    assert Path(path) == (folder / "card.html").resolve()
    assert f"Card: {path}" in shown


def test_an_older_bundle_has_no_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(str(folder))

    assert "Card: vst-dicom bundle card tiny" in capsys.readouterr().out.splitlines()
    with pytest.raises(BundleError, match="was made before cards had a page"):
        card(str(folder), page=True)
