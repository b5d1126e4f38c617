import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vst_dicom.cli.token import app
from vst_dicom.domain.errors import ConflictError, NotFoundError, UsageError


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VST_DICOM_DATA_DIR", str(tmp_path / "data"))


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_token_is_shown_once_and_listed_without_its_secret() -> None:
    token = run("create", "ohif", "--days", "30").stdout.strip()

    assert token.startswith("vst_")
    listed = run("list", "--json").stdout
    (fact,) = json.loads(listed)
    assert (fact["name"], fact["role"], fact["state"]) == ("ohif", "viewer", "valid")
    assert token.split("_", 2)[2] not in listed


def test_a_server_that_asks_for_no_token_is_pointed_out() -> None:
    assert 'mode = "token"' in run("create", "ohif").stderr


def test_a_token_is_revoked_by_its_name_and_the_name_is_free_again() -> None:
    run("create", "night", "--role", "operator")

    assert "is revoked" in run("revoke", "night").stdout
    assert "night: operator, revoked" in run("list").stdout
    run("create", "night")
    assert [fact["state"] for fact in json.loads(run("list", "--json").stdout)] == ["revoked", "valid"]


def test_what_cannot_be_is_refused() -> None:
    run("create", "one")

    with pytest.raises(ConflictError, match="there is a token"):
        run("create", "one")
    with pytest.raises(NotFoundError, match="vst-dicom token list"):
        run("revoke", "two")
    for name in ("Müller", "a\nb", "x" * 101):
        with pytest.raises(UsageError):
            run("create", name)
