"""Claims about when slides and results leave the disk."""

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from tests.deliver.instances import data_set
from tests.runtime.outbox import NOW, Outbox
from vst_dicom.deliver.files import read_instance_file
from vst_dicom.ledger.deliveries import NEVER
from vst_dicom.ledger.states import DeliveryState, JobState, SlideState
from vst_dicom.ledger.tables import deliveries, instances, jobs, slides
from vst_dicom.runtime.retention import remove_work_copies

LATER = NOW + timedelta(days=8)
SPOOLED = "00/500.dcm"


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    outbox = Outbox(tmp_path, {})
    outbox.add_result("1", ["a", "b"])
    return outbox


def _set_deliveries(outbox: Outbox, *states: DeliveryState, finished: bool = True) -> None:
    with outbox.database.begin() as connection:
        for number, state in enumerate(states, start=1):
            values = {"state": state, "next_attempt_at": NEVER if finished else NOW}
            connection.execute(update(deliveries).where(deliveries.c.id == number).values(values))


def _is_there(outbox: Outbox) -> tuple[bool, bool]:
    return (outbox.settings.results / "1").exists(), (outbox.settings.spool / SPOOLED).exists()


def test_what_every_destination_has_leaves_the_disk(outbox: Outbox) -> None:
    expected = hashlib.sha256(data_set(read_instance_file(outbox.settings.spool / SPOOLED))).hexdigest()
    _set_deliveries(outbox, DeliveryState.COMMITTED, DeliveryState.SENT)

    removed = remove_work_copies(outbox.database, outbox.settings, LATER)

    assert removed == (1, 1)
    assert _is_there(outbox) == (False, False)
    with outbox.database.connect() as connection:
        assert connection.execute(select(instances.c.sha256)).scalar_one() == expected
    assert remove_work_copies(outbox.database, outbox.settings, LATER) == (0, 0)


@pytest.mark.parametrize("state", [DeliveryState.WAITING, DeliveryState.PARKED])
def test_one_unfinished_delivery_keeps_everything(outbox: Outbox, state: DeliveryState) -> None:
    _set_deliveries(outbox, DeliveryState.COMMITTED, state)

    assert remove_work_copies(outbox.database, outbox.settings, LATER) == (0, 0)
    assert _is_there(outbox) == (True, True)


def test_sent_but_not_confirmed_keeps_everything(outbox: Outbox) -> None:
    _set_deliveries(outbox, DeliveryState.SENT, DeliveryState.SENT, finished=False)

    assert remove_work_copies(outbox.database, outbox.settings, LATER) == (0, 0)


def test_nothing_leaves_before_its_time(outbox: Outbox) -> None:
    _set_deliveries(outbox, DeliveryState.COMMITTED, DeliveryState.COMMITTED)

    assert remove_work_copies(outbox.database, outbox.settings, NOW + timedelta(days=6)) == (0, 0)


def test_a_result_that_goes_nowhere_stays(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, {})
    outbox.add_result("1", [])

    assert remove_work_copies(outbox.database, outbox.settings, LATER) == (0, 0)
    assert _is_there(outbox) == (True, True)


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.REFUSED, JobState.PARKED])
def test_a_job_that_is_not_done_keeps_everything(outbox: Outbox, state: JobState) -> None:
    _set_deliveries(outbox, DeliveryState.COMMITTED, DeliveryState.COMMITTED)
    with outbox.database.begin() as connection:
        connection.execute(update(jobs).values(state=state))

    assert remove_work_copies(outbox.database, outbox.settings, LATER) == (0, 0)


def test_a_slide_that_still_collects_keeps_its_instances(outbox: Outbox) -> None:
    _set_deliveries(outbox, DeliveryState.COMMITTED, DeliveryState.COMMITTED)
    with outbox.database.begin() as connection:
        connection.execute(update(slides).values(state=SlideState.COLLECTING))

    assert remove_work_copies(outbox.database, outbox.settings, LATER) == (1, 0)


def test_another_job_of_the_slide_keeps_its_instances(outbox: Outbox) -> None:
    _set_deliveries(outbox, DeliveryState.COMMITTED, DeliveryState.COMMITTED)
    outbox.add_result("2", ["a"])
    with outbox.database.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.key == "2").values(slide_id=1, state=JobState.RUNNING))

    assert remove_work_copies(outbox.database, outbox.settings, LATER) == (1, 0)
    assert _is_there(outbox) == (False, True)


def test_own_results_that_came_back_leave_the_disk(outbox: Outbox) -> None:
    with outbox.database.begin() as connection:
        connection.execute(update(instances).values(is_own=True, slide_id=None))

    assert remove_work_copies(outbox.database, outbox.settings, LATER) == (0, 1)
    assert _is_there(outbox) == (True, False)


def test_a_removal_that_was_killed_is_finished_by_the_next(outbox: Outbox) -> None:
    _set_deliveries(outbox, DeliveryState.COMMITTED, DeliveryState.COMMITTED)
    (outbox.settings.spool / SPOOLED).unlink()

    assert remove_work_copies(outbox.database, outbox.settings, LATER) == (1, 1)
