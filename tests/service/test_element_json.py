"""What is written straight from bytes is what pydicom makes of the same elements."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from tests.wsi_builder import IMPLICIT, NATIVE, Wsi, paint, write_wsi
from vst_dicom.service.dicom_json import encode_metadata
from vst_dicom.service.element_json import ElementEncoder
from vst_dicom.service.part10 import Part10File

TEXT = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=10)
REAL = st.floats(allow_nan=False, allow_infinity=False, width=32)


def encode(dataset: Dataset, *, implicit: bool) -> dict[str, Any]:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = implicit, True
    write_dataset(buffer, dataset)
    view = memoryview(buffer.getvalue())
    members = ElementEncoder(view, ["utf8"]).members(0, len(view), "U", implicit=implicit)
    encoded: dict[str, Any] = json.loads(f"{{{','.join(members)}}}")
    return encoded


@st.composite
def items(draw: st.DrawFn) -> Dataset:
    """Attributes of every representation that functional groups have, some empty."""
    item = Dataset()
    item.DimensionIndexValues = draw(st.lists(st.integers(0, 2**32 - 1), max_size=4))
    item.RowPositionInTotalImagePixelMatrix = draw(st.integers(-(2**31), 2**31 - 1))
    item.XOffsetInSlideCoordinateSystem = draw(st.sampled_from(["1", "-2.5", "1e-3", "", "20.123456789"]))
    item.RealWorldValueSlope = draw(REAL)
    item.PixelSpacing = ["0.5", "0.25"]
    item.OpticalPathIdentifier = draw(TEXT)
    item.FrameType = draw(st.lists(TEXT.map(str.upper), max_size=3))
    item.LUTLabel = draw(st.sampled_from(["", "Ä", "ERBB2"]))
    item.FrameAcquisitionDateTime = draw(st.sampled_from(["", "20260102030405"]))
    item.InstanceNumber = draw(st.sampled_from([None, 7]))
    item.DimensionIndexPointer = 0x0048021E
    item.SOPInstanceUID = "1.2.3"
    item.PatientName = draw(st.sampled_from(["", "Müller^Änne"]))
    return item


@settings(max_examples=50, deadline=None)
@given(st.lists(items(), min_size=1, max_size=3), st.booleans(), st.booleans())
def test_items_are_what_pydicom_makes_of_them(found: list[Dataset], implicit: bool, undefined: bool) -> None:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PerFrameFunctionalGroupsSequence = found
    dataset["PerFrameFunctionalGroupsSequence"].is_undefined_length = undefined

    assert encode(dataset, implicit=implicit) == json.loads(dataset.to_json())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_does_not_have_are_text(value: float) -> None:
    dataset = Dataset()
    dataset.RealWorldValueSlope = value

    assert encode(dataset, implicit=False)["00409225"]["Value"] in (["NaN"], ["inf"], ["-inf"])


def test_a_broken_value_is_left_out_and_the_others_stay() -> None:
    encoded = (
        b"\x08\x00\x07\x90CS\x02\x00A " + b"\x40\x00\x25\x92FD\x04\x001234" + b"\x40\x00\x26\x92US\x02\x00\x07\x00"
    )

    members = ElementEncoder(memoryview(encoded), ["utf8"]).members(0, len(encoded), "U", implicit=False)

    assert members == ['"00089007":{"vr":"CS","Value":["A"]}', '"00409226":{"vr":"US","Value":[7]}']


@pytest.mark.parametrize("transfer_syntax", [NATIVE, IMPLICIT])
def test_the_places_of_a_sparse_level_come_back(tmp_path: Path, transfer_syntax: str) -> None:
    path = write_wsi(tmp_path / "a.dcm", Wsi([paint(64, 96)], sparse=True, transfer_syntax=transfer_syntax))

    dataset = Dataset.from_json(encode_metadata(Part10File(path), "U"), lambda *_: b"")

    stored = dcmread(path)
    assert len(stored.PerFrameFunctionalGroupsSequence) == 6
    assert dataset.PerFrameFunctionalGroupsSequence == stored.PerFrameFunctionalGroupsSequence
