"""The examples of docs/rules.md are rules."""

import re
from pathlib import Path

import pytest

from vst_dicom.study.rules import read_rules

_TEXT = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()
_EXAMPLES = [part for part in re.findall(r"```toml\n(.*?)```", _TEXT, re.DOTALL) if "[study]" not in part]


@pytest.mark.parametrize("example", _EXAMPLES)
def test_an_example_is_understood(tmp_path: Path, example: str) -> None:
    if "[[rule]]" not in example:
        example = "[[rule]]\nname = 'a'\nthen = 'hold'\n" + example
    path = tmp_path / "rules.toml"
    path.write_text(example)

    assert read_rules(path).rule


def test_there_are_examples() -> None:
    assert len(_EXAMPLES) == 4
