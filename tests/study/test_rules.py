import time
from pathlib import Path

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from tests.study.headers import slide_header, stained
from vst_dicom.domain.errors import UsageError
from vst_dicom.study.rules import Action, Priority, Rule, Sender, read_rules

SENDER = Sender("SCANNER1", "10.0.0.7")


def rule(when: dict[str, object], **values: object) -> Rule:
    return Rule.model_validate({"name": "r", "then": "process", "when": when} | values)


def matches(when: dict[str, object], header: Dataset | None = None) -> bool:
    return rule(when).matches(slide_header("1.1") if header is None else header, SENDER)


def breast_header() -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "76752008", "SCT", "Breast"
    first, second = Dataset(), Dataset()
    first.SpecimenIdentifier = "A"
    second.PrimaryAnatomicStructureSequence = [code]
    return slide_header("1.1", SpecimenDescriptionSequence=[first, second], BodyPartExamined="BREAST")


def test_a_rule_without_conditions_matches_everything() -> None:
    assert matches({})


def test_a_text_means_equal() -> None:
    assert matches({"ContainerIdentifier": "S1"})
    assert not matches({"ContainerIdentifier": "S"})


def test_equal_is_exact() -> None:
    assert not matches({"BodyPartExamined": {"equals": "breast"}}, breast_header())
    assert matches({"BodyPartExamined": {"equals": "BREAST"}}, breast_header())


def test_a_list_means_one_of() -> None:
    assert matches({"ContainerIdentifier": ["S0", "S1"]})
    assert not matches({"ContainerIdentifier": {"in": ["S0"]}})


def test_a_regex_searches() -> None:
    assert matches({"ContainerIdentifier": {"regex": r"^S\d$"}})
    assert not matches({"ContainerIdentifier": {"regex": "^X"}})


def test_missing_covers_absent_and_empty_values() -> None:
    assert matches({"BodyPartExamined": {"missing": True}})
    assert matches({"BodyPartExamined": {"missing": True}}, slide_header("1.1", BodyPartExamined=""))
    assert not matches({"ContainerIdentifier": {"missing": True}})
    assert matches({"ContainerIdentifier": {"missing": False}})


def test_nothing_but_missing_matches_a_missing_value() -> None:
    for condition in ("", {"regex": ""}, [""]):
        assert not matches({"BodyPartExamined": condition})


def test_any_value_of_several_suffices() -> None:
    assert matches({"ImageType": "VOLUME"})


def test_any_item_of_a_sequence_suffices() -> None:
    path = "SpecimenDescriptionSequence.PrimaryAnatomicStructureSequence.CodeValue"

    assert matches({path: "76752008"}, breast_header())
    assert not matches({path: "76752009"}, breast_header())
    assert matches({path: {"missing": True}})


def test_all_conditions_must_hold() -> None:
    assert matches({"ContainerIdentifier": "S1", "Modality": "SM"})
    assert not matches({"ContainerIdentifier": "S1", "Modality": "CT"})


def test_the_sender_can_be_asked_for() -> None:
    assert matches({"CallingAE": "SCANNER1", "PeerAddress": {"regex": r"^10\."}})
    assert not matches({"CallingAE": "SCANNER2"})
    assert rule({"CallingAE": {"missing": True}}).matches(slide_header("1.1"), Sender())


def test_the_stain_can_be_asked_for() -> None:
    assert matches({"Stain": "he"}, stained(slide_header("1.1"), "104210008", "H&E"))
    assert matches({"Stain": {"regex": "(?i)cd3"}}, stained(slide_header("1.1"), "12345", "CD3 antibody"))
    assert matches({"Stain": {"missing": True}})


def test_a_broken_attribute_counts_as_missing() -> None:
    header = slide_header("1.1")
    header[Tag("TotalPixelMatrixRows")] = RawDataElement(Tag("TotalPixelMatrixRows"), "UL", 3, b"abc", 0, False, True)

    assert matches({"TotalPixelMatrixRows": {"missing": True}}, header)


def test_a_number_is_compared_as_text() -> None:
    assert matches({"TotalPixelMatrixRows": "1024"})


def test_a_hostile_value_does_not_stall_a_rule() -> None:
    header = slide_header("1.1", ImageComments="a" * 10_000)
    started_s = time.perf_counter()

    assert not matches({"ImageComments": {"regex": "(a+)+$b"}}, header)
    assert time.perf_counter() - started_s < 2


