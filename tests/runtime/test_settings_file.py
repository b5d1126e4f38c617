import json
import tomllib
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel

from vst_dicom.config import read_settings
from vst_dicom.runtime.settings_file import _toml, document_settings

EXAMPLE = Path(__file__).parents[2] / "deploy" / "vst-dicom.toml"


def test_the_example_in_deploy_is_what_the_settings_say() -> None:
    assert EXAMPLE.read_text() == document_settings()


def test_the_example_means_the_same_as_no_file() -> None:
    assert read_settings(EXAMPLE) == read_settings()


def test_every_default_can_be_uncommented(tmp_path: Path) -> None:
    main_part = document_settings().split("# [dicom.tls]")[0]
    lines = [line.removeprefix("# ") if " = " in line and "…" not in line else line for line in main_part.splitlines()]
    content = "\n".join(line for line in lines if not line.startswith("# ") and "uncomment" not in line)
    path = tmp_path / "all.toml"
    path.write_text(content)

    assert len(tomllib.loads(content)) >= 7
    assert read_settings(path) == read_settings()


def test_a_time_is_written_as_it_is_read() -> None:
    class Section(BaseModel):
        pause: timedelta = timedelta(minutes=1, seconds=30)

    assert Section(pause=json.loads(_toml(Section().pause))) == Section()


def test_every_setting_is_explained() -> None:
    lines = document_settings().splitlines()

    settings = [number for number, line in enumerate(lines) if " = " in line and number > 2]
    bare = [lines[number] for number in settings if not lines[number - 1].startswith("# ")]
    assert bare == []
