"""Claims about one attempt at a delivery."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.deliver.instances import data_set, sent, write_instance
from tests.peers.pacs import run_fake_pacs
from tests.peers.web import run_fake_web
from vst_dicom.deliver.association import DicomPeer
from vst_dicom.deliver.attempt import Target, attempt_delivery
from vst_dicom.deliver.commitment import CommitmentReport
from vst_dicom.deliver.files import InstanceFile, read_instance_file
from vst_dicom.deliver.outcome import Outcome, judge_report
from vst_dicom.domain.errors import DamagedInstanceError
from vst_dicom.ledger.states import DeliveryState
from vst_dicom.runtime.orthanc import free_ports

TRANSACTION = "2.25.77"


@dataclass
class Sender:
    """A result of three instances, and what is remembered between attempts."""

    files: list[InstanceFile]
    accepted: set[str] = field(default_factory=set)

    def attempt(self, target: Target, *, is_sent: bool = False) -> Outcome:
        def open_files(wanted: Collection[str]) -> list[InstanceFile]:
            return [file for file in self.files if file.sop_instance_uid in wanted]

        return attempt_delivery(
            target,
            "VST_DICOM",
            [sent(file) for file in self.files],
            open_files,
            accepted=set(self.accepted),
            is_sent=is_sent,
            new_transaction=lambda: TRANSACTION,
            on_accepted=self.accepted.add,
        )

    @property
    def uids(self) -> list[str]:
        return [file.sop_instance_uid for file in self.files]


@pytest.fixture
def sender(tmp_path: Path) -> Sender:
    return Sender([write_instance(tmp_path, number, n_bytes=50_000) for number in range(3)])


def test_everything_accepted_is_sent(sender: Sender) -> None:
    with run_fake_pacs() as pacs:
        outcome = sender.attempt(Target(pacs.peer))

    assert outcome == Outcome(DeliveryState.SENT)
    assert sender.accepted == set(sender.uids)


def test_an_attempt_after_an_abort_sends_the_rest_byte_for_byte(sender: Sender) -> None:
    with run_fake_pacs() as pacs:
        pacs.abort_after = 2
        first = sender.attempt(Target(pacs.peer))
        accepted_first = set(sender.accepted)
        second = sender.attempt(Target(pacs.peer))

    assert (first.state, first.unreachable) == (DeliveryState.WAITING, True)
    assert accepted_first == {sender.uids[0]}
    assert second.state is DeliveryState.SENT
    assert {uid: set(stored) for uid, stored in pacs.stored.items()} == {
        file.sop_instance_uid: {data_set(file)} for file in sender.files
    }
    assert len(pacs.stored[sender.uids[0]]) == 1


@pytest.mark.parametrize(
    ("status", "state"),
    [(0xA700, DeliveryState.WAITING), (0xC000, DeliveryState.PARKED), (0xA900, DeliveryState.PARKED)],
)
def test_a_refused_instance_decides_whether_to_try_again(sender: Sender, status: int, state: DeliveryState) -> None:
    with run_fake_pacs() as pacs:
        pacs.status_of = lambda uid: status if uid == sender.uids[1] else 0x0000
        outcome = sender.attempt(Target(pacs.peer))

    assert outcome.state is state
    assert "1 of 3 instances not accepted" in outcome.reason
    assert sender.accepted == {sender.uids[0], sender.uids[2]}


def test_a_peer_that_is_down_is_an_outcome(sender: Sender) -> None:
    (port,) = free_ports(1)

    outcome = sender.attempt(Target(DicomPeer("PACS", "127.0.0.1", port, timeout_s=1)))

    assert (outcome.state, outcome.unreachable) == (DeliveryState.WAITING, True)
    assert "cannot be reached" in outcome.reason


def test_a_rejected_association_is_one_association(sender: Sender) -> None:
    with run_fake_pacs(require_calling="SOMEBODY") as pacs:
        outcome = sender.attempt(Target(pacs.peer))

    assert outcome.state is DeliveryState.WAITING
    assert "Calling AE title" in outcome.reason
    assert pacs.associations == 1


def test_a_changed_file_is_never_sent(tmp_path: Path, sender: Sender) -> None:
    path = sender.files[1].path
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")

    with pytest.raises(DamagedInstanceError, match="changed since it was written"):
        read_instance_file(path, "0" * 64)


def test_storage_commitment_is_asked_for_by_the_uids_of_the_result(sender: Sender) -> None:
    with run_fake_pacs() as pacs:
        outcome = sender.attempt(Target(pacs.peer, storage_commitment=True))

    assert (outcome.state, outcome.asked) == (DeliveryState.SENT, True)
    (request,) = pacs.commitments
    assert request.TransactionUID == TRANSACTION
    assert [item.ReferencedSOPInstanceUID for item in request.ReferencedSOPSequence] == sender.uids
    assert [item.ReferencedSOPClassUID for item in request.ReferencedSOPSequence] == [
        file.sop_class_uid for file in sender.files
    ]


def test_a_report_on_the_same_association_is_taken(sender: Sender) -> None:
    with run_fake_pacs() as pacs:
        pacs.report_at_once = lambda _: (sender.uids, {})
        outcome = sender.attempt(Target(pacs.peer, storage_commitment=True))

    assert outcome.state is DeliveryState.COMMITTED


def test_a_report_of_failure_names_what_to_send_again(sender: Sender) -> None:
    with run_fake_pacs() as pacs:
        pacs.report_at_once = lambda _: (sender.uids[:2], {sender.uids[2]: 0x0112})
        outcome = sender.attempt(Target(pacs.peer, storage_commitment=True))

    assert outcome.state is DeliveryState.WAITING
    assert outcome.missing == {sender.uids[2]}
    assert "0x0112" in outcome.reason


def test_what_was_sent_before_is_only_asked_about(sender: Sender) -> None:
    sender.accepted = set(sender.uids)

    with run_fake_pacs() as pacs:
        sender.attempt(Target(pacs.peer, storage_commitment=True, notify_availability=True), is_sent=True)

    assert pacs.stored == {}
    assert pacs.notifications == []
    assert len(pacs.commitments) == 1


def test_a_peer_is_told_what_is_available_and_where(sender: Sender) -> None:
    with run_fake_pacs() as pacs:
        outcome = sender.attempt(Target(pacs.peer, notify_availability=True))

    assert outcome.state is DeliveryState.SENT
    (notification,) = pacs.notifications
    assert notification.StudyInstanceUID == "2.25.100"
    series = notification.ReferencedSeriesSequence
    assert [one.SeriesInstanceUID for one in series] == ["2.25.200", "2.25.201"]
    (item,) = series[1].ReferencedSOPSequence
    assert (item.ReferencedSOPInstanceUID, item.InstanceAvailability, item.RetrieveAETitle) == (
        "2.25.1001",
        "ONLINE",
        "PACS",
    )


def test_a_query_that_finds_everything_commits(sender: Sender) -> None:
    with run_fake_pacs() as pacs, run_fake_web() as web:
        web.known = set(sender.uids)
        outcome = sender.attempt(Target(pacs.peer, query=web.server))

    assert outcome.state is DeliveryState.COMMITTED


def test_a_query_that_misses_something_does_not(sender: Sender) -> None:
    with run_fake_pacs() as pacs, run_fake_web() as web:
        web.known = set(sender.uids[1:])
        outcome = sender.attempt(Target(pacs.peer, query=web.server, storage_commitment=True))

    assert outcome.state is DeliveryState.SENT
    assert outcome.missing == {sender.uids[0]}
    assert pacs.commitments == []


def test_stow_is_an_attempt_like_any_other(sender: Sender) -> None:
    with run_fake_web() as web:
        outcome = sender.attempt(Target(web.server, query=web.server))

    assert outcome.state is DeliveryState.SENT
    assert len(web.bodies) == 3


def test_a_report_that_leaves_an_instance_out_does_not_commit_it() -> None:
    outcome = judge_report(CommitmentReport(TRANSACTION, frozenset({"1.2"}), {}), ["1.2", "1.3"])

    assert outcome.state is DeliveryState.WAITING
    assert outcome.missing == {"1.3"}


def test_an_instance_that_a_report_names_twice_counts_as_failed() -> None:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2"
    information = Dataset()
    information.TransactionUID = TRANSACTION
    information.ReferencedSOPSequence = [item]
    information.FailedSOPSequence = [item]

    report = CommitmentReport.from_dataset(information)

    assert (report.committed, report.failed) == (frozenset(), {"1.2": 0})


def test_an_empty_report_is_read(sender: Sender) -> None:
    from pydicom.dataset import Dataset

    assert CommitmentReport.from_dataset(Dataset()) == CommitmentReport("", frozenset(), {})


def test_a_peer_that_does_not_know_storage_commitment_leaves_it_sent(sender: Sender) -> None:
    with run_fake_pacs(services=()) as pacs:
        outcome = sender.attempt(Target(pacs.peer, storage_commitment=True))

    assert outcome.state is DeliveryState.SENT
    assert "none of the proposed presentation contexts" in outcome.reason
