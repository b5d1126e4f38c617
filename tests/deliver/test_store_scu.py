"""Claims about C-STORE, against a PACS that misbehaves and against DCMTK's."""

import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import AE, evt

from tests.deliver.instances import (
    JPEG_BASELINE,
    PARAMETRIC_MAP,
    SEGMENTATION,
    WHOLE_SLIDE,
    data_set,
    write_instance,
)
from tests.peers.certificates import make_certificates, needs_openssl
from tests.peers.dcmtk import needs_dcmtk, run_dcmqrscp, run_storescp
from tests.peers.pacs import run_fake_pacs
from vst_dicom.deliver.association import DicomPeer, TlsFiles
from vst_dicom.deliver.status import InstanceAnswer, Verdict
from vst_dicom.deliver.store_scu import send_instances
from vst_dicom.domain.errors import PeerError, UsageError
from vst_dicom.runtime.orthanc import free_ports


def test_a_peer_gets_the_bytes_of_the_file(tmp_path: Path) -> None:
    files = [write_instance(tmp_path, number, n_bytes=300_000) for number in range(3)]

    with run_fake_pacs() as pacs:
        answers = send_instances(pacs.peer, "VST_DICOM", files)

    assert [answer.verdict for answer in answers] == [Verdict.ACCEPTED] * 3
    assert pacs.stored == {file.sop_instance_uid: [data_set(file)] for file in files}
    assert pacs.associations == 1


def test_only_contexts_that_are_needed_are_proposed(tmp_path: Path) -> None:
    files = [
        write_instance(tmp_path, 0),
        write_instance(tmp_path, 1),
        write_instance(tmp_path, 2, sop_class=SEGMENTATION),
        write_instance(tmp_path, 3, sop_class=WHOLE_SLIDE, transfer_syntax=JPEG_BASELINE),
    ]
    proposed: list[list[tuple[str, list[str]]]] = []
    entity = AE()
    for sop_class in (PARAMETRIC_MAP, SEGMENTATION, WHOLE_SLIDE):
        entity.add_supported_context(sop_class, ["1.2.840.10008.1.2.1", JPEG_BASELINE])

    def note(event: evt.Event) -> None:
        contexts = event.assoc.requestor.requested_contexts
        proposed.append([(str(one.abstract_syntax), [str(ts) for ts in one.transfer_syntax]) for one in contexts])

    handlers = [(evt.EVT_REQUESTED, note), (evt.EVT_C_STORE, lambda _: 0x0000)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        send_instances(DicomPeer("PACS", "127.0.0.1", server.server_address[1], timeout_s=5), "VST_DICOM", files)
    finally:
        server.shutdown()

    explicit = "1.2.840.10008.1.2.1"
    assert proposed == [
        [(PARAMETRIC_MAP, [explicit]), (SEGMENTATION, [explicit]), (WHOLE_SLIDE, [JPEG_BASELINE])],
    ]


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(0xA700, Verdict.RETRY), (0xC000, Verdict.REFUSED), (0xA900, Verdict.REFUSED), (0x0111, Verdict.ACCEPTED)],
)
def test_a_refused_instance_does_not_stop_the_others(tmp_path: Path, status: int, verdict: Verdict) -> None:
    files = [write_instance(tmp_path, number) for number in range(3)]

    with run_fake_pacs() as pacs:
        pacs.status_of = lambda uid: status if uid == files[1].sop_instance_uid else 0x0000
        answers = send_instances(pacs.peer, "VST_DICOM", files)

    assert [answer.verdict for answer in answers] == [Verdict.ACCEPTED, verdict, Verdict.ACCEPTED]


def test_a_sop_class_that_the_peer_does_not_take_is_refused_by_name(tmp_path: Path) -> None:
    files = [write_instance(tmp_path, 0), write_instance(tmp_path, 1, sop_class=SEGMENTATION)]

    with run_fake_pacs(sop_classes=(PARAMETRIC_MAP,)) as pacs:
        answers = send_instances(pacs.peer, "VST_DICOM", files)

    assert [answer.verdict for answer in answers] == [Verdict.ACCEPTED, Verdict.REFUSED]
    assert SEGMENTATION in answers[1].reason


