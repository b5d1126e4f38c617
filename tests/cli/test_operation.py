"""``studies``, ``config`` and ``doctor``, as an operator meets them."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from tests.runtime.spooled import BUNDLE, Gateway
from tests.study.headers import STUDY, slide_header, stained
from vst_dicom.cli import config, doctor, studies
from vst_dicom.domain.errors import BundleError, UsageError

app = typer.Typer()
app.add_typer(studies.app, name="studies")
app.add_typer(config.app, name="config")
app.command("doctor")(doctor.doctor)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def run_json(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(autouse=True)
def _small_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vst_dicom.predict.bundle.load_bundle", lambda _name: BUNDLE)


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    made = Gateway.make(tmp_path / "data")
    monkeypatch.setenv("VST_DICOM_DATA_DIR", str(tmp_path / "data"))
    yield made
    made.database.dispose()


@pytest.fixture
def received(gateway: Gateway) -> Gateway:
    """One slide with a job, and one that is held."""
    gateway.receive(slide_header("1.1"))
    gateway.receive(slide_header("1.2", size=512, derived="RESAMPLED"))
    gateway.receive(stained(slide_header("2.1", SeriesInstanceUID="1.2.5"), "12345", "HER2 antibody"), sender="OTHER")
    gateway.coordinate(30)
    return gateway


def test_studies_are_listed_with_state_and_reason(received: Gateway) -> None:
    rows = {row["slide"]: row for row in run_json("studies", "list")}

    assert [(rows[n]["state"], rows[n]["n_instances"], rows[n]["sender"]) for n in (1, 2)] == [
        ("queued", 2, "SCANNER1"),
        ("held", 1, "OTHER"),
    ]
    assert "HER2 antibody" in rows[2]["reason"]
    assert "queued" in run("studies", "list").stdout


def test_studies_are_listed_by_state(received: Gateway) -> None:
    assert [row["slide"] for row in run_json("studies", "list", "--state", "held")] == [2]


def test_a_study_is_shown_with_jobs_and_decisions(received: Gateway) -> None:
    shown = run_json("studies", "show", STUDY)

    (job,) = shown["slides"][0]["jobs"]
    assert (job["key"], job["state"], job["predecessor"]) == (received.jobs[0].key, "queued", None)
    assert [row["what"] for row in shown["decisions"]] == ["queued", "held"]
    text = run("studies", "show", STUDY).stdout
    assert "slide 2: held" in text
    assert f"job {received.jobs[0].key[:12]}: queued" in text


def test_a_patient_is_never_shown(received: Gateway) -> None:
    for command in (("studies", "list"), ("studies", "show", STUDY), ("config", "check")):
        for text in (run(*command).stdout, run(*command, "--json").stdout):
            assert "Doe" not in text
            assert "PID-4711" not in text


def test_a_study_that_did_not_come_is_a_usage_error(received: Gateway) -> None:
    for command in ("show", "run-now"):
        error = run("studies", command, "1.9.9").exception
        assert isinstance(error, UsageError)
        assert "nothing was received of study 1.9.9" in str(error)


def test_without_ledger_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VST_DICOM_DATA_DIR", str(tmp_path / "none"))

    assert "nothing was received" in str(run("studies", "list").exception)
    assert not (tmp_path / "none").exists()


def test_run_now_starts_a_slide_at_once(gateway: Gateway) -> None:
    gateway.receive(slide_header("1.1"))
    gateway.coordinate(0)
    result = run("studies", "run-now", STUDY)

    assert "asked for slide 1" in result.stdout
    assert gateway.slide.run_now
    assert [row.what for row in gateway.decisions(STUDY)] == ["asked"]


def test_run_now_takes_one_slide(received: Gateway) -> None:
    run("studies", "run-now", STUDY, "--slide", "2")

    assert [slide.run_now for slide in received.slides] == [False, True]
    assert "slide 7 of study" in str(run("studies", "run-now", STUDY, "--slide", "7").exception)


def test_config_show_prints_what_is_in_force_without_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VST_DICOM_DATABASE_URL", "postgresql+psycopg://vst:secret@db/vst")
    monkeypatch.setenv("VST_DICOM_DICOM__PORT", "104")
    monkeypatch.setenv("VST_DICOM_DESTINATIONS", json.dumps({"web": {"url": "https://user:hid@den@pacs/dicom-web"}}))
    output = run("config", "show").stdout
    shown = json.loads(output)

    assert shown["dicom"]["port"] == 104
    assert shown["database_url"] == "postgresql+psycopg://vst:***@db/vst"
    assert shown["destinations"]["web"]["url"] == "https://user:***@pacs/dicom-web"
    assert not any(word in output for word in ("secret", "hid", "den@"))


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_config_check_tries_rules_on_past_slides_and_changes_nothing(received: Gateway, tmp_path: Path) -> None:
    before = received.slides
    rules = write(tmp_path / "r.toml", "[[rule]]\nname = 'none'\nthen = 'ignore'\nwhen.CallingAE = 'SCANNER1'")
    rows = {row["slide"]: row for row in run_json("config", "check", "--rules", rules)["slides"]}

    assert (rows[1]["is"], rows[1]["would_be"], rows[1]["reason"]) == ("queued", "ignored", "rule 'none'")
    assert (rows[2]["is"], rows[2]["would_be"], rows[2]["changes"]) == ("held", "held", False)
    assert received.slides == before
    text = run("config", "check", "--rules", rules).stdout
    assert "1 of 2 slides would be decided otherwise" in text


def test_config_check_without_data_checks_settings_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VST_DICOM_DATA_DIR", str(tmp_path / "none"))

    assert run_json("config", "check") == {"n_rules": 0, "slides": []}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("then = 'delete'", "rule 'a'.then"),
        ("then = 'process'\ndestinations = ['x']", "destinations that the settings do not have: x"),
        ("then = 'process'\ngenes = ['HIDDEN', 'ERBB2']", "does not show HIDDEN"),
    ],
)
def test_config_check_names_a_fault_of_a_rule(tmp_path: Path, rule: str, message: str) -> None:
    error = run("config", "check", "--rules", write(tmp_path / "r.toml", f"[[rule]]\nname = 'a'\n{rule}")).exception

    assert isinstance(error, UsageError)
    assert message in str(error)


def test_config_check_names_the_rule_of_a_missing_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> object:
        if name == "other":
            raise BundleError("there is no bundle 'other'")
        return BUNDLE

    monkeypatch.setattr("vst_dicom.predict.bundle.load_bundle", load)
    rules = write(tmp_path / "r.toml", "[[rule]]\nname = 'a'\nthen = 'process'\nbundle = 'other'")
    error = run("config", "check", "--rules", rules).exception

    assert isinstance(error, BundleError)
    assert str(error).startswith("rule 'a': there is no bundle")


def test_config_check_names_an_unknown_setting(tmp_path: Path) -> None:
    error = run("config", "check", "--config", write(tmp_path / "s.toml", "[study]\nquiet = 3")).exception

    assert isinstance(error, UsageError)
    assert "study.quiet" in str(error)


@pytest.fixture
def fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of which nothing fails."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("VST_DICOM_DICOM__PORT", str(probe.getsockname()[1]))
    monkeypatch.setenv("VST_DICOM_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("VST_DICOM_STORAGE", json.dumps({"reserve_bytes": 0, "reserve_fraction": 0}))


def test_doctor_says_one_line_for_each_check(fine: None) -> None:
    rows = run_json("doctor")
    lines = run("doctor").stdout.splitlines()

    assert [row["check"] for row in rows] == [
        "rules",
        "database",
        "disk",
        "DICOM port",
        "web port",
        "destinations",
        "bundle her2st-lite",
        "device",
    ]
    assert {row["level"] for row in rows} <= {"ok", "warn"}
    assert len(lines) == len(rows)
    assert lines[0].startswith("ok   rules: ")


def test_doctor_ends_with_the_code_of_the_first_failure(fine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = {"ae_title": "PACS", "host": "127.0.0.1", "port": probe.getsockname()[1]}
    monkeypatch.setenv("VST_DICOM_DESTINATIONS", json.dumps({"pacs": place}))
    result = run("doctor")

    assert result.exit_code == 5
    assert "fail destination pacs: PACS@127.0.0.1" in result.stdout


@pytest.mark.parametrize(
    "command", [("studies", "list"), ("studies", "show"), ("studies", "run-now"), ("config", "check"), ("doctor",)]
)
def test_every_command_has_help_with_an_example(command: tuple[str, ...]) -> None:
    assert "Example: vst-dicom" in run(*command, "--help").stdout
