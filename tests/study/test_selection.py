from pydicom.dataset import Dataset

from tests.study.headers import slide_header, stained
from vst_dicom.study.rules import Action, Priority, Rules, Sender
from vst_dicom.study.selection import Selection, select

HE = stained(slide_header("1.1"), "104210008", "Hematoxylin and eosin stain")
IHC = stained(slide_header("1.1"), "12345", "HER2 antibody")
UNSTATED = slide_header("1.1")


def rules(**values: object) -> Rules:
    return Rules.model_validate({"rule": [{"name": "r1"} | values]})


def test_without_rules_a_slide_is_processed_with_the_defaults() -> None:
    for header in (HE, UNSTATED):
        assert select(Rules(), header, Sender()) == Selection(Action.PROCESS, "no rule matches: the defaults hold")


def test_a_rule_gives_everything_it_says() -> None:
    chosen = select(
        rules(then="process", bundle="b", genes=["ERBB2"], destinations=["pacs"], priority="high"), HE, Sender()
    )

    assert chosen == Selection(Action.PROCESS, "rule 'r1'", "b", ("ERBB2",), ("pacs",), Priority.HIGH)


def test_another_stain_is_held_and_the_reason_names_it() -> None:
    chosen = select(Rules(), IHC, Sender())

    assert chosen.action is Action.HOLD
    assert "states the stain HER2 antibody" in chosen.reason


def test_a_rule_cannot_pass_another_stain() -> None:
    assert select(rules(then="process"), IHC, Sender()).action is Action.HOLD


def test_a_rule_may_ignore_another_stain() -> None:
    chosen = select(rules(then="ignore", when={"Stain": {"regex": "HER2"}}), IHC, Sender())

    assert (chosen.action, chosen.reason) == (Action.IGNORE, "rule 'r1'")


def test_a_person_passes_what_a_rule_holds_or_ignores() -> None:
    for then in ("hold", "ignore"):
        chosen = select(rules(then=then), HE, Sender(), asked=True)

        assert chosen.action is Action.PROCESS
        assert chosen.reason == f"a person asked for it, although rule 'r1' would {then} it"


def test_a_person_does_not_pass_another_stain() -> None:
    assert select(rules(then="ignore"), IHC, Sender(), asked=True).action is Action.HOLD


def test_a_header_that_is_empty_is_processed_by_default() -> None:
    assert select(Rules(), Dataset(), Sender()).action is Action.PROCESS