def test_no_accepted_context_is_said_at_once_not_after_time_outs(tmp_path: Path) -> None:
    with run_fake_pacs(sop_classes=(SEGMENTATION,)) as pacs:
        started = time.monotonic()
        with pytest.raises(PeerError, match="none of the proposed presentation contexts"):
            send_instances(pacs.peer, "VST_DICOM", [write_instance(tmp_path, n) for n in range(20)])

    assert time.monotonic() - started < 3


def test_what_was_accepted_before_an_abort_is_told(tmp_path: Path) -> None:
    files = [write_instance(tmp_path, number) for number in range(5)]
    told: list[InstanceAnswer] = []

    with run_fake_pacs() as pacs:
        pacs.abort_after = 3
        with pytest.raises(PeerError):
            send_instances(pacs.peer, "VST_DICOM", files, on_answer=told.append)

    assert [answer.sop_instance_uid for answer in told] == [file.sop_instance_uid for file in files[:2]]


def test_a_rejected_association_names_the_reason(tmp_path: Path) -> None:
    with run_fake_pacs(require_calling="SOMEBODY") as pacs, pytest.raises(PeerError, match="Calling AE title"):
        send_instances(pacs.peer, "VST_DICOM", [write_instance(tmp_path, 0)])


def test_nobody_listening_is_a_peer_error(tmp_path: Path) -> None:
    (port,) = free_ports(1)

    with pytest.raises(PeerError, match="cannot be reached"):
        send_instances(DicomPeer("PACS", "127.0.0.1", port, timeout_s=2), "ME", [write_instance(tmp_path, 0)])


def test_an_unknown_host_is_a_peer_error(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="cannot be"):
        send_instances(DicomPeer("PACS", "host.invalid", 104, timeout_s=2), "ME", [write_instance(tmp_path, 0)])


def test_a_peer_that_never_answers_a_store_is_left_after_the_time_limit(tmp_path: Path) -> None:
    with run_fake_pacs() as pacs:
        pacs.hang_s = 60.0
        started = time.monotonic()
        peer = DicomPeer("PACS", "127.0.0.1", pacs.port, timeout_s=1.0)
        with pytest.raises(PeerError, match="did not answer"):
            send_instances(peer, "VST_DICOM", [write_instance(tmp_path, 0)])

        assert time.monotonic() - started < 10


def test_a_peer_that_says_nothing_at_all_is_left_after_the_time_limit(tmp_path: Path) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    started = time.monotonic()

    with silent, pytest.raises(PeerError):
        peer = DicomPeer("PACS", "127.0.0.1", silent.getsockname()[1], timeout_s=1.0)
        send_instances(peer, "VST_DICOM", [write_instance(tmp_path, 0)])

    assert time.monotonic() - started < 10


def test_a_peer_that_stops_reading_is_left_and_leaves_no_thread(tmp_path: Path) -> None:
    file = write_instance(tmp_path, 0, n_bytes=40_000_000)
    before = threading.active_count()

    with _peer_that_stops_reading() as port:
        started = time.monotonic()
        with pytest.raises(PeerError):
            send_instances(DicomPeer("PACS", "127.0.0.1", port, timeout_s=1.5), "VST_DICOM", [file])

        assert time.monotonic() - started < 12
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    file = write_instance(tmp_path, 0, n_bytes=1000)
    with file.path.open("ab") as grown:
        grown.write(b"\xe0\x7f\x10\x00OB\x00\x00" + (400_000_000).to_bytes(4, "little"))
        for _ in range(400):
            grown.write(bytes(1_000_000))
    n_bytes = file.path.stat().st_size

    with _peer_that_swallows() as port:
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        send_instances(DicomPeer("PACS", "127.0.0.1", port), "VST_DICOM", [file])
        after_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert n_bytes > 400_000_000
    assert after_kb - before_kb < 60_000


@needs_dcmtk
def test_storescp_gets_equal_data_sets(tmp_path: Path) -> None:
    files = [write_instance(tmp_path / "in", number, n_bytes=500_000) for number in range(3)]
    files.append(write_instance(tmp_path / "in", 3, sop_class=WHOLE_SLIDE, transfer_syntax=JPEG_BASELINE))

    with run_storescp(tmp_path / "out") as server:
        answers = send_instances(server.peer, "VST_DICOM", files)

        got = {str(dcmread(path).SOPInstanceUID): path for path in server.files()}

    assert {answer.verdict for answer in answers} == {Verdict.ACCEPTED}
    assert len(got) == 4
    for file in files:
        stored = got[file.sop_instance_uid].read_bytes()
        assert stored.endswith(data_set(file))


