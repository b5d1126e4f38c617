"""Whatever the order of arrival, and however many coordinators: one job for each distinct content."""

import shutil
import tempfile
import threading
from datetime import timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from tests.runtime.spooled import Gateway, at
from tests.study.headers import SEGMENTATION, part_header, slide_header
from vst_dicom.ledger.slides import list_series_instances
from vst_dicom.runtime.coordinator import Coordinator
from vst_dicom.runtime.regrouping import regroup_series
from vst_dicom.runtime.spooled_headers import SpooledHeaders
from vst_dicom.study.facts import InstanceFacts

_SECOND = {"SeriesInstanceUID": "1.2.5", "ContainerIdentifier": "S2"}


def arrivals() -> list[Dataset]:
    """Three slides, one of them divided and one in the series of another, a label, and a result that came back."""
    parts = [part_header(f"2.{n}", n, total=2, first_frame=8 * (n - 1), n_frames=8) for n in (1, 2)]
    for part in parts:
        part.SeriesInstanceUID, part.ContainerIdentifier = "1.2.5", "S2"
    return [
        slide_header("1.1"),
        slide_header("1.2", size=512, derived="RESAMPLED", ContainerIdentifier=None),
        slide_header("1.3", flavor="LABEL"),
        *parts,
        slide_header("2.3", size=512, derived="RESAMPLED", **_SECOND),
        slide_header("3.1", SeriesInstanceUID="1.2.5", ContainerIdentifier="S3"),
        slide_header("9.1", SOPClassUID=SEGMENTATION, SeriesInstanceUID="1.9"),
    ]


def final_keys(gateway: Gateway) -> set[str]:
    """Keys of jobs that no other succeeds."""
    return {job.key for job in gateway.jobs} - {job.predecessor_key for job in gateway.jobs}  # type: ignore[arg-type]


def keys_of_one_arrival() -> set[str]:
    folder = Path(tempfile.mkdtemp())
    try:
        gateway = Gateway.make(folder)
        for header in arrivals():
            gateway.receive(header)
        gateway.coordinate(1000)
        return final_keys(gateway)
    finally:
        shutil.rmtree(folder)


EXPECTED = keys_of_one_arrival()


def test_the_expected_content_is_three_slides() -> None:
    assert len(EXPECTED) == 3


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_order_with_repeats_and_passes_between_makes_one_job_for_each_content(data: st.DataObject) -> None:
    headers = arrivals()
    order = data.draw(st.permutations(list(range(len(headers))) * 2), label="order")
    passes = data.draw(st.sets(st.integers(0, len(order) - 1), max_size=6), label="passes after")
    folder = Path(tempfile.mkdtemp())
    try:
        gateway = Gateway.make(folder)
        for position, number in enumerate(order):
            gateway.receive(headers[number], position)
            if position in passes:
                gateway.coordinate(position)
        for seconds in (1000, 1001, 2000):
            gateway.coordinate(seconds)

        assert {job.key for job in gateway.jobs} == EXPECTED
        assert [job.predecessor_key for job in gateway.jobs] == [None] * 3
    finally:
        gateway.database.dispose()
        shutil.rmtree(folder)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_order_with_pauses_between_ends_with_the_same_jobs(data: st.DataObject) -> None:
    headers = arrivals()
    order = data.draw(st.permutations(range(len(headers))), label="order")
    pauses = data.draw(st.lists(st.sampled_from([1, 60]), min_size=len(order), max_size=len(order)), label="pauses")
    folder = Path(tempfile.mkdtemp())
    try:
        gateway = Gateway.make(folder)
        coordinator = gateway.coordinator()
        seconds = 0
        for number, pause in zip(order, pauses, strict=True):
            gateway.receive(headers[number], seconds)
            seconds += pause
            coordinator.coordinate(at(seconds))
        coordinator.coordinate(at(seconds + 1000))

        assert final_keys(gateway) == EXPECTED
        assert len(gateway.jobs) == len({job.key for job in gateway.jobs})
    finally:
        gateway.database.dispose()
        shutil.rmtree(folder)


def test_coordinators_that_run_at_once_make_one_job_for_each_content(gateway: Gateway) -> None:
    n_slides = 12
    failures: list[BaseException] = []
    stop = threading.Event()

    def run(coordinator: Coordinator) -> None:
        try:
            while not stop.is_set():
                coordinator.coordinate(at(1000))
            for _ in range(3):
                coordinator.coordinate(at(1000))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(gateway.coordinator(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(n_slides):
        for level, derived in ((1, "NONE"), (2, "RESAMPLED")):
            header = slide_header(
                f"5.{number}.{level}", size=1024 // level, derived=derived, PyramidUID=f"1.5.{number}"
            )
            header.SeriesInstanceUID = f"1.6.{number % 3}"
            gateway.receive(header, 980)
    stop.set()
    for thread in threads:
        thread.join(60)
    gateway.coordinate(1100)

    assert failures == []
    assert len(final_keys(gateway)) == n_slides
    assert len(gateway.slides) == n_slides
    with_both = [job for job in gateway.jobs if len(job.instance_ids) == 2]
    assert {job.key for job in with_both} == final_keys(gateway)


def test_a_coordinator_that_looked_too_early_undoes_nothing(gateway: Gateway) -> None:
    """It read the headers of one slide; before it writes, another process groups a second one."""
    series = ("1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.2")
    gateway.receive(slide_header("1.1", PyramidUID="1.51"))
    with gateway.database.begin() as connection:
        rows = list_series_instances(connection, *series)
    early = {row.id: SpooledHeaders(gateway.settings.spool).facts(row) for row in rows}
    gateway.receive(slide_header("1.2", PyramidUID="1.52"))
    gateway.coordinate(1)
    before = gateway.slides
    with gateway.database.begin() as connection:
        n_changes = regroup_series(connection, series, early, frozenset(), now=at(2), quiet=timedelta(seconds=30))

    assert n_changes == 0
    assert gateway.slides == before
    gateway.coordinate(30)
    assert len(gateway.jobs) == 2


def test_a_coordinator_that_could_not_read_undoes_nothing(gateway: Gateway) -> None:
    series = ("1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.2")
    gateway.receive(slide_header("1.1"))
    path = gateway.receive(slide_header("1.2", size=512))
    gateway.coordinate(1)
    assert path is not None
    failed = {1: InstanceFacts(problem="unreadable"), 2: InstanceFacts(problem="unreadable")}
    before = gateway.slide
    with gateway.database.begin() as connection:
        regroup_series(connection, series, failed, frozenset(), now=at(2), quiet=timedelta(seconds=30))

    assert gateway.slide == before


def test_a_coordinator_killed_between_its_transactions_loses_nothing(gateway: Gateway) -> None:
    gateway.receive(slide_header("1.1"))
    coordinator = gateway.coordinator()
    coordinator._group(("1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.2"), frozenset(), at(1))

    gateway.coordinate(30)
    gateway.coordinate(31)

    assert len(gateway.jobs) == 1
