import pytest
from pydicom.dataset import Dataset

from tests.study.headers import SEGMENTATION, VL_WHOLE_SLIDE, painted, slide_header
from vst_dicom.study.facts import InstanceFacts, read_facts
from vst_dicom.study.loop_guard import describe_other, is_whole_slide, recognise_own

OWN = frozenset({"2.25.7"})


def test_a_slide_of_a_scanner_is_not_our_own() -> None:
    assert recognise_own(InstanceFacts(device_uids=frozenset({"1.9"})), OWN, in_ledger=False) == ""


def test_a_device_uid_of_ours_shows_a_result() -> None:
    assert "Device UID" in recognise_own(InstanceFacts(device_uids=frozenset({"1.9", "2.25.7"})), OWN, in_ledger=False)


def test_an_image_of_predictions_is_a_result_whichever_model_made_it() -> None:
    facts = read_facts(painted(slide_header("1.1")))

    assert facts.is_volume
    assert "this product processed it" in recognise_own(facts, OWN, in_ledger=False)
    assert recognise_own(InstanceFacts.from_json(facts.to_json()), OWN, in_ledger=False) != ""


@pytest.mark.parametrize(
    "header",
    [
        slide_header("1.1", Manufacturer="vst_dicom"),
        painted(slide_header("1.1"), manufacturer="Scanner Works"),
        painted(slide_header("1.1"), purpose="109101"),
    ],
    ids=["converted or simulated by this product", "processed by another", "scanned"],
)
def test_what_shows_no_predictions_is_a_slide(header: Dataset) -> None:
    assert recognise_own(read_facts(header), OWN, in_ledger=False) == ""


def test_facts_that_were_stored_before_predictions_were_known_are_read() -> None:
    stored = {name: value for name, value in InstanceFacts().to_json().items() if name != "shows_predictions"}

    assert not InstanceFacts.from_json(stored).shows_predictions


def test_a_known_uid_shows_a_result() -> None:
    assert "stored result" in recognise_own(InstanceFacts(), OWN, in_ledger=True)


@pytest.mark.parametrize(
    "sop_class_uid",
    [
        "1.2.840.10008.5.1.4.1.1.30",
        SEGMENTATION,
        "1.2.840.10008.5.1.4.1.1.91.1",
        "1.2.840.10008.5.1.4.1.1.88.33",
        "1.2.840.10008.5.1.4.1.1.88.34",
    ],
)
def test_objects_that_hold_results_are_never_slides(sop_class_uid: str) -> None:
    assert not is_whole_slide(sop_class_uid)
    assert "hold results and are never processed" in describe_other(sop_class_uid)


def test_other_objects_are_named() -> None:
    assert describe_other("1.2.840.10008.5.1.4.1.1.2") == "CT Image Storage is no whole slide image"
    assert is_whole_slide(VL_WHOLE_SLIDE)
