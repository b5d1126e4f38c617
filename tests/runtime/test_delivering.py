"""Claims about deliveries over days: the outbox, its schedule, and what a report changes."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.peers.pacs import run_fake_pacs
from tests.peers.web import run_fake_web
from tests.runtime.outbox import NOW, Outbox, dicom_destination
from vst_dicom.config import Destination
from vst_dicom.deliver.association import DicomPeer
from vst_dicom.ledger.deliveries import create_deliveries, list_deliveries, retry_parked
from vst_dicom.ledger.states import DeliveryState
from vst_dicom.runtime.commitment_reports import handle_commitment_report
from vst_dicom.runtime.delivering import (
    deliver_once,
    due_deliveries,
    names_of_destinations,
)
from vst_dicom.runtime.orthanc import free_ports

SENT, WAITING = DeliveryState.SENT, DeliveryState.WAITING
COMMITTED, PARKED = DeliveryState.COMMITTED, DeliveryState.PARKED


@pytest.fixture(autouse=True)
def _short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers of these tests that report on the same association do so at once."""
    monkeypatch.setattr("vst_dicom.deliver.commitment._REPORT_WAIT_S", 0.3)


def test_a_result_is_sent_once_and_then_never_due(tmp_path: Path) -> None:
    with run_fake_pacs() as pacs:
        outbox = Outbox(tmp_path, {"pacs": dicom_destination(pacs.peer)})
        (delivery,) = outbox.add_result("1", ["pacs"])
        outcome = deliver_once(outbox.database, outbox.settings, delivery.id, NOW)
        again = deliver_once(outbox.database, outbox.settings, delivery.id, NOW + timedelta(days=1))

    assert (outcome.state, outcome.after_s) == (SENT, None)
    assert again.state is SENT
    assert outbox.read(delivery).is_finished
    assert due_deliveries(outbox.database, NOW + timedelta(days=365)) == []
    assert [len(stored) for stored in pacs.stored.values()] == [1, 1]


