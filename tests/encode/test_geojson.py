import dataclasses
import json
import uuid

import numpy as np
import pytest

from vst_dicom.encode.geojson import write_geojson


@pytest.fixture
def features(tmp_path, make_source, make_result):
    def read(result=None):
        path = tmp_path / "tiles.geojson"
        write_geojson(path, make_source(), result or make_result())
        return json.loads(path.read_text())["features"]

    return read


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


def test_tiles_name_their_tissue_class_where_it_is_known(features, make_result):
    tile = features(dataclasses.replace(make_result(), tissue_class=np.ones(18, np.int8)))[-1]

    assert tile["properties"]["metadata"] == {"tissue class": "stroma"}
    assert "metadata" not in features()[-1]["properties"]
