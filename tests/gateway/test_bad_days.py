"""Claims about the whole server on bad days: a PACS that is down or says no, a receiver that dies while it receives."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from pynetdicom.dsutils import split_dataset
from sqlalchemy import select

from tests.chaos.peers import RESULTS, send_until_acknowledged
from tests.gateway.server import RESULT_OBJECTS, Server, To, running_server, study_of
from tests.peers.pacs import FakePacs, run_fake_pacs
from tests.receive.raw_peer import P_DATA, VL_WHOLE_SLIDE, RawPeer, pdu, pdv, store_command
from tests.runtime.slides import write_slide
from tests.wsi_builder import JPEG
from vst_dicom.deliver.association import DicomPeer
from vst_dicom.deliver.files import find_instance_files
from vst_dicom.deliver.store_scu import send_instances
from vst_dicom.ledger.tables import instances
from vst_dicom.runtime.orthanc import free_ports

pytestmark = pytest.mark.slow

SIZE_PX = 640
WATCHED_S = 8.0


@dataclass(frozen=True)
class Hospital:
    """The server; a PACS that takes results, one that rejects associations, and the port of one that is down."""

    server: Server
    fine: FakePacs
    rejecting: FakePacs
    down_port: int


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    (down_port,) = free_ports(1)
    with ExitStack() as stack:
        fine = stack.enter_context(run_fake_pacs(sop_classes=RESULTS))
        rejecting = stack.enter_context(run_fake_pacs(sop_classes=RESULTS, require_calling="SOMEBODY ELSE"))
        destinations = [
            To("PACS", fine.port, {"SCANNER": "routine"}),
            To("PACS", rejecting.port, {"TO_REJECTING": "routine"}),
            To("PACS", down_port, {"LATER": "routine", "SOON": "high", "NOW": "stat"}),
        ]
        server = stack.enter_context(running_server(tmp_path_factory.mktemp("server"), destinations))
        yield Hospital(server, fine, rejecting, down_port)


def send(server: Server, slide: Path, calling: str) -> str:
    """Send a slide; returns its Study Instance UID."""
    send_instances(DicomPeer("VST_DICOM", "127.0.0.1", server.port), calling, find_instance_files([slide]))
    return study_of(slide)


def test_a_pacs_that_was_down_gets_everything_urgent_results_first(hospital: Hospital, tmp_path: Path) -> None:
    server = hospital.server
    callers = ["LATER", "LATER", "LATER", "LATER", "SOON", "NOW"]
    studies = [
        send(server, write_slide(tmp_path / f"{number}.dcm", 20 + number, SIZE_PX), calling)
        for number, calling in enumerate(callers)
    ]
    for study in studies:
        server.wait_until_done(study)
        server.wait(lambda study=study: server.deliveries(study)[0].attempts >= 2, f"attempts to deliver {study}")
    assert {delivery.state for study in studies for delivery in server.deliveries(study)} == {"waiting"}

    with run_fake_pacs(sop_classes=RESULTS, port=hospital.down_port) as pacs:
        pacs.hang_s = 0.5
        for study in studies:
            server.wait_until_delivered(study)

    study_by_uid = {row.sop_instance_uid: study for study in studies for row in server.results(study)}
    arrived = list(dict.fromkeys(study_by_uid[uid] for uid in pacs.stored))
    assert len(pacs.stored) == len(study_by_uid) == len(studies) * RESULT_OBJECTS
    # two results at a time go to one destination, and those that try first meet it first
    assert arrived.index(studies[5]) <= 2
    assert arrived.index(studies[4]) <= 3


def test_a_pacs_that_rejects_associations_is_tried_ever_more_rarely(hospital: Hospital, tmp_path: Path) -> None:
    server, pacs = hospital.server, hospital.rejecting
    study = send(server, write_slide(tmp_path / "slide.dcm", 30, SIZE_PX), "TO_REJECTING")
    server.wait_until_done(study)
    server.wait(lambda: pacs.associations > 0, "a first association")
    time.sleep(WATCHED_S)

    (delivery,) = server.deliveries(study)
    assert delivery.state == "waiting"
    assert "reject" in delivery.reason
    # waits of 1, 2, 4, 4 ... seconds, a quarter shorter at most
    assert 2 <= delivery.attempts <= 5
    assert abs(pacs.associations - delivery.attempts) <= 1
    assert not pacs.stored


def test_a_slide_whose_receiver_died_in_the_middle_is_sent_again_and_processed_once(
    hospital: Hospital, tmp_path: Path
) -> None:
    server = hospital.server
    slide = write_slide(tmp_path / "slide.dcm", 40, SIZE_PX)
    study = study_of(slide)
    _, offset = split_dataset(slide)
    data_set = slide.read_bytes()[offset:]
    incoming = server.settings.spool / "incoming"
    uid = find_instance_files([slide])[0].sop_instance_uid

    with RawPeer(server.port) as scanner:
        scanner.associate(calling="SCANNER", contexts=((1, VL_WHOLE_SLIDE, (JPEG,)),))
        half = pdv(data_set[: len(data_set) // 2], last=False)
        scanner.send(pdu(P_DATA, pdv(store_command(uid), command=True)), pdu(P_DATA, half))
        server.wait(lambda: any(incoming.iterdir()), "the instance to be written")
        server.kill("receiver")
        assert scanner.is_closed()
    assert find_rows(server, study) == []

    send_until_acknowledged(slide, [server.port], 60)
    server.wait_until_delivered(study)

    (file_name,) = find_rows(server, study)
    assert (server.settings.spool / file_name).read_bytes().endswith(data_set)
    assert not any(incoming.iterdir())
    assert [(job.state, job.attempts) for job in server.jobs(study)] == [("done", 1)]
    assert [len(hospital.fine.stored[row.sop_instance_uid]) for row in server.results(study)] == [1] * RESULT_OBJECTS


def find_rows(server: Server, study: str) -> list[str]:
    """Files of the instances of a study that the ledger knows."""
    with server.database.begin() as connection:
        query = select(instances.c.file_name).where(instances.c.study_instance_uid == study)
        return list(connection.execute(query).scalars())
