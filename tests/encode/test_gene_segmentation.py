import dataclasses

import highdicom as hd
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vst_dicom.domain.errors import EncodingError, UsageError
from vst_dicom.domain.expression import ExpressionTable
from vst_dicom.domain.forms import Encoding
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.encode.gene_segmentation import gene_segmentation_objects, scale_for_display
from vst_dicom.encode.segmentation import encode_segmentation, segmentation_objects
from vst_dicom.encode.writing import write_dicom


@pytest.fixture
def written(tmp_path, make_source):
    """Write the fractional segmentation of a result; answers its path and its object."""

    def write(result, *genes):
        (made,) = gene_segmentation_objects(make_source(), result, Encoding(colored_genes=genes or None))
        path = tmp_path / made.file_name
        write_dicom(made.encode(), path)
        return path, made

    return write


def test_the_least_value_of_a_slide_is_1_the_greatest_255_and_glass_0(make_result) -> None:
    values = np.array([[-2, 0], [0, 0], [2, 4]])
    scaled = scale_for_display(make_result(values, MatrixSize(2, 3), genes=make_result().expression.genes[:2]), [0])

    assert scaled.tolist() == [[[1, 0, 128], [0, 255, 0]]]


def test_a_gene_that_is_the_same_everywhere_is_drawn_half(make_result) -> None:
    assert np.unique(scale_for_display(make_result(np.ones((18, 3))), [0])).tolist() == [0, 128]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hnp.arrays(np.float32, 18, elements=st.floats(-1e6, 1e6, width=32)))
def test_scaling_keeps_the_order_of_tiles_and_never_takes_tissue_for_glass(make_result, values) -> None:
    result = make_result(np.repeat(values[:, None], 3, axis=1), with_hotspots=False)
    (scaled,) = scale_for_display(result, [0])
    tissue = scaled[result.grid.mask]

    assert (np.diff(tissue[np.argsort(values, kind="stable")].astype(int)) >= 0).all()
    assert tissue.min() >= 1
    assert not scaled[~result.grid.mask].any()
    if values.min() < values.max():
        assert (tissue.min(), tissue.max()) == (1, 255)


def test_each_colored_gene_is_a_segment_that_names_it_and_its_scale(written, make_result) -> None:
    result = make_result(np.linspace(0.5, 2.25, 18)[:, None] * [1, 1, 1])
    dataset = pydicom.dcmread(written(result, "ESR1", "LOC1")[0])

    assert (dataset.SegmentationType, dataset.SegmentationFractionalType) == ("FRACTIONAL", "OCCUPANCY")
    assert (dataset.MaximumFractionalValue, dataset.BitsAllocated, dataset.NumberOfFrames) == (255, 8, 2)
    assert dataset.SeriesDescription == "Predicted gene expression for display, Research Use Only"
    first, second = dataset.SegmentSequence
    assert (first.SegmentLabel, second.SegmentLabel) == ("Predicted ESR1 expression", "Predicted LOC1 expression")
    kind = first.SegmentedPropertyTypeCodeSequence[0]
    assert kind.CodeMeaning == "Predicted ESR1 mRNA expression"
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == "HGNC:3467"
    for words in ("1 is 0.5, 255 is 2.25 ln(1+CP10k)", "0 is glass", "For display", "no probability", "not measured"):
        assert words in first.SegmentDescription
    assert "For Research Use Only. Not for use in diagnostic procedures." in first.SegmentDescription
    assert first.RecommendedDisplayCIELabValue != second.RecommendedDisplayCIELabValue


def test_no_segment_of_a_result_shares_its_tracking_uid(written, make_source, make_result) -> None:
    result = make_result()
    segments = [
        *pydicom.dcmread(written(result)[0]).SegmentSequence,
        *encode_segmentation(make_source(), result).SegmentSequence,
    ]

    assert len({segment.TrackingUID for segment in segments}) == len(segments) == 5


def test_highdicom_reads_the_same_fractions(written, make_result) -> None:
    result = make_result()
    segmentation = hd.seg.segread(written(result)[0])

    fractions = segmentation.get_total_pixel_matrix(combine_segments=False)
    expected = scale_for_display(result, [0, 1, 2]) / 255
    np.testing.assert_allclose(fractions, expected.transpose(1, 2, 0), rtol=1e-6)


def test_other_values_and_other_genes_are_found(written, make_source, make_result) -> None:
    result = make_result()
    path, _ = written(result, "ERBB2")
    values = result.expression.values.copy()
    values[7, 0] += 0.1
    other = dataclasses.replace(result, expression=ExpressionTable(result.expression.genes, values))

    def check(result, gene) -> None:
        (made,) = gene_segmentation_objects(make_source(), result, Encoding(colored_genes=(gene,)))
        made.check(pydicom.dcmread(path))

    check(result, "ERBB2")
    with pytest.raises(EncodingError, match="other values"):
        check(other, "ERBB2")
    with pytest.raises(EncodingError, match="other genes"):
        check(result, "ESR1")


def test_genes_are_colored_unless_none_is_shown_or_nobody_wants_it(make_source, make_result) -> None:
    def names(result, **encoding) -> list[str]:
        return [made.kind.name for made in segmentation_objects(make_source(), result, Encoding(**encoding))]

    without = dataclasses.replace(
        make_result(with_hotspots=False), expression=ExpressionTable((), np.empty((18, 0), np.float32))
    )
    assert names(make_result()) == ["segmentation", "gene-segmentation"]
    assert names(make_result(), fractional_segments=False) == ["segmentation"]
    assert names(without, colored_genes=("ERBB2",)) == ["segmentation"]
    with pytest.raises(UsageError, match="TP53"):
        names(make_result(), colored_genes=("TP53",))
