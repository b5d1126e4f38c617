import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from vst_dicom.dicom.specimen import HE, stated_stain

HEMATOXYLIN = ("12710003", "SCT", "hematoxylin stain")
EOSIN = ("36879007", "SCT", "water soluble eosin stain")
OLD_HEMATOXYLIN = ("C-22968", "SRT", "hematoxylin stain")
OLD_EOSIN = ("C-22919", "SRT", "water soluble eosin stain")
SAFFRON = ("38271009", "SCT", "saffron stain")
HE_METHOD = ("104210008", "SCT", "Hematoxylin and eosin stain method")
STAINING = ("127790008", "SCT", "Staining")
FIXING = ("9265001", "SCT", "Specimen processing")


def code(value: tuple[str, str, str]) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value
    return item


def content(name: tuple[str, str, str], value: tuple[str, str, str] | str) -> Dataset:
    item = Dataset()
    item.ConceptNameCodeSequence = Sequence([code(name)])
    if isinstance(value, str):
        item.ValueType, item.TextValue = "TEXT", value
    else:
        item.ValueType, item.ConceptCodeSequence = "CODE", Sequence([code(value)])
    return item


def step(kind: tuple[str, str, str] | None, *substances: tuple[str, str, str] | str) -> Dataset:
    item = Dataset()
    items = [content(("424361007", "SCT", "Using substance"), substance) for substance in substances]
    if kind is not None:
        items.insert(0, content(("111701", "DCM", "Processing type"), kind))
    item.SpecimenPreparationStepContentItemSequence = Sequence(items)
    return item


def header(*steps: Dataset, description: str = "") -> Dataset:
    specimen = Dataset()
    specimen.SpecimenPreparationSequence = Sequence(list(steps))
    if description:
        specimen.SpecimenShortDescription = description
    dataset = Dataset()
    dataset.SpecimenDescriptionSequence = Sequence([specimen])
    return dataset


@pytest.mark.parametrize(
    "steps",
    [
        [step(STAINING, HEMATOXYLIN, EOSIN)],
        [step(STAINING, HEMATOXYLIN), step(STAINING, EOSIN)],
        [step(("P3-00003", "SRT", "Staining"), OLD_HEMATOXYLIN, OLD_EOSIN)],
        [step(None, EOSIN, HEMATOXYLIN)],
        [step(STAINING, HE_METHOD)],
        [step(STAINING, "Hematoxylin and Eosin")],
        [step(STAINING, "H&E")],
        [step(FIXING, ("311731000", "SCT", "Paraffin wax")), step(STAINING, HEMATOXYLIN, EOSIN)],
    ],
)
def test_hematoxylin_and_eosin_is_recognized(steps: list[Dataset]) -> None:
    assert stated_stain(header(*steps)) == HE


def test_other_stains_are_named() -> None:
    assert stated_stain(header(step(STAINING, ("45106005", "SCT", "Congo red stain")))) == "Congo red stain"
    assert stated_stain(header(step(STAINING, "anti-HER2"))) == "anti-HER2"


def test_hematoxylin_alone_is_not_h_and_e() -> None:
    assert stated_stain(header(step(STAINING, HEMATOXYLIN))) == "hematoxylin stain"


def test_h_and_e_with_a_third_stain_is_not_h_and_e() -> None:
    stain = stated_stain(header(step(STAINING, HEMATOXYLIN, EOSIN, SAFFRON)))

    assert stain == "hematoxylin stain, water soluble eosin stain, saffron stain"


def test_two_specimens_must_both_be_h_and_e() -> None:
    slide = header(step(STAINING, HEMATOXYLIN, EOSIN))
    other = header(step(STAINING, SAFFRON)).SpecimenDescriptionSequence[0]
    slide.SpecimenDescriptionSequence.append(other)

    assert stated_stain(slide) == "saffron stain"


@pytest.mark.parametrize("text", ["Breast, H&E", "HE section", "Hematoxylin-Eosin", "haematoxylin and eosin"])
def test_a_description_may_say_h_and_e(text: str) -> None:
    assert stated_stain(header(description=text)) == HE


@pytest.mark.parametrize("text", ["", "Breast", "The specimen", "HER2 IHC", "HE and PAS", "Hepatic"])
def test_a_description_alone_never_states_another_stain(text: str) -> None:
    assert stated_stain(header(description=text)) is None


def test_missing_and_broken_sequences_state_nothing() -> None:
    assert stated_stain(Dataset()) is None
    empty = Dataset()
    empty.SpecimenDescriptionSequence = Sequence()
    assert stated_stain(empty) is None
    broken = header(step(STAINING, HEMATOXYLIN, EOSIN))
    del (
        broken.SpecimenDescriptionSequence[0]
        .SpecimenPreparationSequence[0]
        .SpecimenPreparationStepContentItemSequence[1]
        .ConceptCodeSequence
    )
    assert stated_stain(broken) == "hematoxylin stain" or stated_stain(broken) == "water soluble eosin stain"
