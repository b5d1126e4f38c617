import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from vst_dicom.dicom.attributes import read_int, read_items, read_numbers, read_text, read_uid
from vst_dicom.domain.errors import DamagedInstanceError


def test_missing_attributes_are_empty() -> None:
    header = Dataset()

    assert read_text(header, "Manufacturer") == ""
    assert read_uid(header, "SOPInstanceUID") == ""
    assert read_int(header, "Rows") is None
    assert read_numbers(header, "PixelSpacing", 2) is None
    assert read_items(header, "OpticalPathSequence") == ()


def test_empty_attributes_count_as_missing() -> None:
    header = Dataset()
    header.Manufacturer, header.NumberOfFrames, header.PixelSpacing = "", None, None
    header.OpticalPathSequence = Sequence()

    assert read_text(header, "Manufacturer") == ""
    assert read_int(header, "NumberOfFrames") is None
    assert read_numbers(header, "PixelSpacing", 2) is None
    assert read_items(header, "OpticalPathSequence") == ()


def test_values_are_read_with_their_type() -> None:
    header = Dataset()
    header.ImageType, header.NumberOfFrames = ["ORIGINAL", "PRIMARY", "VOLUME"], "12"
    header.PixelSpacing = ["0.0005", "0.00025"]

    assert read_text(header, "ImageType") == "ORIGINAL\\PRIMARY\\VOLUME"
    assert read_int(header, "NumberOfFrames") == 12
    assert read_numbers(header, "PixelSpacing", 2) == (0.0005, 0.00025)


def test_a_wrong_count_of_numbers_names_the_attribute() -> None:
    header = Dataset()
    header.PixelSpacing = ["0.0005"]

    with pytest.raises(DamagedInstanceError, match=r"PixelSpacing \(0028,0030\) has 1 values instead of 2"):
        read_numbers(header, "PixelSpacing", 2)


@pytest.mark.parametrize("text", ["../../evil", "1.2.abc", "1..2", "9" * 65, "1.2/3"])
def test_what_is_no_uid_is_refused_and_not_repeated(text: str) -> None:
    header = Dataset()
    header.add_new("SOPInstanceUID", "UI", "1.2")
    header["SOPInstanceUID"]._value = text

    with pytest.raises(DamagedInstanceError) as caught:
        read_uid(header, "SOPInstanceUID")
    assert text not in str(caught.value)
