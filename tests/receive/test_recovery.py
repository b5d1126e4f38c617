"""A receiver that dies at any line leaves nothing that a worker could take for an instance."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from tests.receive.conftest import make_storage
from tests.receive.raw_peer import EXPLICIT, VL_WHOLE_SLIDE, RawPeer, data_set, store_command
from vst_dicom.ledger.tables import instances
from vst_dicom.receive.recovery import recover
from vst_dicom.receive.spool import encode_header, find_data_set
from vst_dicom.receive.storing import Storage
from vst_dicom.receive.walk import check_data_set

RECEIVER = """
import sys, threading
from vst_dicom.config import read_settings
from vst_dicom.runtime.receiver import run_receiver
run_receiver(read_settings(), threading.Event(), on_ready=lambda port: print(port, file=sys.stderr, flush=True))
"""


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    made = make_storage(tmp_path)
    yield made
    made.engine.dispose()


def rows(storage: Storage) -> list[tuple[str, str]]:
    with storage.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(instances.c.sop_instance_uid, instances.c.file_name))]


def keep(storage: Storage, uid: str, data: bytes) -> str:
    incoming = storage.spool.begin(encode_header(VL_WHOLE_SLIDE, uid, EXPLICIT, "SCANNER"))
    incoming.write(memoryview(data))
    file_name = storage.spool.keep(incoming)
    incoming.close()
    return file_name


def test_halves_are_swept_and_those_in_use_are_not(storage: Storage) -> None:
    left = storage.spool.begin(b"left behind")
    left.close()
    in_use = storage.spool.begin(b"in use")

    recover(storage)

    assert not left.path.exists()
    assert in_use.path.exists()
    in_use.discard()


def test_a_whole_file_without_a_row_gets_one(storage: Storage) -> None:
    file_name = keep(storage, "1.2.3", data_set(pixels=b"abcd"))

    assert recover(storage) == 1
    assert recover(storage) == 0

    assert rows(storage) == [("1.2.3", file_name)]
    with storage.engine.connect() as connection:
        row = connection.execute(select(instances)).one()
    assert (row.calling_ae, row.transfer_syntax_uid, row.n_bytes) == (
        "SCANNER",
        EXPLICIT,
        len(data_set(pixels=b"abcd")),
    )


def test_a_whole_file_that_is_known_already_is_removed(storage: Storage) -> None:
    first, second = (keep(storage, "1.2.3", data_set()) for _ in range(2))

    assert recover(storage) == 1

    ((_, kept),) = rows(storage)
    assert {kept} == set(storage.spool.whole_files()) < {first, second}


@pytest.mark.parametrize("damage", [b"", b"not DICOM", bytes(128) + b"DICM"])
def test_a_file_that_is_no_instance_is_removed(storage: Storage, damage: bytes) -> None:
    file_name = keep(storage, "1.2.3", data_set())
    storage.spool.path(file_name).write_bytes(damage)

    assert recover(storage) == 0

    assert list(storage.spool.whole_files()) == []


def test_a_whole_file_beside_a_removed_one_is_judged_by_its_hash(storage: Storage) -> None:
    first = keep(storage, "1.2.3", data_set())
    recover(storage)
    storage.spool.path(first).unlink()
    with storage.engine.begin() as connection:
        connection.execute(update(instances).values(sha256=hashlib.sha256(data_set()).hexdigest()))
    keep(storage, "1.2.3", data_set())

    assert recover(storage) == 0

    assert list(storage.spool.whole_files()) == []


def test_a_lost_database_is_built_again(storage: Storage) -> None:
    uids = [f"1.2.{number}" for number in range(10)]
    for uid in uids:
        keep(storage, uid, data_set(uid))
    recover(storage)
    with storage.engine.begin() as connection:
        connection.execute(delete(instances))

    assert recover(storage) == 10
    assert sorted(uid for uid, _ in rows(storage)) == sorted(uids)


LINES = ("writev", "fsync", "rename", "record_instance", "send_msg")
_DIE_AT = """
import os, signal, sys
from pathlib import Path
from pynetdicom.dimse import DIMSEServiceProvider
from vst_dicom.receive import storing
line, after = sys.argv[1], sys.argv[2] == "after"
owner = {"writev": os, "fsync": os, "rename": Path, "record_instance": storing, "send_msg": DIMSEServiceProvider}[line]
real = getattr(owner, line)
def die(*arguments):
    armed = line != "writev" or sum(map(len, arguments[1])) > 1000
    if armed and after:
        real(*arguments)
    if armed:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)
