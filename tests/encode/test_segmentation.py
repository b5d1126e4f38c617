import dataclasses

import highdicom as hd
import numpy as np
import pydicom
import pytest

from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.encode.segmentation import encode_segmentation
from vst_dicom.encode.writing import write_dicom


@pytest.fixture
def written(tmp_path, make_source, make_result):
    def write(result=None):
        path = tmp_path / "segmentation.dcm"
        write_dicom(encode_segmentation(make_source(), result or make_result()), path)
        return path

    return write


@pytest.mark.parametrize("n_columns", [1, 7, 8, 9, 46, 48])
def test_frames_are_a_multiple_of_8_wide_and_empty_beyond_the_slide(written, make_result, n_columns):
    result = make_result(size=MatrixSize(3, n_columns))
    dataset = pydicom.dcmread(written(result))

    assert dataset.Columns % 8 == 0
    assert dataset.TotalPixelMatrixColumns == n_columns
    frames = dataset.pixel_array
    assert not frames[:, :, n_columns:].any()
    assert (frames[0, :, :n_columns] == result.grid.mask).all()


def test_first_tissue_then_one_segment_per_gene_with_hotspots(written, make_result):
    result = make_result()
    again = dataclasses.replace(result.hotspots[0], number=2, tiles=np.array([5]))
    other = dataclasses.replace(result.hotspots[0], number=3, gene=result.expression.genes[1], tiles=np.array([5]))
    dataset = pydicom.dcmread(written(dataclasses.replace(result, hotspots=(*result.hotspots, again, other))))

    assert [segment.SegmentLabel for segment in dataset.SegmentSequence] == [
        "Tissue",
        "High predicted ERBB2 expression",
        "High predicted ESR1 expression",
    ]
    assert [int(frame.sum()) for frame in dataset.pixel_array] == [18, 2, 1]
    assert dataset.SegmentsOverlap == "YES"


def test_the_property_type_names_the_gene_for_people_and_machines(written):
    segment = pydicom.dcmread(written()).SegmentSequence[1]

    kind = segment.SegmentedPropertyTypeCodeSequence[0]
    assert kind.CodeMeaning == "High predicted ERBB2 expression"
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == "HGNC:3430"
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "309825002"


def test_tracking_uids_are_unique_and_stay_the_same(written):
    first, second = pydicom.dcmread(written()), pydicom.dcmread(written())

    uids = [segment.TrackingUID for segment in first.SegmentSequence]
    assert len(set(uids)) == len(uids)
    assert uids == [segment.TrackingUID for segment in second.SegmentSequence]


def test_highdicom_reads_the_same_masks(written, make_result):
    result = make_result()
    segmentation = hd.seg.segread(written(result))

    masks = segmentation.get_total_pixel_matrix(combine_segments=False)
    assert masks.shape == (5, 7, 2)
    assert (masks[:, :, 0].astype(bool) == result.grid.mask).all()
    assert np.argwhere(masks[:, :, 1]).tolist() == [[0, 0]]


def test_a_result_without_hotspots_still_shows_tissue(written, make_result):
    dataset = pydicom.dcmread(written(make_result(with_hotspots=False)))

    assert len(dataset.SegmentSequence) == dataset.NumberOfFrames == 1


def test_tissue_classes_that_occur_are_segments_of_their_own(written, make_result):
    tissue_class = np.zeros(18, np.int8)
    tissue_class[:5] = 3
    dataset = pydicom.dcmread(written(dataclasses.replace(make_result(), tissue_class=tissue_class)))

    labels = [segment.SegmentLabel for segment in dataset.SegmentSequence]
    assert labels == ["Tissue", "Tumor-like epithelium", "Fat", "High predicted ERBB2 expression"]
    assert [int(frame.sum()) for frame in dataset.pixel_array] == [18, 13, 5, 1]
    kind = dataset.SegmentSequence[2].SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("vst-0210.4", "99VST")


def test_masked_tissue_is_tissue_still(written, make_result):
    result = dataclasses.replace(make_result(), masked_cells=np.array([[0, 1]], np.int32))
    dataset = pydicom.dcmread(written(result))

    assert [int(frame.sum()) for frame in dataset.pixel_array] == [19, 1]
