import errno
import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import sleep

import pytest
from pydicom import dcmread
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from tests.receive.conftest import QUICK, Receiver
from tests.receive.raw_peer import (
    EXPLICIT,
    P_DATA,
    VL_WHOLE_SLIDE,
    RawPeer,
    data_set,
    echo_command,
    element,
    item,
    pdu,
    pdv,
    store_command,
)
from tests.receive.test_protocol import wait_until
from vst_dicom.domain.errors import ResourceError
from vst_dicom.ledger.tables import instances
from vst_dicom.receive import storing
from vst_dicom.receive.listener import ListenerSettings

BOTH_WAYS = pytest.mark.parametrize("fast", [True, False], ids=["fast path", "ordinary path"])


NO_UIDS = (
    "../../evil", "/abs/path", "", "1..2", "01.2", "1.2\n3", "1.2.a", b"1.2\xff", b"1.2\x003", "1." + "2" * 63, "1" * 70
)  # fmt: skip


def started(start: Callable[..., Receiver], fast: bool = True, **limits: object) -> Receiver:
    return start(ListenerSettings(limits=replace(QUICK, fast_path=fast, **limits)))  # type: ignore[arg-type]


@BOTH_WAYS
@pytest.mark.parametrize("fragment", [30, 4000, 131_066])
def test_an_instance_is_kept_byte_for_byte_with_one_row(
    start: Callable[..., Receiver], fast: bool, fragment: int
) -> None:
    receiver = started(start, fast)
    sent = data_set(pixels=os.urandom(300_000 if fragment > 100 else 3000))
    with RawPeer(receiver.port) as peer:
        peer.associate(calling="SCANNER")
        assert peer.store(store_command(), sent, fragment) == 0x0000
        assert peer.release()

    (row,) = receiver.rows()
    (file,) = (path for path in receiver.files() if path.suffix == ".dcm")
    assert file == receiver.storage.spool.path(row.file_name)
    assert file.read_bytes().endswith(sent)
    assert (row.sop_instance_uid, row.sop_class_uid, row.revision) == ("1.2.3", VL_WHOLE_SLIDE, 0)
    assert (row.study_instance_uid, row.series_instance_uid) == ("1.2.3.1", "1.2.3.2")
    assert (row.transfer_syntax_uid, row.n_bytes) == (EXPLICIT, len(sent))
    assert (row.calling_ae, row.peer_address, row.slide_id, row.is_own) == ("SCANNER", "127.0.0.1", None, False)
    read = dcmread(file)
    assert read.file_meta.MediaStorageSOPInstanceUID == read.SOPInstanceUID == "1.2.3"
    assert read.file_meta.TransferSyntaxUID == EXPLICIT
    assert read.file_meta.SourceApplicationEntityTitle == "SCANNER"


@BOTH_WAYS
def test_fragments_may_come_in_any_form(start: Callable[..., Receiver], fast: bool) -> None:
    receiver = started(start, fast)
    sent = data_set(pixels=os.urandom(5000))
    a, b, c, d = sent[:1000], sent[1000:1500], sent[1500:1500], sent[1500:]
    with RawPeer(receiver.port) as peer:
        peer.associate()
        peer.send(pdu(P_DATA, pdv(store_command(), command=True) + pdv(a, last=False)))  # command and data in one PDU
        peer.send(pdu(P_DATA, pdv(b, last=False) + pdv(c, last=False)))  # two values in one PDU, one of them empty
        peer.send(pdu(P_DATA, pdv(c, last=False)))
        for byte in pdu(P_DATA, pdv(d)):  # one PDU in many segments
            peer.send(bytes([byte])) if byte % 50 == 0 else peer.socket.sendall(bytes([byte]))
        assert peer.status() == 0x0000
        peer.send(pdu(P_DATA, pdv(echo_command(), command=True, context=3)))
        assert peer.status() == 0x0000
    assert receiver.storage.spool.path(receiver.rows()[0].file_name).read_bytes().endswith(sent)


