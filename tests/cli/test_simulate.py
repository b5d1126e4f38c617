import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vst_dicom.cli.simulate import app
from vst_dicom.domain.errors import UsageError

RUN = CliRunner()


def test_simulate_slide_writes_a_slide_and_says_where(tmp_path: Path) -> None:
    out = tmp_path / "out"
    answer = RUN.invoke(
        app, ["slide", "--out", str(out), "--size", "400x300", "--pixel-spacing-um", "0.5,1", "--seed", "9", "--json"]
    )

    assert answer.exit_code == 0, answer.output
    facts = json.loads(answer.stdout)
    assert (facts["columns"], facts["rows"], facts["seed"]) == (400, 300, 9)
    assert facts["pixel_spacing_um"] == [0.5, 1.0]
    assert all(Path(path).is_file() for path in [*facts["files"], *facts["truth"]])
    assert sorted(path.name for path in out.iterdir()) == ["slide", "truth.json", "truth.png"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--size", "8192", "width x height"),
        ("--size", "0x100", "width x height"),
        ("--pixel-spacing-um", "-1", "positive"),
        ("--pixel-spacing-um", "1,2,3", "positive"),
        ("--pixel-spacing-um", "50", "0.1 to 10"),
        ("--seed", "-4", "seed"),
        ("--size", "20x20", "at least 100"),
        ("--frame-px", "100", "multiple of 16"),
        ("--jpeg-quality", "0", "between 1 and 100"),
    ],
)
def test_impossible_requests_are_refused_and_leave_nothing(
    tmp_path: Path, option: str, value: str, message: str
) -> None:
    arguments = {"--size": "400x300", option: value}
    answer = RUN.invoke(
        app, ["slide", "--out", str(tmp_path / "out"), *(x for pair in arguments.items() for x in pair)]
    )

    assert isinstance(answer.exception, UsageError)
    assert message in str(answer.exception)
    assert not (tmp_path / "out").exists()


def test_help_shows_an_example() -> None:
    answer = RUN.invoke(app, ["slide", "--help"])

    assert answer.exit_code == 0
    assert "Example: vst-dicom simulate slide" in answer.output
