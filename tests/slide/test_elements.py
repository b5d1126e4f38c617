import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from vst_dicom.domain.errors import DamagedInstanceError
from vst_dicom.slide.elements import Element, walk_elements, walk_items
from vst_dicom.slide.frame_places import read_frame_places


def write(dataset: Dataset, *, implicit: bool) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = implicit, True
    write_dataset(buffer, dataset)
    return bytes(buffer.getvalue())


def groups(places: list[tuple[int, int]], *, undefined: bool) -> Dataset:
    items = []
    for row, column in places:
        position, item = Dataset(), Dataset()
        position.RowPositionInTotalImagePixelMatrix = row
        position.ColumnPositionInTotalImagePixelMatrix = column
        position.ZOffsetInSlideCoordinateSystem = "1.5"
        item.PlanePositionSlideSequence = Sequence([position])
        item.PlanePositionSlideSequence.is_undefined_length = undefined
        position.is_undefined_length_sequence_item = undefined
        item.is_undefined_length_sequence_item = undefined
        items.append(item)
    dataset = Dataset()
    dataset.PerFrameFunctionalGroupsSequence = Sequence(items)
    dataset["PerFrameFunctionalGroupsSequence"].is_undefined_length = undefined
    return dataset


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("undefined", [False, True])
@given(places=st.lists(st.tuples(st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1)), min_size=1, max_size=20))
def test_places_come_back_as_written(implicit: bool, undefined: bool, places: list[tuple[int, int]]) -> None:
    data = write(groups(places, undefined=undefined), implicit=implicit)

    (sequence,) = walk_elements(data, 0, len(data), implicit=implicit)
    found = read_frame_places(data, sequence, implicit=implicit)

    assert found.corners_px is not None
    assert [(row + 1, column + 1) for row, column in found.corners_px.tolist()] == places
    assert found.z_um.tolist() == [1.5] * len(places)
    assert found.optical_paths == ("",) * len(places)
    assert found.pixel_spacing is None


def test_an_element_beyond_its_parent_is_damaged() -> None:
    data = b"\x48\x00\x06\x00UL\x10\x00\x01\x02\x03\x04"

    with pytest.raises(DamagedInstanceError, match=r"\(0048,0006\) reaches 12 bytes beyond the end"):
        list(walk_elements(data, 0, len(data), implicit=False))


def test_an_item_beyond_its_sequence_is_damaged() -> None:
    data = b"\xfe\xff\x00\xe0\xff\x00\x00\x00"

    with pytest.raises(DamagedInstanceError):
        list(walk_items(data, Element(0, 0, len(data), undefined=False), implicit=True))


def test_endless_nesting_is_damaged_not_a_crash() -> None:
    opening = b"\x48\x00\x1a\x02SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    data = opening * 20_000

    with pytest.raises(DamagedInstanceError, match="nested"):
        list(walk_elements(data, 0, len(data), implicit=False))


@given(data=st.binary(max_size=200), implicit=st.booleans())
def test_any_bytes_end_in_elements_or_in_our_error(data: bytes, implicit: bool) -> None:
    try:
        for element in walk_elements(data, 0, len(data), implicit=implicit):
            assert 0 <= element.start <= element.stop <= len(data)
    except DamagedInstanceError:
        pass
