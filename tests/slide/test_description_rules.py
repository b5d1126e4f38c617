from dataclasses import replace

import pytest

from vst_dicom.domain.errors import UsageError
from vst_dicom.slide.description import SlideDescription
from vst_dicom.slide.description_rules import check_description


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("patient_sex", "female"),
        ("accession_number", "12345678901234567"),
        ("patient_id", "x" * 65),
        ("patient_id", "a\\b"),
        ("patient_name", "Doe\nJane"),
        ("patient_name", "A^B^C^D^E^F"),
        ("study_instance_uid", "1.2.03"),
        ("study_instance_uid", "1." + "2" * 63),
        ("study_instance_uid", "abc"),
        ("anatomy", ("76752008", "")),
        ("anatomy", ("", "Breast")),
        ("manufacturer", ""),
        ("software_versions", ()),
    ],
)
def test_value_that_dicom_cannot_hold_is_refused(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=name.replace("_", " ")):
        check_description(replace(SlideDescription(), **{name: value}))


def test_refusal_never_repeats_what_the_patient_is_called() -> None:
    with pytest.raises(UsageError) as caught:
        check_description(SlideDescription(patient_name="Doe\\Jane", patient_id="SECRET"))

    assert "Doe" not in str(caught.value)


def test_ordinary_description_passes() -> None:
    check_description(
        SlideDescription(
            patient_id="123",
            patient_name="Müller^Änne=ミュラー",
            patient_sex="O",
            study_instance_uid="1.2.840.10008.0",
            anatomy=("76752008", "Breast"),
        )
    )
