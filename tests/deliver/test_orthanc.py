"""Claims about delivery to a real PACS: Orthanc, by C-STORE and STOW-RS, confirmed by commitment and query."""

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from tests.deliver.instances import STUDY, sent, write_instance
from tests.peers.orthanc import (
    Orthanc,
    count,
    is_stored,
    modality,
    needs_orthanc,
    peer,
    qido,
    run_orthanc,
    web_server,
)
from vst_dicom.deliver.commitment import CommitmentReport, ask_for_commitment
from vst_dicom.deliver.dicomweb import find_missing, store_instances
from vst_dicom.deliver.files import InstanceFile
from vst_dicom.deliver.outcome import judge_report
from vst_dicom.deliver.status import Verdict
from vst_dicom.deliver.store_scu import send_instances
from vst_dicom.ledger.states import DeliveryState

pytestmark = needs_orthanc


@contextmanager
def _listener() -> Iterator[tuple[int, "queue.Queue[CommitmentReport]"]]:
    """Takes N-EVENT-REPORT on associations of the peer's own, as the product's listener does."""
    reports: queue.Queue[CommitmentReport] = queue.Queue()

    def note(event: Any) -> tuple[int, None]:
        reports.put(CommitmentReport.from_dataset(event.event_information))
        return 0x0000, None

    entity = AE(ae_title="VST_DICOM")
    entity.add_supported_context(Verification)
    entity.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, note)])
    assert server is not None
    try:
        yield server.server_address[1], reports
    finally:
        server.shutdown()


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[tuple[Orthanc, queue.Queue[CommitmentReport]]]":
    with _listener() as (port, reports):
        folder = tmp_path_factory.mktemp("orthanc")
        with run_orthanc(folder, modalities={"vst_dicom": modality("VST_DICOM", port)}) as orthanc:
            yield orthanc, reports


@pytest.fixture
def files(tmp_path: Path, request: pytest.FixtureRequest) -> list[InstanceFile]:
    first = sum(request.node.name.encode()) * 10
    return [write_instance(tmp_path, first + number, n_bytes=200_000) for number in range(3)]


def test_orthanc_stores_what_is_sent_and_shows_it_in_the_study(pacs: Any, files: list[InstanceFile]) -> None:
    orthanc, _ = pacs

    answers = send_instances(peer(orthanc), "VST_DICOM", files)

    assert {answer.verdict for answer in answers} == {Verdict.ACCEPTED}
    found = {item["00080018"]["Value"][0] for item in qido(orthanc, f"studies/{STUDY}/instances")}
    assert found >= {file.sop_instance_uid for file in files}
    assert find_missing(web_server(orthanc), [sent(file) for file in files]) == []


def test_the_same_instance_twice_is_one_in_orthanc(pacs: Any, files: list[InstanceFile]) -> None:
    orthanc, _ = pacs
    send_instances(peer(orthanc), "VST_DICOM", files)
    before = count(orthanc)

    answers = send_instances(peer(orthanc), "VST_DICOM", files)

    assert {answer.verdict for answer in answers} == {Verdict.ACCEPTED}
    assert count(orthanc) == before


def test_stow_stores_the_same_data_set(pacs: Any, files: list[InstanceFile]) -> None:
    orthanc, _ = pacs

    answers = store_instances(web_server(orthanc), files)

    assert {answer.verdict for answer in answers} == {Verdict.ACCEPTED}
    assert all(is_stored(orthanc, file.sop_instance_uid) for file in files)
    again = store_instances(web_server(orthanc), files)
    assert {answer.verdict for answer in again} == {Verdict.ACCEPTED}
    query = {"Level": "Instance", "Query": {"SOPInstanceUID": files[0].sop_instance_uid}}
    (identifier,) = orthanc.ask("tools/find", query)
    assert orthanc.fetch(f"instances/{identifier}/file") == files[0].path.read_bytes()


def test_orthanc_commits_what_it_has_on_an_association_of_its_own(pacs: Any, files: list[InstanceFile]) -> None:
    orthanc, reports = pacs
    send_instances(peer(orthanc), "VST_DICOM", files)

    at_once = ask_for_commitment(peer(orthanc), "VST_DICOM", [sent(file) for file in files], "2.25.901")
    report = reports.get(timeout=20)

    assert at_once is None
    assert report == CommitmentReport("2.25.901", frozenset(file.sop_instance_uid for file in files), {})


def test_orthanc_says_what_it_does_not_have(pacs: Any, files: list[InstanceFile]) -> None:
    orthanc, reports = pacs
    send_instances(peer(orthanc), "VST_DICOM", files[:2])
    uids = [file.sop_instance_uid for file in files]

    ask_for_commitment(peer(orthanc), "VST_DICOM", [sent(file) for file in files], "2.25.902")
    outcome = judge_report(reports.get(timeout=20), uids)

    assert outcome.state is DeliveryState.WAITING
    assert outcome.missing == {uids[2]}
    assert "0x0112" in outcome.reason
    assert find_missing(web_server(orthanc), [sent(file) for file in files]) == [uids[2]]
