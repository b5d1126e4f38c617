import dataclasses

import pydicom
import pytest

from tests.encode.maps import encode_expression
from vst_dicom.encode.annotations import encode_annotations
from vst_dicom.encode.provenance import PARAMETRIC_MAP, plain, start_object
from vst_dicom.encode.report import encode_report
from vst_dicom.encode.segmentation import encode_segmentation
from vst_dicom.encode.writing import write_dicom

ENCODERS = [encode_expression, encode_segmentation, encode_annotations, encode_report]


@pytest.mark.parametrize("encode", ENCODERS)
def test_patient_study_and_container_are_those_of_the_slide(tmp_path, make_source, make_result, encode):
    path = tmp_path / "result.dcm"
    source = make_source()
    write_dicom(encode(source, make_result()), path)

    dataset = pydicom.dcmread(path)

    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "StudyDescription"):
        assert dataset[keyword].value == source.header[keyword].value
    assert str(dataset.PatientName) == "Müller^Änne"
    assert dataset.ContainerIdentifier == "S26-1-A-1"
    assert dataset.SpecimenDescriptionSequence[0].SpecimenUID == "2.25.1001"


@pytest.mark.parametrize("character_set", ["ISO_IR 100", ["", "ISO 2022 IR 87"], "GB18030"])
def test_names_keep_their_characters(tmp_path, make_source, make_result, character_set):
    name = {"ISO_IR 100": "Müller^Änne", "GB18030": "王^小东"}.get(str(character_set), "Yamada^Tarou=山田^太郎")
    source = make_source()
    source.header.SpecificCharacterSet, source.header.PatientName = character_set, name
    path = tmp_path / "result.dcm"
    write_dicom(encode_segmentation(source, make_result()), path)

    assert str(pydicom.dcmread(path).PatientName) == name


@pytest.mark.parametrize("encode", ENCODERS)
def test_a_slide_that_says_little_gives_results_that_say_no_more(tmp_path, silent_source, make_result, encode):
    path = tmp_path / "result.dcm"
    write_dicom(encode(silent_source, make_result()), path)

    dataset = pydicom.dcmread(path)

    assert dataset.PatientID in (None, "")
    assert "ContainerIdentifier" not in dataset
    assert len(dataset.ContributingEquipmentSequence) == 1


def test_scanner_and_model_both_contributed(make_source, make_result):
    scanner, model = start_object(make_source(), make_result(), PARAMETRIC_MAP).ContributingEquipmentSequence

    assert scanner.PurposeOfReferenceCodeSequence[0].CodeValue == "109101"
    assert scanner.ManufacturerModelName == "One"
    assert model.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    assert model.ManufacturerModelName == "her2st-lite"
    assert "For Research Use Only" in model.ContributionDescription


def test_other_weights_are_another_device_and_another_object(make_source, make_result):
    result = make_result()
    bundle = dataclasses.replace(result.bundle, sha256="cd" * 32)
    other = dataclasses.replace(result, bundle=bundle, key="l" * 64)

    first = start_object(make_source(), result, PARAMETRIC_MAP)
    second = start_object(make_source(), other, PARAMETRIC_MAP)

    assert first.ContributingEquipmentSequence[1].DeviceUID != second.ContributingEquipmentSequence[1].DeviceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID


def test_one_glass_in_two_studies_gets_two_results(make_source, make_result):
    elsewhere = make_source()
    elsewhere.header.StudyInstanceUID = "2.25.99"

    first = start_object(make_source(), make_result(), PARAMETRIC_MAP)
    second = start_object(elsewhere, make_result(), PARAMETRIC_MAP)

    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID


def test_times_follow_the_slide_s_offset_from_utc(make_source, make_result):
    source = make_source()
    source.header.TimezoneOffsetFromUTC = "-0500"

    dataset = start_object(source, make_result(), PARAMETRIC_MAP)

    assert (dataset.ContentDate, dataset.ContentTime) == ("20260101", "220405")
    assert dataset.TimezoneOffsetFromUTC == "-0500"


def test_lossy_compression_of_the_slide_is_not_forgotten(make_source, make_result):
    source = make_source()
    source.header.LossyImageCompression, source.header.LossyImageCompressionRatio = "01", 12.5
    source.header.LossyImageCompressionMethod = "ISO_10918_1"

    dataset = encode_expression(source, make_result())

    assert dataset.LossyImageCompression == "01"
    assert dataset.LossyImageCompressionRatio == 12.5


def test_all_parts_of_a_concatenation_are_referred_to(make_source, make_result):
    first, second = make_source(), make_source()
    second.header.SOPInstanceUID = "2.25.77"
    source = dataclasses.replace(first, instances=(first.header, second.header))

    dataset = encode_expression(source, make_result())

    (series,) = dataset.ReferencedSeriesSequence
    assert [item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence] == ["2.25.11", "2.25.77"]
    assert len(dataset.SourceImageSequence) == 2


def test_the_source_header_is_left_as_it_was(make_source, make_result):
    source = make_source()
    before = source.header.to_json()
    for encode in ENCODERS:
        encode(source, make_result())

    assert source.header.to_json() == before


def test_plain_text_has_no_backslash_and_fits():
    assert plain("0.5 µm × 2\\3 ²") == "0.5 um x 2/3 2"
    assert len(plain("x" * 100)) == 64
