import dataclasses

import highdicom as hd
import numpy as np
import pydicom
import pytest

from vst_dicom.domain.errors import EncodingError
from vst_dicom.domain.forms import Encoding
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.encode.label_map import encode_label_map, label_map_objects, label_tissue
from vst_dicom.encode.segmentation import segmentation_objects
from vst_dicom.encode.writing import write_dicom


@pytest.fixture
def classified(make_result):
    """Make three tiles on a grid of 2 x 3, the last two of classes 0 and 3, and one masked tile."""
    result = make_result(np.zeros((3, 3)), MatrixSize(2, 3))
    return dataclasses.replace(
        result, tissue_class=np.array([3, 0, 3], np.int8), masked_cells=np.array([[1, 2]], np.int32)
    )


def test_a_number_means_the_same_class_on_every_slide(classified) -> None:
    assert label_tissue(classified).tolist() == [[5, 0, 2], [0, 5, 1]]


def test_tissue_is_labeled_as_such_where_classes_are_not_known(make_source, make_result) -> None:
    dataset = encode_label_map(make_source(), make_result())

    assert [(int(s.SegmentNumber), s.SegmentLabel) for s in dataset.SegmentSequence] == [(1, "Tissue")]
    assert (label_tissue(make_result()) == make_result().grid.mask).all()


def test_only_segments_that_occur_are_described(tmp_path, make_source, classified) -> None:
    path = tmp_path / "label-map.dcm"
    write_dicom(encode_label_map(make_source(), classified), path)
    dataset = pydicom.dcmread(path)

    assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.7"
    assert (dataset.SegmentationType, dataset.SegmentsOverlap, dataset.PixelPaddingValue) == ("LABELMAP", "NO", 0)
    assert (dataset.BitsAllocated, dataset.NumberOfFrames) == (8, 1)
    assert {int(s.SegmentNumber): s.SegmentLabel for s in dataset.SegmentSequence} == {
        1: "Tissue, not classified",
        2: "Tumor-like epithelium",
        5: "Fat",
    }
    (groups,) = dataset.PerFrameFunctionalGroupsSequence
    assert "SegmentIdentificationSequence" not in groups
    assert groups.FrameContentSequence[0].DimensionIndexValues == [1, 1]
    pointers = [int(index.DimensionIndexPointer) for index in dataset.DimensionIndexSequence]
    assert pointers == [0x0048021F, 0x0048021E]


def test_highdicom_reads_the_same_labels(tmp_path, make_source, classified) -> None:
    path = tmp_path / "label-map.dcm"
    write_dicom(encode_label_map(make_source(), classified), path)
    segmentation = hd.seg.segread(path)

    labels = segmentation.get_total_pixel_matrix(combine_segments=True)
    assert labels.tolist() == [[5, 0, 2], [0, 5, 1]]
    assert list(segmentation.segment_numbers) == [1, 2, 5]


def test_other_classes_are_found(tmp_path, make_source, classified) -> None:
    (made,) = label_map_objects(make_source(), classified)
    write_dicom(made.encode(), tmp_path / made.file_name)
    dataset = pydicom.dcmread(tmp_path / made.file_name)
    made.check(dataset)
    other = dataclasses.replace(classified, tissue_class=np.array([3, 0, 1], np.int8))

    with pytest.raises(EncodingError, match="otherwise"):
        label_map_objects(make_source(), other)[0].check(dataset)


def test_a_label_map_is_written_only_where_it_is_asked_for(make_source, make_result) -> None:
    objects = segmentation_objects(make_source(), make_result(), Encoding(label_map=True, fractional_segments=False))

    assert [made.kind.name for made in objects] == ["segmentation", "label-map"]
