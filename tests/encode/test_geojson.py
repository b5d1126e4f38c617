import dataclasses
import json
import uuid
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import shapely.geometry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vst_dicom.domain.errors import UsageError
from vst_dicom.domain.expression import Gene, GeneStatus
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.signature import PanelSignature, ScoredGene, Scoring, SignatureScore
from vst_dicom.encode.geojson import write_geojson

SCHEMA = json.loads((Path(__file__).parent / "qupath_geojson.schema.json").read_text())


@pytest.fixture
def features(tmp_path, make_source, make_result):
    def read(result=None, genes=None):
        path = tmp_path / "tiles.geojson"
        write_geojson(path, make_source(), result or make_result(), genes)
        return json.loads(path.read_text())["features"]

    return read


def fill(result):
    """Give a result everything that a tile can carry."""
    n_tiles = len(result.grid)
    genes = (ScoredGene(Gene("ERBB2"), 1.0, 0.0, 1.0),)
    signature = PanelSignature("made-up", "Made up", Scoring.MEAN_Z, "x", "", 1, genes, GeneStatus.EXPLORATORY, "holds")
    hidden = dataclasses.replace(signature, signature_id="other", name="Other", status=GeneStatus.HIDDEN)
    return dataclasses.replace(
        result,
        half_width=result.expression.values / 8,
        interval_note="90% intervals, nominal",
        distance=np.full(n_tiles, 0.25, np.float32),
        tissue_class=np.arange(n_tiles, dtype=np.int8) % 5,
        signatures=(SignatureScore(signature, np.arange(n_tiles, dtype=np.float32)), SignatureScore(hidden, None)),
    )


def check_form(collection):
    """Hold a file against what QuPath reads: the schema, then what a schema cannot say."""
    checker = jsonschema.FormatChecker()
    jsonschema.Draft202012Validator(SCHEMA, format_checker=checker).validate(collection)
    identifiers = [feature["id"] for feature in collection["features"]]
    assert len(set(identifiers)) == len(identifiers)
    for feature in collection["features"]:
        for ring in feature["geometry"]["coordinates"]:
            assert ring[0] == ring[-1]
        geometry = shapely.geometry.shape(feature["geometry"])
        assert geometry.is_valid
        assert geometry.area > 0


def test_tiles_are_closed_squares_in_base_level_pixels_with_their_values(features, make_result):
    result = make_result()
    tile = features(result)[1 + 1]

    assert result.grid.cells[1].tolist() == [0, 2]
    assert tile["geometry"]["coordinates"] == [[[206, 0], [309, 0], [309, 101], [206, 101], [206, 0]]]
    assert tile["properties"]["objectType"] == "tile"
    assert tile["properties"]["measurements"]["ESR1"] == pytest.approx(float(result.expression.values[1, 1]), abs=5e-5)


def test_hotspots_come_first_as_locked_annotations(features):
    region = features()[0]

    assert region["properties"]["objectType"] == "annotation"
    assert region["properties"]["name"] == "ERBB2 hotspot 1"
    assert region["properties"]["isLocked"] is True
    assert region["properties"]["metadata"]["intended use"].startswith("For Research Use Only")


def test_holes_of_a_region_are_inner_rings(features, make_result):
    result = make_result()
    hole = np.array([[10, 10], [20, 10], [20, 20], [10, 20]], dtype=float)
    region = dataclasses.replace(result.hotspots[0], outlines_px=(*result.hotspots[0].outlines_px, hole))

    rings = features(dataclasses.replace(result, hotspots=(region,)))[0]["geometry"]["coordinates"]

    assert len(rings) == 2
    assert rings[1][0] == rings[1][-1] == [10, 10]


def test_identifiers_are_unique_uuids_and_stay_the_same(features):
    first = [feature["id"] for feature in features()]

    assert len(set(first)) == len(first)
    assert all(str(uuid.UUID(identifier)) == identifier for identifier in first)
    assert first == [feature["id"] for feature in features()]


def test_a_hotspot_states_its_numbers_and_what_it_is_not(features):
    properties = features()[0]["properties"]

    assert properties["measurements"] == {
        "Area mm^2": 0.0026,
        "Mean ERBB2": 0.0,
        "Mean ERBB2 of similar tissue": -0.5,
        "Gi*": 7.5,
        "Gi* threshold": 5.25,
        "Masked nearby": 0.25,
    }
    assert properties["metadata"]["tissue class"] == "not classified"
    assert "not a mutation" in properties["metadata"]["meaning"]