@BOTH_WAYS
def test_a_message_right_behind_a_data_set_is_read(start: Callable[..., Receiver], fast: bool) -> None:
    receiver = started(start, fast)
    words = b"".join(
        pdu(P_DATA, pdv(store_command(f"1.2.{n}", message_id=n), command=True)) + pdu(P_DATA, pdv(data_set(f"1.2.{n}")))
        for n in range(1, 21)
    )
    with RawPeer(receiver.port) as peer:
        peer.associate()
        peer.send(words)  # twenty C-STOREs without waiting for an answer
        assert [peer.status() for _ in range(20)] == [0x0000] * 20
        assert peer.release()
    assert len(receiver.rows()) == 20


@pytest.mark.parametrize(
    ("command", "data", "status"),
    [
        (store_command(), b"", 0xC000),
        (store_command(), os.urandom(512), 0xC000),
        (store_command(), data_set()[:-20], 0xC000),
        (store_command(), data_set() + element(0x00400000, b"LO", b"ab", length=8), 0xC000),
        (store_command(), data_set() + element(0x00400000, b"SQ", item(b"", 0xFFFFFFFF), 0xFFFFFFFF) * 20_000, 0xC000),
        (store_command("1.2.4"), data_set("1.2.3"), 0xA900),
        (store_command(), data_set(sop_class_uid="1.2.840.10008.5.1.4.1.1.30"), 0xA900),
        (store_command(sop_class_uid="1.2.840.10008.5.1.4.1.1.30"), data_set(), 0x0122),
        (store_command(sop_class_uid="1.2.3.4"), data_set(), 0x0122),
        *[(store_command(uid), data_set(), 0x0117) for uid in NO_UIDS],
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI", "ignore:The value length")
def test_an_instance_that_is_not_sound_is_refused_and_leaves_nothing(
    receiver: Receiver, command: bytes, data: bytes, status: int
) -> None:
    with RawPeer(receiver.port) as peer:
        peer.associate()
        assert peer.store(command, data) == status
        assert receiver.files() == []
        assert receiver.rows() == []
        assert peer.store(store_command(), data_set()) == 0x0000  # the association goes on


def test_a_comment_says_why_within_64_characters(receiver: Receiver) -> None:
    with RawPeer(receiver.port) as peer:
        peer.associate()
        peer.send_store(store_command(), data_set()[:-16])
        _, body = peer.receive()
    comment = body[body.index(b"\x00\x00\x02\x09") + 8 :]
    assert b"SeriesInstanceUID (0020,000E) is missing" in comment
    assert len(comment) <= 64


def test_the_same_bytes_five_times_make_one_row(receiver: Receiver) -> None:
    sent = data_set(pixels=os.urandom(50_000))

    def send(_: int) -> list[int]:
        with RawPeer(receiver.port) as peer:
            peer.associate()
            return [peer.store(store_command(), sent) for _ in range(2)]

    with ThreadPoolExecutor(5) as pool:
        assert list(pool.map(send, range(5))) == [[0, 0]] * 5
    assert len(receiver.rows()) == 1
    assert len(receiver.files()) == 1
    assert receiver.alerts() == []


def test_changed_bytes_make_a_revision_and_an_alert_and_leave_the_first_as_it_was(receiver: Receiver) -> None:
    first, second = data_set(pixels=b"abcd"), data_set(pixels=b"abce")
    with RawPeer(receiver.port) as peer:
        peer.associate()
        statuses = [peer.store(store_command(), data) for data in (first, second, first, second)]

    assert statuses == [0] * 4
    assert [row.revision for row in receiver.rows()] == [0, 1]
    contents = [receiver.storage.spool.path(row.file_name).read_bytes() for row in receiver.rows()]
    assert [content.endswith(sent) for content, sent in zip(contents, (first, second), strict=True)] == [True, True]
    (alert,) = receiver.alerts()
    assert "1.2.3 came again with other content" in alert


@pytest.mark.parametrize(("pixels", "n_rows"), [(b"abcd", 1), (b"abce", 2)])
def test_an_instance_whose_file_was_removed_is_known_by_its_hash(
    receiver: Receiver, pixels: bytes, n_rows: int
) -> None:
    first = data_set(pixels=b"abcd")
    with RawPeer(receiver.port) as peer:
        peer.associate()
        assert peer.store(store_command(), first) == 0x0000
        receiver.storage.spool.path(receiver.rows()[0].file_name).unlink()
        with receiver.engine.begin() as connection:
            connection.execute(update(instances).values(sha256=hashlib.sha256(first).hexdigest()))
        assert peer.store(store_command(), data_set(pixels=pixels)) == 0x0000
    assert len(receiver.rows()) == n_rows
    assert len(receiver.files()) == n_rows - 1


def test_an_instance_whose_file_was_lost_is_taken_again(receiver: Receiver) -> None:
    with RawPeer(receiver.port) as peer:
        peer.associate()
        assert peer.store(store_command(), data_set()) == 0x0000
        receiver.storage.spool.path(receiver.rows()[0].file_name).unlink()
        assert peer.store(store_command(), data_set()) == 0x0000
    assert [row.revision for row in receiver.rows()] == [0, 1]
    assert receiver.storage.spool.path(receiver.rows()[1].file_name).is_file()


def test_twenty_associations_at_once_complete(start: Callable[..., Receiver]) -> None:
    receiver = start(ListenerSettings(limits=replace(QUICK, idle_s=30, request_s=10)))

    def send(number: int) -> list[int]:
        with RawPeer(receiver.port, timeout_s=30) as peer:
            peer.associate()
            uids = [f"1.2.{number}.{instance}" for instance in range(5)]
            statuses = [
                peer.store(store_command(uid), data_set(uid, pixels=os.urandom(500_000)), 16_000) for uid in uids
            ]
            return statuses if peer.release() else []

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(send, range(20))) == [[0] * 5] * 20
    assert len(receiver.rows()) == 100


@BOTH_WAYS
def test_an_instance_beyond_the_limit_is_thrown_away_and_the_association_goes_on(
    start: Callable[..., Receiver], fast: bool
) -> None:
    receiver = started(start, fast, instance_bytes=100_000)
    with RawPeer(receiver.port) as peer:
        peer.associate()
        assert peer.store(store_command(), data_set(pixels=bytes(150_000))) == 0xA700
        assert receiver.files() == []
        assert peer.store(store_command(), data_set(pixels=bytes(50_000))) == 0x0000


@BOTH_WAYS
def test_a_data_set_that_does_not_end_is_aborted(start: Callable[..., Receiver], fast: bool) -> None:
    receiver = started(start, fast, instance_bytes=100_000)
    with RawPeer(receiver.port) as peer:
        peer.associate()
        peer.send_store(store_command(), bytes(400_000))
        assert peer.is_closed()
    wait_until(lambda: receiver.files() == [])


def test_an_association_has_a_share(start: Callable[..., Receiver]) -> None:
    receiver = started(start, association_bytes=100_000)
    with RawPeer(receiver.port) as peer:
        peer.associate()
        statuses = [peer.store(store_command(f"1.{n}"), data_set(f"1.{n}", pixels=bytes(60_000))) for n in range(3)]
    assert statuses == [0x0000, 0xA700, 0xA700]
    with RawPeer(receiver.port) as peer:
        peer.associate()
        assert peer.store(store_command("1.1"), data_set("1.1", pixels=bytes(60_000))) == 0x0000


@BOTH_WAYS
def test_a_full_disk_is_answered_and_healed(
    start: Callable[..., Receiver], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = started(start, fast)
    real_write = os.writev
    is_full = True

    def write(descriptor: int, parts: tuple[memoryview, ...]) -> int:
        if is_full and sum(map(len, parts)) > 1000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(descriptor, parts)

    monkeypatch.setattr(os, "writev", write)
    with RawPeer(receiver.port) as peer:
        peer.associate()
        assert peer.store(store_command(), data_set(pixels=bytes(100_000))) == 0xA700
        assert receiver.files() == []
        is_full = False
        assert peer.store(store_command(), data_set(pixels=bytes(100_000))) == 0x0000


@pytest.mark.parametrize("function", ["fsync", "rename", "open"])
def test_a_disk_that_fails_is_answered_and_leaves_no_row(
    receiver: Receiver, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with RawPeer(receiver.port) as peer:
        peer.associate()
        with monkeypatch.context() as patch:
            patch.setattr(Path if function == "rename" else os, function, fail)
            assert peer.store(store_command(), data_set()) == 0xA700
        assert receiver.rows() == []
        assert receiver.files() == []
        assert peer.store(store_command(), data_set()) == 0x0000


def test_a_database_that_fails_is_answered_and_the_instance_can_be_sent_again(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("disk I/O error"))

    with RawPeer(receiver.port) as peer:
        peer.associate()
        with monkeypatch.context() as patch:
            patch.setattr(storing, "record_instance", fail)
            assert peer.store(store_command(), data_set()) == 0xA700
        assert receiver.rows() == []
        assert peer.store(store_command(), data_set()) == 0x0000
    assert len(receiver.rows()) == 1


def test_a_fault_of_ours_is_answered_without_its_text(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("Doe^Jane")

    monkeypatch.setattr(storing, "check_data_set", fail)
    with RawPeer(receiver.port) as peer:
        peer.associate()
        peer.send_store(store_command(), data_set())
        _, body = peer.receive()
    assert b"\x00\x09\x02\x00\x00\x00\x00\xa7" in body
    assert b"Doe" not in body
    assert receiver.files() == []


def test_what_cannot_be_taken_now_is_refused_for_now(start: Callable[..., Receiver]) -> None:
    is_full = True

    def admit() -> None:
        if is_full:
            raise ResourceError("3000 slides wait; send again later")

    receiver = start(admit=admit)
    with RawPeer(receiver.port) as peer:
        peer.associate()
        assert peer.store(store_command(), data_set(pixels=bytes(100_000))) == 0xA700
        assert receiver.files() == []
        is_full = False
        assert peer.store(store_command(), data_set()) == 0x0000


def test_stores_sent_without_waiting_are_bounded(
    start: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = start(ListenerSettings(limits=replace(QUICK, waiting_messages=3, idle_s=20)))
    most_parts = 0
    real_finish = receiver.storage.finish

    def finish(reception: object) -> object:
        nonlocal most_parts
        sleep(0.05)
        most_parts = max(most_parts, len(receiver.parts()))
        return real_finish(reception)  # type: ignore[arg-type]

    monkeypatch.setattr(receiver.storage, "finish", finish)
    with RawPeer(receiver.port) as peer:
        peer.associate()
        for number in range(30):
            peer.send_store(store_command(f"1.{number}"), data_set(f"1.{number}", pixels=bytes(20_000)))
        assert [peer.status() for _ in range(30)] == [0] * 30
    assert most_parts <= 5


def test_success_comes_after_file_folder_and_row_are_safe(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    real_fsync, real_rename, real_record = os.fsync, Path.rename, storing.record_instance

    def fsync(descriptor: int) -> None:
        steps.append(f"fsync {'folder' if Path(f'/proc/self/fd/{descriptor}').is_dir() else 'file'}")
        real_fsync(descriptor)

    def rename(path: Path, target: Path) -> Path:
        steps.append("rename")
        return real_rename(path, target)

    def record(*arguments: object) -> object:
        recorded = real_record(*arguments)  # type: ignore[arg-type]
        steps.append(f"commit {len(receiver.rows())}")
        return recorded

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.setattr(storing, "record_instance", record)
    with RawPeer(receiver.port) as peer:
        peer.associate()
        assert peer.store(store_command(), data_set()) == 0x0000
        steps.append("success")
    assert steps == ["fsync file", "rename", "fsync folder", "commit 1", "success"]


def test_stopping_lets_a_store_end_and_closes_idle_peers(start: Callable[..., Receiver]) -> None:
    receiver = start(ListenerSettings(limits=replace(QUICK, idle_s=30, request_s=30)))
    with RawPeer(receiver.port) as silent, RawPeer(receiver.port) as idle, RawPeer(receiver.port) as busy:
        idle.associate()
        busy.associate()
        sent = data_set(pixels=bytes(100_000))
        busy.send(pdu(P_DATA, pdv(store_command(), command=True)), pdu(P_DATA, pdv(sent[:5000], last=False)))
        sleep(1.2)
        stopping = threading.Thread(target=receiver.listener.stop, args=(20.0,))
        stopping.start()
        assert silent.is_closed()
        assert idle.is_closed()
        busy.send(pdu(P_DATA, pdv(sent[5000:])))
        assert busy.status() == 0x0000
        stopping.join(10)
        assert not stopping.is_alive()
    assert len(receiver.rows()) == 1
