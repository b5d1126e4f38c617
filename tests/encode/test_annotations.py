import dataclasses
from itertools import pairwise

import highdicom as hd
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vst_dicom.domain.errors import UsageError
from vst_dicom.domain.expression import Gene
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.encode.annotations import MAX_ITEMS, encode_annotations, quintiles
from vst_dicom.encode.writing import write_dicom


@pytest.fixture
def groups(tmp_path, make_source):
    def read(result, source=None, genes=None):
        path = tmp_path / "annotations.dcm"
        write_dicom(encode_annotations(source or make_source(), result, genes), path)
        return hd.ann.annread(path).get_annotation_groups()

    return read


def test_tiles_are_rectangles_in_millimeters_around_their_pixels(groups, make_source, make_result):
    source = make_source(
        spacing=PixelSpacing(0.0005, 0.0004), origin_mm=(10.0, 20.0, 0.0), orientation=(1, 0, 0, 0, 1, 0)
    )
    result = make_result(values=np.array([[1.0]]), size=MatrixSize(1, 1), genes=(Gene("A"),), with_hotspots=False)

    (group,) = groups(result, source)

    corners = group.get_graphic_data("3D")[0]
    left, top = 10.0 - 0.5 * 0.0004, 20.0 - 0.5 * 0.0005
    right, bottom = left + 103 * 0.0004, top + 101 * 0.0005
    expected = [[left, top, 0], [right, top, 0], [right, bottom, 0], [left, bottom, 0]]
    assert corners == pytest.approx(np.array(expected), abs=1e-12)


def test_every_tile_carries_its_value_exactly(groups, make_result):
    result = make_result(with_hotspots=False)
    found = {}
    for group in groups(result, genes=["ESR1"]):
        names, values, _ = group.get_measurements()
        assert names[0].meaning == "Predicted ESR1 mRNA expression"
        for corners, value in zip(group.get_graphic_data("3D"), values[:, 0], strict=True):
            found[tuple(corners[0])] = value

    assert sorted(found.values()) == sorted(result.expression.values[:, 1].tolist())
    assert len(found) == 18


def test_no_group_is_larger_than_viewers_draw(groups, make_result):
    result = make_result(size=MatrixSize(150, 150), genes=(Gene("A"),), with_hotspots=False)

    sizes = [group.NumberOfAnnotations for group in groups(result)]

    assert max(sizes) <= MAX_ITEMS
    assert sum(sizes) == len(result.grid) == 11250


def test_the_genes_with_the_best_evidence_come_first(groups, make_result):
    labels = [group.label for group in groups(make_result())]

    assert labels[0].startswith("ERBB2 quintile 1")
    assert labels[5].startswith("ESR1 quintile 1")
    assert labels[-1] == "High predicted ERBB2 expression"


def test_an_unknown_gene_is_refused(make_source, make_result):
    with pytest.raises(UsageError, match="KRT5"):
        encode_annotations(make_source(), make_result(), ["KRT5"])


def test_hotspots_are_polygons_with_area_mean_and_gi_star(groups, make_result):
    result = make_result()
    second = dataclasses.replace(
        result.hotspots[0],
        number=2,
        area_mm2=0.5,
        mean=1.25,
        outlines_px=(np.array([[0, 0], [10, 0], [10, 20], [5, 25], [0, 20]], dtype=float),),
    )

    group = groups(dataclasses.replace(result, hotspots=(*result.hotspots, second)))[-1]

    assert [len(outline) for outline in group.get_graphic_data("3D")] == [4, 5]
    _, values, units = group.get_measurements()
    assert values[1] == pytest.approx([0.5, 1.25, 7.5])
    assert [unit.value for unit in units] == ["mm2", "1", "1"]


def test_groups_have_numbers_from_1_and_unique_identifiers(groups, make_result):
    found = groups(make_result())

    assert [group.number for group in found] == list(range(1, len(found) + 1))
    assert len({group.uid for group in found}) == len(found)


def test_colors_grow_lighter_with_expression(groups, make_result):
    lightness = [group.RecommendedDisplayCIELabValue[0] for group in groups(make_result(), genes=["ERBB2"])[:5]]

    assert lightness == sorted(lightness)


@given(hnp.arrays(np.float32, st.integers(1, 200), elements=st.floats(-5, 5, width=32)))
def test_quintiles_hold_every_tile_once_and_rise(values):
    parts = quintiles(values)

    assert sorted(np.concatenate(parts).tolist()) == list(range(len(values)))
    filled = [values[part] for part in parts if len(part)]
    assert all(low.max() < high.min() for low, high in pairwise(filled))


def test_a_constant_map_is_one_group(groups, make_result):
    result = make_result(values=np.full((18, 1), 0.5), genes=(Gene("A"),), with_hotspots=False)

    assert [group.NumberOfAnnotations for group in groups(result)] == [18]


def test_tiles_carry_the_half_width_of_their_interval_where_there_is_one(groups, make_result):
    result = make_result(everything=True)

    found = [group.get_measurements() for group in groups(result, genes=["ERBB2"])[:5]]

    assert {tuple(name.meaning for name in names) for names, _, _ in found} == {
        ("Predicted ERBB2 mRNA expression", "Half width of the interval of predicted expression")
    }
    stated = np.concatenate([values for _, values, _ in found])
    expected = np.column_stack([result.expression.values[:, 0], result.half_width[:, 0]])
    assert (stated[stated[:, 0].argsort()] == expected[expected[:, 0].argsort()]).all()
