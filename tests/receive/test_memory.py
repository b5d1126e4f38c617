"""A 3 GB instance comes through in little memory."""

import os
import shutil
from pathlib import Path

import pytest

from tests.receive.raw_peer import (
    JPEG,
    P_DATA,
    UNDEFINED,
    VL_WHOLE_SLIDE,
    RawPeer,
    data_set,
    element,
    item,
    pdu,
    pdv,
    store_command,
)
from tests.receive.test_recovery import make_storage, receiver, rows

_BYTES = int(os.environ.get("VST_DICOM_TEST_INSTANCE_BYTES", str(3 << 30)))
_FRAME = item(bytes(130_000))


@pytest.mark.slow
def test_three_gigabytes_take_less_than_150_megabytes_of_memory(tmp_path: Path) -> None:
    if shutil.disk_usage(tmp_path).free < 2 * _BYTES:
        pytest.skip("needs twice the instance's size of free disk")
    frame = pdu(P_DATA, pdv(_FRAME, last=False))
    with receiver(tmp_path) as (process, port):
        with RawPeer(port, timeout_s=300) as peer:
            peer.associate(contexts=((1, VL_WHOLE_SLIDE, (JPEG,)),))
            peer.send(pdu(P_DATA, pdv(store_command(), command=True)), pdu(P_DATA, pdv(data_set(), last=False)))
            peer.send(pdu(P_DATA, pdv(element(0x7FE00010, b"OB", item(b""), UNDEFINED), last=False)))
            for _ in range(_BYTES // len(_FRAME)):
                peer.socket.sendall(frame)
            peer.send(pdu(P_DATA, pdv(b"\xfe\xff\xdd\xe0\0\0\0\0")))
            assert peer.status() == 0x0000
        peak_kib = next(
            int(line.split()[1])
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
            if line.startswith("VmHWM")
        )
    storage = make_storage(tmp_path)
    ((uid, file_name),) = rows(storage)
    storage.engine.dispose()
    assert uid == "1.2.3"
    assert storage.spool.path(file_name).stat().st_size > _BYTES - len(_FRAME)
    shutil.rmtree(storage.spool.folder)
    assert peak_kib < 150 << 10