@needs_dcmtk
@needs_openssl
def test_storescp_gets_the_same_over_mutual_tls(tmp_path: Path) -> None:
    made = make_certificates(tmp_path / "tls", "server", "client")
    files = [write_instance(tmp_path / "in", number, n_bytes=500_000) for number in range(2)]

    with run_storescp(tmp_path / "out", server=made["server"], client=made["client"]) as server:
        answers = send_instances(server.peer, "VST_DICOM", files)

        assert len(server.files()) == 2
    assert {answer.verdict for answer in answers} == {Verdict.ACCEPTED}


@needs_dcmtk
@needs_openssl
def test_a_server_of_another_authority_gets_nothing(tmp_path: Path) -> None:
    ours = make_certificates(tmp_path / "ours", "client")["client"]
    theirs = make_certificates(tmp_path / "theirs", "server", "client")

    with run_storescp(tmp_path / "out", server=theirs["server"], client=theirs["client"]) as server:
        tls = TlsFiles(ours.certificate, ours.key, ours.authority)
        peer = DicomPeer("STORESCP", "localhost", server.port, tls, timeout_s=5)
        with pytest.raises(PeerError, match="by TLS"):
            send_instances(peer, "VST_DICOM", [write_instance(tmp_path / "in", 0)])

        assert server.files() == []


def test_missing_tls_files_are_a_usage_error(tmp_path: Path) -> None:
    tls = TlsFiles(tmp_path / "none.pem", tmp_path / "none.key")

    with pytest.raises(UsageError, match="TLS"):
        send_instances(DicomPeer("PACS", "127.0.0.1", 1, tls), "ME", [write_instance(tmp_path, 0)])


@needs_dcmtk
def test_dcmqrscp_stores_what_is_sent(tmp_path: Path) -> None:
    with run_dcmqrscp(tmp_path / "archive") as archive:
        answers = send_instances(
            archive.peer, "VST_DICOM", [write_instance(tmp_path / "in", n, sop_class=SEGMENTATION) for n in range(2)]
        )

        assert len(archive.files()) == 2
    assert {answer.verdict for answer in answers} == {Verdict.ACCEPTED}


def _accept(listener: socket.socket) -> tuple[socket.socket, bytes]:
    """Accept a connection and an association with its first context, maximum PDU 16384."""
    connection, _ = listener.accept()
    header = _read(connection, 6)
    request = _read(connection, int.from_bytes(header[2:], "big"))
    result = b"\x01\x00\x00\x00" + _item(0x40, b"1.2.840.10008.1.2.1")
    user = _item(0x51, (16384).to_bytes(4, "big")) + _item(0x52, b"1.2.3")
    body = request[:68] + _item(0x10, b"1.2.840.10008.3.1.1.1") + _item(0x21, result) + _item(0x50, user)
    connection.sendall(b"\x02\x00" + len(body).to_bytes(4, "big") + body)
    return connection, request


def _item(kind: int, content: bytes) -> bytes:
    return bytes([kind, 0]) + len(content).to_bytes(2, "big") + content


def _read(connection: socket.socket, n_bytes: int) -> bytes:
    content = b""
    while len(content) < n_bytes:
        content += connection.recv(n_bytes - len(content)) or pytest.fail("closed")
    return content


@contextmanager
def _peer_that_stops_reading() -> Iterator[int]:
    """Accepts an association, and reads nothing of what follows."""
    listener = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []
    thread = threading.Thread(target=lambda: held.append(_accept(listener)[0]), daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    thread.join(5)
    for connection in (*held, listener):
        connection.close()


@contextmanager
def _peer_that_swallows() -> Iterator[int]:
    """Reads a store slowly enough to fall behind the disk, in a process of its own, and answers Success."""
    code = (
        "import sys,time\n"
        "from pynetdicom import AE, evt, _config\n"
        "_config.STORE_RECV_CHUNKED_DATASET = True\n"
        "ae = AE(); ae.maximum_pdu_size = 131072\n"
        f"ae.add_supported_context('{PARAMETRIC_MAP}')\n"
        "server = ae.start_server(('127.0.0.1', 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda e: 0)])\n"
        "print(server.server_address[1], flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