def test_two_destinations_do_not_wait_for_each_other(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with run_fake_pacs() as pacs:
        down = dicom_destination(DicomPeer("DOWN", "127.0.0.1", port))
        outbox = Outbox(tmp_path, {"down": down, "pacs": dicom_destination(pacs.peer)})
        first, second = outbox.add_result("1", ["down", "pacs"])
        states = [deliver_once(outbox.database, outbox.settings, one.id, NOW).state for one in (first, second)]

    assert states == [WAITING, SENT]


def test_waits_grow_from_half_a_minute_to_an_hour(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    outbox = Outbox(tmp_path, {"pacs": dicom_destination(DicomPeer("DOWN", "127.0.0.1", port))})
    (delivery,) = outbox.add_result("1", ["pacs"])
    waits, now = [], NOW
    for _ in range(10):
        outcome = deliver_once(outbox.database, outbox.settings, delivery.id, now)
        assert outcome.after_s is not None
        waits.append(outcome.after_s)
        now += timedelta(seconds=outcome.after_s + 1)

    middles = [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert all(0.75 * middle <= wait <= min(1.25 * middle, 3600) for wait, middle in zip(waits, middles, strict=True))


def test_a_peer_that_rejects_us_is_not_asked_again_before_its_time(tmp_path: Path) -> None:
    with run_fake_pacs(require_calling="SOMEBODY") as pacs:
        outbox = Outbox(tmp_path, {"pacs": dicom_destination(pacs.peer)})
        outbox.add_result("1", ["pacs"])
        now, end = NOW, NOW + timedelta(hours=1)
        while now < end:
            for due in due_deliveries(outbox.database, now):
                deliver_once(outbox.database, outbox.settings, due.id, now)
            now += timedelta(seconds=1)

    assert 5 <= pacs.associations <= 8  # 30 s, 1, 2, 4, 8, 16, 32 min, each a quarter more or less


def test_a_day_of_a_dead_pacs_loses_nothing_and_ends_in_order_of_priority(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    outbox = Outbox(tmp_path, {"pacs": dicom_destination(DicomPeer("PACS", "127.0.0.1", port))})
    priorities = {"0": 100, "1": 10, "2": 100, "3": 1, "4": 10, "5": 100}
    for key, priority in priorities.items():
        outbox.add_result(key, ["pacs"], priority=priority)
    now, back = NOW, NOW + timedelta(days=1)
    while now < back:
        for due in due_deliveries(outbox.database, now):
            deliver_once(outbox.database, outbox.settings, due.id, now)
        now += timedelta(hours=2)

    order: list[str] = []
    now -= timedelta(hours=1, minutes=30)
    with run_fake_pacs(port=port) as pacs:
        for _ in range(60):
            now += timedelta(minutes=1)
            for due in due_deliveries(outbox.database, now, limit=1):
                order.append(due.job_key)
                assert deliver_once(outbox.database, outbox.settings, due.id, now).state is SENT
        stored = len(pacs.stored)

    assert stored == 12
    expected = ["3", "1", "4", "0", "2", "5"]
    first = order[0]  # whose turn it was when the PACS came back; its success brings the others forward
    assert order == [first, *(key for key in expected if key != first)]


def test_the_first_success_brings_forward_what_found_nobody(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    outbox = Outbox(tmp_path, {"pacs": dicom_destination(DicomPeer("PACS", "127.0.0.1", port))})
    (early,) = outbox.add_result("1", ["pacs"])
    (late,) = outbox.add_result("2", ["pacs"], priority=1)
    deliver_once(outbox.database, outbox.settings, early.id, NOW)
    for hours in range(8):
        deliver_once(outbox.database, outbox.settings, late.id, NOW + timedelta(hours=hours))
    now = NOW + timedelta(hours=7, minutes=1)
    assert outbox.read(late).next_attempt_at > now + timedelta(minutes=10)

    with run_fake_pacs(port=port):
        deliver_once(outbox.database, outbox.settings, early.id, now)

    assert [due.id for due in due_deliveries(outbox.database, now + timedelta(seconds=30))] == [late.id]


def test_a_delivery_is_given_up_after_days_and_says_why(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    outbox = Outbox(tmp_path, {"pacs": dicom_destination(DicomPeer("PACS", "127.0.0.1", port))})
    (delivery,) = outbox.add_result("1", ["pacs"])
    deliver_once(outbox.database, outbox.settings, delivery.id, NOW)
    outcome = deliver_once(outbox.database, outbox.settings, delivery.id, NOW + timedelta(days=7))

    assert (outcome.state, outcome.after_s) == (PARKED, None)
    assert "given up after 7 days" in outcome.reason
    assert due_deliveries(outbox.database, NOW + timedelta(days=30)) == []


def test_a_parked_delivery_is_retried_from_the_shortest_wait_and_counts_on(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    outbox = Outbox(tmp_path, {"pacs": dicom_destination(DicomPeer("PACS", "127.0.0.1", port))})
    (delivery,) = outbox.add_result("1", ["pacs"])
    for day in (0, 1, 8):
        deliver_once(outbox.database, outbox.settings, delivery.id, NOW + timedelta(days=day))
    later = NOW + timedelta(days=9)
    with outbox.database.begin() as connection:
        retry_parked(connection, delivery.id, later)
    outcome = deliver_once(outbox.database, outbox.settings, delivery.id, later)

    assert outcome.state is WAITING
    assert outcome.after_s is not None
    assert outcome.after_s < 40
    assert outbox.read(delivery).attempts == 4


def test_an_attempt_that_dies_is_due_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox(tmp_path, {"pacs": dicom_destination(DicomPeer("PACS", "127.0.0.1", 1))})
    (delivery,) = outbox.add_result("1", ["pacs"])

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vst_dicom.runtime.delivering._attempt", die)
    with pytest.raises(KeyboardInterrupt):
        deliver_once(outbox.database, outbox.settings, delivery.id, NOW)

    assert due_deliveries(outbox.database, NOW) == []
    assert [due.id for due in due_deliveries(outbox.database, NOW + timedelta(minutes=10))] == [delivery.id]
    assert outbox.read(delivery).attempts == 1


def test_a_fault_of_ours_is_a_retry_that_quotes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox(tmp_path, {"pacs": dicom_destination(DicomPeer("PACS", "127.0.0.1", 1))})
    (delivery,) = outbox.add_result("1", ["pacs"])

    def break_down(*_: object) -> None:
        raise ValueError("Doe^Jane")

    monkeypatch.setattr("vst_dicom.runtime.delivering._attempt", break_down)
    outcome = deliver_once(outbox.database, outbox.settings, delivery.id, NOW)

    assert outcome.state is WAITING
    assert "ValueError" in outcome.reason
    assert "Doe" not in outcome.reason


def test_a_destination_that_left_the_settings_parks(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, {})
    (delivery,) = outbox.add_result("1", ["gone"])

    outcome = deliver_once(outbox.database, outbox.settings, delivery.id, NOW)

    assert outcome.state is PARKED
    assert "'gone' is not in the settings" in outcome.reason


@pytest.mark.parametrize("harm", ["remove", "change"])
def test_a_result_file_that_is_not_what_was_written_parks(tmp_path: Path, harm: str) -> None:
    with run_fake_pacs() as pacs:
        outbox = Outbox(tmp_path, {"pacs": dicom_destination(pacs.peer)})
        (delivery,) = outbox.add_result("1", ["pacs"])
        path = outbox.settings.results / "1" / "0.dcm"
        path.unlink() if harm == "remove" else path.write_bytes(path.read_bytes()[:-1] + b"\x07")
        outcome = deliver_once(outbox.database, outbox.settings, delivery.id, NOW)

    assert outcome.state is PARKED
    assert pacs.stored == {}


def test_a_report_on_another_association_commits(tmp_path: Path) -> None:
    with run_fake_pacs() as pacs:
        outbox = Outbox(tmp_path, {"pacs": dicom_destination(pacs.peer, storage_commitment=True)})
        (delivery,) = outbox.add_result("1", ["pacs"])
        outcome = deliver_once(outbox.database, outbox.settings, delivery.id, NOW)
        request = pacs.commitments[0]
    uids = [item.ReferencedSOPInstanceUID for item in request.ReferencedSOPSequence]

    assert outcome.state is SENT
    assert not outbox.read(delivery).is_finished
    for _ in range(2):
        handle_commitment_report(outbox.database, request.TransactionUID, uids, [], now=NOW)
    assert outbox.read(delivery).state is COMMITTED


def test_a_report_of_nobodys_request_changes_nothing(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, {})
    (delivery,) = outbox.add_result("1", ["pacs"])

    handle_commitment_report(outbox.database, "2.25.4", ["2.25.1000", "2.25.1001"], [], now=NOW)
    handle_commitment_report(outbox.database, "", [], ["2.25.1000"], now=NOW)

    assert outbox.read(delivery) == delivery


def test_a_report_of_failure_sends_again_only_what_failed(tmp_path: Path) -> None:
    with run_fake_pacs() as pacs:
        outbox = Outbox(tmp_path, {"pacs": dicom_destination(pacs.peer, storage_commitment=True)})
        (delivery,) = outbox.add_result("1", ["pacs"])
        deliver_once(outbox.database, outbox.settings, delivery.id, NOW)
        handle_commitment_report(
            outbox.database, pacs.commitments[0].TransactionUID, ["2.25.1000"], {"2.25.1001": 0x0112}, now=NOW
        )
        waiting = outbox.read(delivery)
        deliver_once(outbox.database, outbox.settings, delivery.id, NOW + timedelta(minutes=1))

    assert (waiting.state, waiting.accepted) == (WAITING, {"2.25.1000"})
    assert NOW < waiting.next_attempt_at < NOW + timedelta(minutes=1)
    assert {uid: len(stored) for uid, stored in pacs.stored.items()} == {"2.25.1000": 1, "2.25.1001": 2}
    assert len(set(map(bytes, pacs.stored["2.25.1001"]))) == 1
    assert len({request.TransactionUID for request in pacs.commitments}) == 2


def test_a_pacs_that_never_reports_is_asked_again_with_growing_patience(tmp_path: Path) -> None:
    with run_fake_pacs() as pacs:
        outbox = Outbox(tmp_path, {"pacs": dicom_destination(pacs.peer, storage_commitment=True)})
        (delivery,) = outbox.add_result("1", ["pacs"])
        waits, now = [], NOW
        for _ in range(4):
            outcome = deliver_once(outbox.database, outbox.settings, delivery.id, now)
            assert outcome.after_s is not None
            waits.append(round(outcome.after_s / 3600))
            now += timedelta(seconds=outcome.after_s)

    assert waits == [1, 1, 2, 4]
    assert len(pacs.commitments) == 4
    assert [len(stored) for stored in pacs.stored.values()] == [1, 1]


def test_a_query_that_finds_nothing_for_long_sends_again(tmp_path: Path) -> None:
    with run_fake_pacs() as pacs, run_fake_web() as web:
        outbox = Outbox(tmp_path, {"pacs": dicom_destination(pacs.peer, query_url=web.url)})
        (delivery,) = outbox.add_result("1", ["pacs"])
        first = deliver_once(outbox.database, outbox.settings, delivery.id, NOW)
        soon = deliver_once(outbox.database, outbox.settings, delivery.id, NOW + timedelta(minutes=1))
        late = deliver_once(outbox.database, outbox.settings, delivery.id, NOW + timedelta(hours=2))
        web.known = {"2.25.1000", "2.25.1001"}
        last = deliver_once(outbox.database, outbox.settings, delivery.id, NOW + timedelta(hours=3))

    assert [first.state, soon.state, late.state, last.state] == [SENT, SENT, WAITING, COMMITTED]
    assert [len(stored) for stored in pacs.stored.values()] == [2, 2]


def test_stow_is_a_destination(tmp_path: Path) -> None:
    with run_fake_web() as web:
        web.known = {"2.25.1000", "2.25.1001"}
        outbox = Outbox(tmp_path, {"web": Destination(url=web.url, query_url=web.url, timeout_s=3)})
        (delivery,) = outbox.add_result("1", ["web"])
        outcome = deliver_once(outbox.database, outbox.settings, delivery.id, NOW)

    assert outcome.state is COMMITTED
    assert len(web.bodies) == 2


def test_due_deliveries_come_by_priority_then_age(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, {})
    for key, priority in (("1", 100), ("2", 1), ("3", 100), ("4", 50)):
        outbox.add_result(key, ["pacs"], priority=priority)

    assert [due.job_key for due in due_deliveries(outbox.database, NOW)] == ["2", "4", "1", "3"]
    assert [due.job_key for due in due_deliveries(outbox.database, NOW, limit=2)] == ["2", "4"]


def test_the_same_deliveries_are_created_once(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, {})
    outbox.add_result("1", ["a", "b", "a"])
    with outbox.database.begin() as connection:
        create_deliveries(connection, "1", ["b", "c"], priority=100, now=NOW)
        names = [delivery.destination for delivery in list_deliveries(connection, "1")]

    assert names == ["a", "b", "c"]


def test_a_confirmation_that_comes_before_the_answer_stands(tmp_path: Path) -> None:
    with run_fake_pacs() as pacs:
        outbox = Outbox(tmp_path, {"pacs": dicom_destination(pacs.peer, storage_commitment=True)})
        (delivery,) = outbox.add_result("1", ["pacs"])
        pacs.before_answer = lambda request: handle_commitment_report(
            outbox.database, request.TransactionUID, ["2.25.1000", "2.25.1001"], [], now=NOW
        )
        deliver_once(outbox.database, outbox.settings, delivery.id, NOW)

    assert outbox.read(delivery).state is COMMITTED


def test_a_report_of_failure_that_comes_before_the_answer_stands(tmp_path: Path) -> None:
    with run_fake_pacs() as pacs:
        outbox = Outbox(tmp_path, {"pacs": dicom_destination(pacs.peer, storage_commitment=True)})
        (delivery,) = outbox.add_result("1", ["pacs"])
        pacs.before_answer = lambda request: handle_commitment_report(
            outbox.database, request.TransactionUID, ["2.25.1000"], ["2.25.1001"], now=NOW
        )
        deliver_once(outbox.database, outbox.settings, delivery.id, NOW)

    waiting = outbox.read(delivery)
    assert (waiting.state, waiting.accepted) == (WAITING, {"2.25.1000"})


def test_a_reply_goes_only_to_a_configured_destination(tmp_path: Path) -> None:
    peers = {
        "pacs": dicom_destination(DicomPeer("PACS", "10.0.0.1", 104)),
        "twin": dicom_destination(DicomPeer("PACS", "10.0.0.2", 104)),
        "research": dicom_destination(DicomPeer("RESEARCH", "10.0.0.3", 104)),
    }
    settings = Outbox(tmp_path, peers, reply_to_sender=True).settings

    def names(ae_title: str, address: str) -> tuple[str, ...]:
        return names_of_destinations(settings, ["research"], reply_to_ae=ae_title, reply_to_address=address)

    assert names("PACS", "10.0.0.2") == ("research", "twin")
    assert names("PACS", "10.9.9.9") == ("research", "pacs")
    assert names("SCANNER", "10.0.0.1") == ("research",)
    assert names("RESEARCH", "10.0.0.3") == ("research",)
    assert names("", "") == ("research",)


def test_nobody_is_replied_to_unless_settings_say_so(tmp_path: Path) -> None:
    settings = Outbox(tmp_path, {"pacs": dicom_destination(DicomPeer("PACS", "10.0.0.1", 104))}).settings

    assert names_of_destinations(settings, [], reply_to_ae="PACS", reply_to_address="10.0.0.1") == ()