def test_tiles_are_classified_by_tissue_where_it_is_known(features, make_result):
    tile = features(dataclasses.replace(make_result(), tissue_class=np.ones(18, np.int8)))[-1]

    assert tile["properties"]["classification"] == {"name": "stroma", "color": [222, 165, 182]}
    assert "classification" not in features()[-1]["properties"]


def test_tiles_carry_half_widths_signatures_and_distance_under_names_that_people_read(features, make_result):
    tile = features(fill(make_result()))[1 + 3]

    assert tile["properties"]["measurements"] == {
        "ERBB2": pytest.approx(9 * 3 / 53, abs=5e-5),
        "ESR1": pytest.approx(10 * 3 / 53, abs=5e-5),
        "LOC1": pytest.approx(11 * 3 / 53, abs=5e-5),
        "ERBB2 +/-": pytest.approx(9 * 3 / 53 / 8, abs=5e-5),
        "ESR1 +/-": pytest.approx(10 * 3 / 53 / 8, abs=5e-5),
        "LOC1 +/-": pytest.approx(11 * 3 / 53 / 8, abs=5e-5),
        "signature: Made up": 3,
        "distance to training tissue": 0.25,
    }


def test_only_chosen_genes_are_measured_but_hotspots_stay(features, make_result):
    first, tile = features(fill(make_result()), ("ESR1",))[:2]

    assert [name for name in tile["properties"]["measurements"] if name[:4] != "sign"] == [
        "ESR1",
        "ESR1 +/-",
        "distance to training tissue",
    ]
    assert first["properties"]["name"] == "ERBB2 hotspot 1"


def test_a_gene_that_is_not_shown_is_refused_and_nothing_written(tmp_path, make_source, make_result):
    with pytest.raises(UsageError, match="no map is shown for NOSUCH"):
        write_geojson(tmp_path / "tiles.geojson", make_source(), make_result(), ("ESR1", "NOSUCH"))

    assert list(tmp_path.iterdir()) == []


def test_the_file_says_what_its_numbers_are(tmp_path, make_source, make_result):
    write_geojson(tmp_path / "tiles.geojson", make_source(), fill(make_result()))

    about = json.loads((tmp_path / "tiles.geojson").read_text())

    assert about["unit"] == "ln(1+CP10k)"
    assert about["intervals"] == "90% intervals, nominal"
    assert about["signatures"] == {"signature: Made up": "standard deviations of the training cohort"}
    assert about["intended_use"].startswith("For Research Use Only")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.builds(MatrixSize, st.integers(1, 6), st.integers(1, 6)),
    tile=st.builds(MatrixSize, st.integers(1, 500), st.integers(1, 500)),
    full=st.booleans(),
)
def test_every_file_has_the_form_that_qupath_reads(tmp_path, make_source, make_result, size, tile, full):
    result = make_result(size=size, tile_size=tile)
    path = tmp_path / "tiles.geojson"
    write_geojson(path, make_source(), fill(result) if full else result)

    collection = json.loads(path.read_bytes().decode("ascii"))

    check_form(collection)
    assert len(collection["features"]) == 1 + len(result.grid)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda feature: feature.update(id="tile-1"),
        lambda feature: feature["properties"].update(objectType="square"),
        lambda feature: feature["properties"].update(measurements=[{"name": "ERBB2", "value": 1}]),
        lambda feature: feature["properties"]["measurements"].update(ERBB2=None),
        lambda feature: feature["properties"].update(color=[1, 2, 256]),
        lambda feature: feature["properties"].update(metadata={"tiles": 3}),
        lambda feature: feature["geometry"]["coordinates"][0].pop(),
    ],
    ids=["no UUID", "unknown type", "list of measurements", "null", "no color", "metadata no text", "open ring"],
)
def test_the_check_of_the_form_refuses_what_qupath_would_misread(features, spoil):
    collection = {"type": "FeatureCollection", "features": features()}
    spoil(collection["features"][1])

    with pytest.raises((jsonschema.ValidationError, AssertionError)):
        check_form(collection)
