import io

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_sequence_item

from vst_dicom.dicom.array_pixels import ArrayPixels
from vst_dicom.dicom.codes import Code, content_item
from vst_dicom.dicom.encoded import (
    add_encoded_sequence,
    encode_code,
    encode_content_item,
    encode_item,
    encode_numbers,
    encode_sequence,
    encode_text,
)

LONG = Code("a-code-value-of-more-than-sixteen-characters", "99VST", "A meaning of uneven length")
SHORT = Code("1", "UCUM", "no units")


def by_pydicom(item: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_sequence_item(buffer, item, ["iso8859"])
    return buffer.getvalue()


@pytest.mark.parametrize("code", [LONG, SHORT])
def test_codes_are_encoded_as_pydicom_does(code):
    assert encode_code(code) == by_pydicom(code.to_item())
    assert encode_content_item(SHORT, code) == by_pydicom(content_item(SHORT, code))


def test_numbers_text_and_sequences_are_encoded_as_pydicom_does():
    inner, item = Dataset(), Dataset()
    inner.DimensionIndexValues = [3, 1, 1]
    inner.RowPositionInTotalImagePixelMatrix = -7
    item.FrameContentSequence = [inner]
    item.LUTLabel = "ERBB2"
    item.RealWorldValueSlope = 0.1
    item.add_new(0x00409216, "US", 65535)

    encoded = encode_item(
        encode_sequence(
            "FrameContentSequence",
            encode_item(
                encode_numbers("RowPositionInTotalImagePixelMatrix", -7),
                encode_numbers("DimensionIndexValues", 3, 1, 1),
            ),
        ),
        encode_numbers("RealWorldValueSlope", 0.1),
        encode_text("LUTLabel", "ERBB2"),
        encode_numbers("RealWorldValueFirstValueMapped", 65535),
    )

    assert encoded == by_pydicom(item)


@pytest.mark.parametrize("character_set", [None, "ISO_IR 192", ["ISO 2022 IR 100", "ISO 2022 IR 87"]])
def test_an_encoded_sequence_is_written_as_it_is_beside_text_of_any_character_set(character_set):
    dataset = Dataset()
    if character_set:
        dataset.SpecificCharacterSet = character_set
        dataset.PatientName = "Müller^Änne"
    add_encoded_sequence(dataset, "MeasurementUnitsCodeSequence", encode_code(SHORT))
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True

    write_dataset(buffer, dataset)

    written = buffer.getvalue()
    assert encode_code(SHORT) in written
    read = pydicom.dcmread(io.BytesIO(written), force=True)
    assert read.MeasurementUnitsCodeSequence[0].CodeMeaning == "no units"
    assert dataset.MeasurementUnitsCodeSequence[0].CodeMeaning == "no units"
    if character_set:
        assert read.PatientName == "Müller^Änne"


def test_pixels_are_read_from_the_array():
    pixels = ArrayPixels(np.arange(6, dtype="<u2").reshape(2, 3))

    assert pixels.read(3) == b"\0\0\1"
    assert pixels.tell() == 3
    assert pixels.seek(-2, io.SEEK_END) == 10
    assert pixels.read() == b"\5\0"
    assert pixels.read(1) == b""
    assert pixels.seek(0) == 0
    assert len(pixels.read()) == 12
