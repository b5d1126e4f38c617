"""Real peers: DCMTK's SCUs, every transfer syntax, and storage commitment by pynetdicom as SCP."""

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID
from pynetdicom import AE, build_role

from tests.programs import needs
from tests.receive.conftest import QUICK, Receiver
from tests.wsi_builder import IMPLICIT, JPEG, JPEG_2000, JPEG_2000_LOSSLESS, JPEG_LS, NATIVE, RLE, Wsi, paint, write_wsi
from vst_dicom.receive.accepted import STORED, TRANSFER_SYNTAXES
from vst_dicom.receive.contexts import STORAGE_COMMITMENT
from vst_dicom.receive.listener import ListenerSettings
from vst_dicom.receive.peers import Peer
from vst_dicom.receive.spool import find_data_set

needs_dcmtk = needs("storescu", "dcmtk")
PATIENT = replace(QUICK, idle_s=20.0, request_s=10.0, pdu_base_s=5.0)

_PROPOSED = {
    JPEG: "-xy",
    JPEG_LS: "-xt",
    JPEG_2000_LOSSLESS: "-xv",
    JPEG_2000: "-xw",
    RLE: "-xr",
    NATIVE: "-xe",
    IMPLICIT: "-xi",
}


def run(*command: object) -> int:
    return subprocess.run([*map(str, command)], check=False, capture_output=True, timeout=60).returncode


def data_set_of(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(find_data_set(file.fileno()))
        return file.read()


@needs_dcmtk
@pytest.mark.parametrize("transfer_syntax", list(_PROPOSED))
def test_storescu_sends_each_transfer_syntax_it_knows(
    start: Callable[..., Receiver], tmp_path: Path, transfer_syntax: str
) -> None:
    receiver = start(ListenerSettings(limits=PATIENT))
    path = write_wsi(tmp_path / "slide.dcm", Wsi([paint(64, 64)], transfer_syntax=transfer_syntax))

    assert run("storescu", "-R", _PROPOSED[transfer_syntax], "-aec", "VST_DICOM", "127.0.0.1", receiver.port, path) == 0

    (row,) = receiver.rows()
    assert row.transfer_syntax_uid == transfer_syntax
    kept = dcmread(receiver.storage.spool.path(row.file_name))
    assert kept.PixelData == dcmread(path).PixelData


@needs_dcmtk
def test_dcmsend_sends_a_folder_and_again(start: Callable[..., Receiver], tmp_path: Path) -> None:
    receiver = start(ListenerSettings(limits=PATIENT))
    for number in range(5):
        write_wsi(tmp_path / f"{number}.dcm", Wsi([paint(64, 64, number)], transfer_syntax=JPEG))
    for _ in range(2):
        command = ("dcmsend", "--decompress-never", "-aec", "VST_DICOM", "127.0.0.1", receiver.port)
        assert run(*command, *tmp_path.glob("*.dcm")) == 0
    assert len(receiver.rows()) == 5


@needs_dcmtk
def test_echo_needs_the_right_titles_and_the_right_address(start: Callable[..., Receiver]) -> None:
    peers = (Peer("SCANNER", (ip_network("127.0.0.0/8"),)), Peer("PACS", (ip_network("10.0.0.0/8"),)))
    receiver = start(ListenerSettings(peers=peers, limits=PATIENT))

    def echo(calling: str, called: str) -> int:
        return run("echoscu", "-aet", calling, "-aec", called, "127.0.0.1", receiver.port)

    assert echo("SCANNER", "VST_DICOM") == 0
    assert echo("SCANNER", "OTHER") != 0
    assert echo("PACS", "VST_DICOM") != 0
    assert echo("STRANGER", "VST_DICOM") != 0


@needs_dcmtk
@pytest.mark.slow
def test_twenty_storescu_at_once_complete(start: Callable[..., Receiver], tmp_path: Path) -> None:
    receiver = start(ListenerSettings(limits=PATIENT))
    paths = [write_wsi(tmp_path / f"{n}.dcm", Wsi([paint(512, 512, n)], transfer_syntax=JPEG)) for n in range(20)]

    def send(path: Path) -> int:
        return run("storescu", "-R", "-xy", "-aec", "VST_DICOM", "127.0.0.1", receiver.port, path)

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(send, paths)) == [0] * 20
    kept = {row.sop_instance_uid: receiver.storage.spool.path(row.file_name) for row in receiver.rows()}
    assert len(kept) == 20
    for path in paths:
        assert data_set_of(kept[dcmread(path).SOPInstanceUID]) == data_set_of(path)


@pytest.mark.parametrize("sop_class_uid", list(STORED))
def test_every_sop_class_is_accepted_with_every_transfer_syntax(
    start: Callable[..., Receiver], sop_class_uid: str
) -> None:
    receiver = start(ListenerSettings(limits=PATIENT))
    ae = AE()
    for transfer_syntax in TRANSFER_SYNTAXES:
        ae.add_requested_context(sop_class_uid, transfer_syntax)
    association = ae.associate("127.0.0.1", receiver.port, ae_title="VST_DICOM")
    assert association.is_established
    assert {context.transfer_syntax[0] for context in association.accepted_contexts} == set(TRANSFER_SYNTAXES)
    association.release()


def test_no_deflated_and_no_big_endian_transfer_syntax_is_taken() -> None:
    assert not {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.8.1"} & set(TRANSFER_SYNTAXES)


@pytest.mark.parametrize(("answer", "status"), [(0x0000, 0x0000), (0x0110, 0x0110), (KeyError(), 0x0110)])
def test_a_storage_commitment_report_is_handed_over(
    start: Callable[..., Receiver], answer: int | Exception, status: int
) -> None:
    reports: list[tuple[int, Dataset]] = []

    def on_report(event_type: int, information: Dataset) -> int:
        reports.append((event_type, information))
        if isinstance(answer, Exception):
            raise answer
        return answer

    receiver = start(ListenerSettings(limits=PATIENT), on_report=on_report)
    ae = AE()
    ae.add_requested_context(STORAGE_COMMITMENT)
    role = build_role(STORAGE_COMMITMENT, scp_role=True)
    association = ae.associate("127.0.0.1", receiver.port, ae_title="VST_DICOM", ext_neg=[role])
    assert association.is_established
    information = Dataset()
    information.TransactionUID = "1.2.9"
    information.ReferencedSOPSequence = []
    response, _ = association.send_n_event_report(
        information, 1, UID(STORAGE_COMMITMENT), UID("1.2.840.10008.1.20.1.1")
    )
    association.release()

    assert response.Status == status
    assert [(event_type, str(report.TransactionUID)) for event_type, report in reports] == [(1, "1.2.9")]