def write_rules(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    return path


WHOLE = """
[[rule]]
name = "stat breast"
then = "process"
bundle = "her2st-lite"
genes = ["ERBB2", "ESR1"]
destinations = ["pacs"]
priority = "stat"
when.CallingAE = "FROZEN"
when.BodyPartExamined = { in = ["BREAST"] }

[[rule]]
name = "no controls"
then = "ignore"
when.ContainerIdentifier = { regex = "^CTRL" }

[[rule]]
name = "rest"
then = "hold"
"""


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    first, second, third = read_rules(write_rules(tmp_path, WHOLE)).rule

    assert (first.name, first.then, first.bundle, first.genes, first.destinations, first.priority) == (
        "stat breast",
        Action.PROCESS,
        "her2st-lite",
        ("ERBB2", "ESR1"),
        ("pacs",),
        Priority.STAT,
    )
    assert (second.then, second.priority) == (Action.IGNORE, Priority.ROUTINE)
    assert (third.then, third.when) == (Action.HOLD, {})


def test_the_first_rule_that_matches_decides(tmp_path: Path) -> None:
    rules = read_rules(write_rules(tmp_path, WHOLE))

    def name(header: Dataset, sender: Sender = SENDER) -> str | None:
        found = rules.find(header, sender)
        return None if found is None else found.name

    assert name(slide_header("1.1", ContainerIdentifier="CTRL-1")) == "no controls"
    assert name(breast_header()) == "rest"
    assert name(breast_header(), Sender("FROZEN")) == "stat breast"


def test_no_rule_may_match(tmp_path: Path) -> None:
    rules = read_rules(write_rules(tmp_path, WHOLE.split('[[rule]]\nname = "rest"', maxsplit=1)[0]))

    assert rules.find(slide_header("1.1"), SENDER) is None


def test_an_empty_file_has_no_rules(tmp_path: Path) -> None:
    assert read_rules(write_rules(tmp_path, "")).rule == ()


def test_destinations_that_settings_lack_are_named(tmp_path: Path) -> None:
    rules = read_rules(write_rules(tmp_path, WHOLE))

    assert rules.unknown_destinations(["pacs"]) == []
    assert rules.unknown_destinations([]) == ["pacs"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[rule]]\nthen = 'process'", "rule number 1.name"),
        ("[[rule]]\nname = 'a'", "rule 'a'.then"),
        ("[[rule]]\nname = 'a'\nthen = 'delete'", "rule 'a'.then"),
        ("[[rule]]\nname = 'a'\nthen = 'hold'\nif = 1", "rule 'a'.if: Extra inputs are not permitted"),
        ("[[rules]]\nname = 'a'", "rules: Extra inputs are not permitted"),
        ("[[rule]]\nname = 'a'\nthen = 'hold'\nwhen.BodyPart = 'X'", "'BodyPart' is no attribute keyword"),
        ("[[rule]]\nname = 'a'\nthen = 'hold'\nwhen.\"Modality.CodeValue\" = 'X'", "Modality is no sequence"),
        (
            "[[rule]]\nname = 'a'\nthen = 'hold'\nwhen.SpecimenDescriptionSequence = 'X'",
            "no value that can be compared",
        ),
        ("[[rule]]\nname = 'a'\nthen = 'hold'\nwhen.PixelData = 'X'", "no value that can be compared"),
        ("[[rule]]\nname = 'a'\nthen = 'hold'\nwhen.Modality = { regex = '(' }", "regex is not understood"),
        ("[[rule]]\nname = 'a'\nthen = 'hold'\nwhen.Modality = { regex = 1 }", "regex must be text"),
        ("[[rule]]\nname = 'a'\nthen = 'hold'\nwhen.Modality = {}", "exactly one of"),
        ("[[rule]]\nname = 'a'\nthen = 'hold'\nwhen.Modality = { equals = 'SM', missing = true }", "exactly one of"),
        ("[[rule]]\nname = 'a'\nthen = 'hold'\nwhen.Modality = { like = 'SM' }", "Extra inputs"),
        ("[[rule]]\nname = 'a'\nthen = 'hold'\nwhen.Modality = []", "at least 1"),
        ("[[rule]]\nname = 'a'\nthen = 'process'\npriority = 'soon'", "one of stat, high, routine"),
        ("[[rule]]\nname = 'a'\nthen = 'process'\npriority = 1", "one of stat, high, routine"),
        ("[[rule]]\nname = 'a'\nthen = 'process'\ngenes = []", "at least 1"),
        ("[[rule]]\nname = 'a'\nthen = 'hold'\n[[rule]]\nname = 'a'\nthen = 'hold'", "two rules are named 'a'"),
        ("[[rule]]\nname = 'ä'\nthen = 'hold'", "rule 'ä'.name"),
        ("rule = 3", "rule"),
        ("not toml", "cannot be read"),
    ],
)
def test_a_fault_is_named_with_its_rule(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_rules(write_rules(tmp_path, text))

    assert message in str(caught.value)
    assert "rules.toml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_rules(tmp_path / "none.toml")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(UsageError, match="cannot be read"):
        read_rules(path)


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        read_rules(write_rules(tmp_path, "#" * (1 << 20) + "\n"))
