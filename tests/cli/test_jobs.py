import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, update
from typer.testing import CliRunner, Result

from tests.jobs.ledgers import add_job, job_of
from vst_dicom.cli.jobs import app
from vst_dicom.config import Settings
from vst_dicom.domain.errors import UsageError
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.deliveries import create_deliveries, list_deliveries
from vst_dicom.ledger.jobs import move_job
from vst_dicom.ledger.states import DeliveryState, JobState
from vst_dicom.ledger.tables import deliveries


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    path = tmp_path / "vst-dicom.toml"
    path.write_text(f'data_dir = "{tmp_path / "data"}"\n')
    return path


@pytest.fixture
def database(config: Path, tmp_path: Path) -> Engine:
    return open_database(Settings(data_dir=tmp_path / "data").database)


def run(config: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(app, [*arguments, "--config", str(config)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def park(database: Engine, key: str) -> None:
    with database.begin() as connection:
        move_job(connection, key, JobState.PARKED, now=datetime.now(UTC), reason="memory ran out")


def test_jobs_are_listed_as_json(config: Path, database: Engine) -> None:
    keys = {add_job(database, "a"), add_job(database, "b")}

    found = json.loads(run(config, "list", "--json").stdout)

    assert {job["key"] for job in found} == keys
    assert {job["state"] for job in found} == {"queued"}


def test_jobs_are_listed_by_state_for_people(config: Path, database: Engine) -> None:
    park(database, add_job(database, "a"))
    add_job(database, "b")

    shown = run(config, "list", "--state", "parked").stdout

    assert "parked" in shown
    assert "queued" not in shown


def test_a_job_is_shown_by_the_start_of_its_key(config: Path, database: Engine) -> None:
    park(database, add_job(database, "abc"))

    assert json.loads(run(config, "show", "ab", "--json").stdout)["reason"] == "memory ran out"
    assert "reason: memory ran out" in run(config, "show", "ab").stdout


def test_a_parked_job_is_queued_again(config: Path, database: Engine) -> None:
    key = add_job(database, "a")
    park(database, key)

    assert run(config, "retry", key).exit_code == 0
    assert (job_of(database, key).state, job_of(database, key).round) == (JobState.QUEUED, 1)


def test_all_parked_jobs_are_queued_again_and_no_others(config: Path, database: Engine) -> None:
    parked, other = add_job(database, "a"), add_job(database, "b")
    park(database, parked)

    run(config, "retry", "--state", "parked")

    assert (job_of(database, parked).round, job_of(database, other).round) == (1, 0)


def test_a_queued_job_is_cancelled(config: Path, database: Engine) -> None:
    key = add_job(database, "a")

    run(config, "cancel", "a")

    assert job_of(database, key).state is JobState.CANCELLED


def test_what_the_states_forbid_changes_nothing(config: Path, database: Engine) -> None:
    fine, cancelled = add_job(database, "a"), add_job(database, "b")
    run(config, "cancel", "b")

    with pytest.raises(UsageError, match="is cancelled and can go to"):
        run(config, "cancel", fine, cancelled)

    assert job_of(database, fine).state is JobState.QUEUED


@pytest.mark.parametrize("arguments", [["retry"], ["cancel"], ["retry", "--state", "running"], ["show", "zz"]])
def test_unclear_requests_are_refused(config: Path, database: Engine, arguments: list[str]) -> None:
    with pytest.raises(UsageError):
        run(config, *arguments)


def test_without_a_data_folder_the_way_out_is_said(tmp_path: Path) -> None:
    config = tmp_path / "vst-dicom.toml"
    config.write_text(f'data_dir = "{tmp_path / "nowhere"}"\n')

    with pytest.raises(UsageError, match="vst-dicom serve"):
        run(config, "list")


def test_a_data_folder_without_a_ledger_is_said_and_gets_none(config: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing was received"):
        run(config, "list")

    assert not list((tmp_path / "data").iterdir())


def give_up(database: Engine, key: str, destination: str) -> int:
    now = datetime.now(UTC)
    with database.begin() as connection:
        create_deliveries(connection, key, [destination], priority=1, now=now)
        (row,) = (row for row in list_deliveries(connection, key) if row.destination == destination)
        connection.execute(update(deliveries).where(deliveries.c.id == row.id).values(state=DeliveryState.PARKED))
    return row.id


def states_of(database: Engine, key: str) -> dict[str, DeliveryState]:
    with database.begin() as connection:
        return {row.destination: row.state for row in list_deliveries(connection, key)}


def test_a_delivery_that_was_given_up_is_tried_again_and_no_other(config: Path, database: Engine) -> None:
    key = add_job(database, "a")
    give_up(database, key, "pacs")
    give_up(database, key, "archive")

    said = run(config, "deliver", key[:8], "--to", "pacs").stdout

    assert "to pacs: tried again" in said
    assert states_of(database, key) == {"pacs": DeliveryState.WAITING, "archive": DeliveryState.PARKED}


def test_where_no_delivery_was_given_up_that_is_said(config: Path, database: Engine) -> None:
    assert "no delivery" in run(config, "deliver", add_job(database, "a")).stdout
    assert "no delivery" in run(config, "deliver", "--all").stdout
