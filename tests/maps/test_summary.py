import json

import numpy as np

from tests.results import BUNDLE, CREATED, full_grid, good_quality, make_gene, table_of
from vst_dicom.domain.engine import EngineFacts
from vst_dicom.domain.expression import GeneStatus
from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.domain.result import SlideResult
from vst_dicom.maps.hotspots import find_hotspots
from vst_dicom.maps.summary import RunFacts, summarize


def make_summary(**trust: object) -> dict:
    grid = full_grid(20, 20)
    values = np.zeros((1, 20, 20))
    values[0, 5:10, 5:9] = 3
    expression = table_of(values, "ERBB2")
    search = find_hotspots(expression, grid, np.ones(400, np.bool_), PixelSpacing.from_um(1.0), None)
    result = SlideResult(
        "k", CREATED, grid, good_quality(400), expression, search.hotspots, BUNDLE, {"a": "b"}, ("mind this",), **trust
    )
    engine = EngineFacts("openvino", "cpu (2 threads)", "fp32", 16, {"openvino fp32": 8.0}, ("batches of 16 tiles",))
    facts = RunFacts({"series": "1"}, engine, {"predict": 2.0, "nothing": 0.0}, {"vst_dicom": "0"}, ["b", "a"])
    return summarize(result, [*expression.genes, make_gene("GATA3", GeneStatus.HIDDEN)], facts)


def test_summary_is_plain_json() -> None:
    assert json.loads(json.dumps(make_summary()))["n_tiles"] == 400


def test_a_hidden_gene_appears_with_its_reason_and_without_values() -> None:
    hidden = make_summary()["genes"][1]

    assert (hidden["symbol"], hidden["shown"], hidden["reason"]) == ("GATA3", False, "because")
    assert hidden["mean"] is None
    assert hidden["p95"] is None


def test_a_shown_gene_states_mean_and_evidence() -> None:
    gene = make_summary()["genes"][0]

    assert gene["mean"] == 3 * 20 / 400
    assert gene["held_out"] == {"r": 0.5, "interval": (0.4, 0.6), "unit": "section", "n": 4, "depth_adjusted_r": 0.3}


def test_stages_state_their_rate_and_survive_zero_seconds() -> None:
    stages = make_summary()["stages"]

    assert stages["predict"] == {"seconds": 2.0, "tiles_per_s": 200.0}
    assert stages["nothing"]["tiles_per_s"] is None


def test_research_use_is_stated_first() -> None:
    assert next(iter(make_summary().items())) == (
        "notice",
        "For Research Use Only. Not for use in diagnostic procedures.",
    )


def test_a_hotspot_states_what_it_is_compared_with_and_what_it_is_not() -> None:
    summary = make_summary()

    (hotspot,) = summary["hotspots"]
    assert (hotspot["gene"], hotspot["tissue_class"], hotspot["interval"]) == ("ERBB2", "not classified", None)
    assert hotspot["mean"] > hotspot["class_mean"] == 3 * 20 / 400
    assert hotspot["gi_star"] > hotspot["gi_star_threshold"]
    assert "not measured, not a mutation" in summary["hotspots_note"]
    assert summary["tissue_classes"] is None


def test_trust_is_counted_and_stated_by_gene() -> None:
    half_width = np.linspace(0, 1, 400, dtype=np.float32)[:, None]
    trust = {
        "half_width": half_width,
        "distance": np.full(400, 0.25, np.float32),
        "masked_cells": np.zeros((7, 2), np.int32),
        "interval_note": "nominal",
    }

    summary = make_summary(**trust)

    assert (summary["tiles"]["n_masked"], summary["tiles"]["median_distance"]) == (7, 0.25)
    assert summary["intervals"] == "nominal"
    assert summary["genes"][0]["interval_half_width"] == 0.5
    assert summary["genes"][1]["interval_half_width"] is None


def test_a_bundle_without_trust_states_none() -> None:
    summary = make_summary()

    assert (summary["tiles"]["n_masked"], summary["tiles"]["median_distance"]) == (0, None)
    assert summary["intervals"] is None
    assert summary["genes"][0]["interval_half_width"] is None


def test_the_summary_says_how_it_was_computed() -> None:
    summary = make_summary()

    assert (summary["engine"], summary["device"], summary["precision"]) == ("openvino", "cpu (2 threads)", "fp32")
    assert summary["probe_ms_per_tile"] == {"openvino fp32": 8.0}
    assert summary["steps_down"] == ["batches of 16 tiles"]
