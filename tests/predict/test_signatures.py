"""Signatures in the manifest of a bundle."""

from pathlib import Path
from typing import Any

import pytest

from tests.predict.bundles import read_manifest, rewrite_manifest, write_bundle
from vst_dicom.domain.errors import BundleError
from vst_dicom.domain.expression import GeneStatus
from vst_dicom.predict.bundle import Bundle, load_bundle


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "id": "made-up",
        "name": "Made up",
        "scoring": "mean z",
        "citation": "somebody",
        "note": "",
        "n_genes": 2,
        "genes": [{"symbol": "ERBB2", "weight": -1.0}],
        "status": "exploratory",
        "reason": "for a test",
        "held_out_r": 0.6,
        "held_out_interval": None,
        "held_out_unit": "section",
        "n_held_out": 4,
        "depth_adjusted_r": 0.5,
        **changes,
    }


def load_with(folder: Path, *signatures: dict[str, Any]) -> Bundle:
    value = read_manifest(write_bundle(folder))
    rewrite_manifest(folder, {**value, "signatures": signatures})
    return load_bundle(folder)


def test_a_signature_gets_mean_and_deviation_from_the_panel(tmp_path: Path) -> None:
    (signature,) = load_with(tmp_path / "b", entry()).signatures

    assert (signature.signature_id, signature.status, signature.held_out_r) == ("made-up", GeneStatus.EXPLORATORY, 0.6)
    assert [(g.gene.symbol, g.weight, g.mean, g.sd) for g in signature.genes] == [("ERBB2", -1.0, 1.0, 0.5)]
    assert signature.coverage == "1 of 2 genes usable"


def test_a_bundle_without_signatures_still_loads(tmp_path: Path) -> None:
    assert load_bundle(write_bundle(tmp_path / "b")).signatures == ()


def test_an_untested_signature_has_no_figures(tmp_path: Path) -> None:
    untested = entry(
        status="hidden", genes=[], held_out_r=None, held_out_unit=None, n_held_out=0, depth_adjusted_r=None
    )

    (signature,) = load_with(tmp_path / "b", untested).signatures

    assert not signature.shown
    assert signature.held_out_r is None


@pytest.mark.parametrize(
    "changes",
    [
        {"genes": [{"symbol": "IGKC", "weight": 1.0}]},
        {"genes": [{"symbol": "NOBODY", "weight": 1.0}]},
        {"genes": []},
    ],
    ids=["a hidden gene", "an unknown gene", "no gene"],
)
def test_a_signature_of_genes_that_are_not_shown_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="made-up is made of genes that the bundle does not show"):
        load_with(tmp_path / "b", entry(**changes))


def test_an_unknown_scoring_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"signatures\.0\.scoring"):
        load_with(tmp_path / "b", entry(scoring="ssgsea"))