import threading
from vst_dicom.config import read_settings
from vst_dicom.runtime.receiver import run_receiver
def ready(port):
    setattr(owner, line, die)
    print(port, file=sys.stderr, flush=True)
run_receiver(read_settings(), threading.Event(), on_ready=ready)
"""


@contextmanager
def receiver(folder: Path, program: str = RECEIVER, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    environment = os.environ | {
        "VST_DICOM_DATA_DIR": str(folder),
        "VST_DICOM_DICOM__PORT": "0",
        "VST_DICOM_STORAGE__RESERVE_BYTES": "0",
        "VST_DICOM_STORAGE__RESERVE_FRACTION": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        yield process, int(process.stderr.readline())
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def check_what_is_visible(storage: Storage) -> set[str]:
    """Every row has a whole and sound file; give the SOP Instance UIDs."""
    visible = rows(storage)
    for uid, file_name in visible:
        with storage.spool.path(file_name).open("rb") as file:
            descriptor = file.fileno()
            stop = os.fstat(descriptor).st_size
            assert check_data_set(descriptor, find_data_set(descriptor), stop, EXPLICIT).sop_instance_uid == uid
    return {uid for uid, _ in visible}


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("line", LINES)
def test_a_kill_at_a_line_never_shows_a_half_and_sending_again_works(tmp_path: Path, line: str, when: str) -> None:
    sent = data_set(pixels=os.urandom(30_000))
    with receiver(tmp_path, _DIE_AT, line, when) as (process, port):
        with RawPeer(port) as peer:
            peer.associate()
            peer.send_store(store_command(), sent, 16_000)
            answer = peer.status()
        assert process.wait(10) == -signal.SIGKILL
    storage = make_storage(tmp_path)
    visible = check_what_is_visible(storage)
    assert answer == -1 or visible == {"1.2.3"}

    with receiver(tmp_path) as (_, port), RawPeer(port) as peer:
        peer.associate()
        assert peer.store(store_command(), sent) == 0x0000
    assert check_what_is_visible(storage) == {"1.2.3"}
    assert len(list(storage.spool.whole_files())) == 1
    assert list(storage.spool.incoming.iterdir()) == []
    storage.engine.dispose()


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(1)  # noqa: S311
    acknowledged: set[str] = set()
    for life in range(6):
        with receiver(tmp_path) as (process, port):

            def send(sender: int, life: int = life, port: int = port) -> None:
                with RawPeer(port) as peer:
                    peer.associate()
                    for number in range(1000):
                        uid = f"1.{life}.{sender}.{number}"
                        if peer.store(store_command(uid), data_set(uid, pixels=bytes(40_000))) != 0x0000:
                            return
                        acknowledged.add(uid)

            senders = [threading.Thread(target=send, args=(sender,)) for sender in range(4)]
            for sender in senders:
                sender.start()
            threading.Event().wait(chance.uniform(0.1, 0.8))
            process.kill()
            for sender in senders:
                sender.join()
    storage = make_storage(tmp_path)
    assert acknowledged
    assert acknowledged <= check_what_is_visible(storage)
    recover(storage)
    assert list(storage.spool.incoming.iterdir()) == []
    assert {file_name for _, file_name in rows(storage)} == set(storage.spool.whole_files())
    check_what_is_visible(storage)
    storage.engine.dispose()
