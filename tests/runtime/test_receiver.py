import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from queue import Queue

import pytest
from sqlalchemy import Engine, insert

from tests.receive.raw_peer import RawPeer, data_set, store_command
from vst_dicom.config import AllowedPeer, DicomLimits, DicomSettings, Settings, StorageSettings, TlsSettings
from vst_dicom.domain.errors import ResourceError, UsageError
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.instances import recorded_file_names
from vst_dicom.ledger.tables import jobs, slides
from vst_dicom.receive.peers import Peer
from vst_dicom.receive.spool import Spool
from vst_dicom.receive.tls import TlsFiles
from vst_dicom.runtime.admission import Admission
from vst_dicom.runtime.receiver import listener_settings, run_receiver

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ANY_DISK = StorageSettings(reserve_bytes=0, reserve_fraction=0.0)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_database(f"sqlite:///{tmp_path / 'vst.sqlite'}")
    yield made
    made.dispose()


def settings(folder: Path, port: int = 0) -> Settings:
    return Settings(data_dir=folder, dicom=DicomSettings(port=port), storage=ANY_DISK)


def test_the_receiver_stores_until_it_is_asked_to_stop(tmp_path: Path) -> None:
    ports: Queue[int] = Queue()
    stop = threading.Event()
    thread = threading.Thread(target=run_receiver, args=(settings(tmp_path), stop), kwargs={"on_ready": ports.put})
    thread.start()
    with RawPeer(ports.get(timeout=20)) as peer:
        peer.associate()
        assert peer.store(store_command(), data_set()) == 0x0000
        assert peer.release()
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    engine = open_database(settings(tmp_path).database)
    with engine.connect() as connection:
        (file_name,) = recorded_file_names(connection)
    engine.dispose()
    assert (tmp_path / "spool" / file_name).is_file()


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"DICOM port 127.0.0.1:{port} cannot be opened"):
            run_receiver(settings(tmp_path, port), threading.Event())


def test_the_receiver_loads_no_model_and_no_picture() -> None:
    program = (
        "import sys, vst_dicom.runtime.receiver; "
        "print(*[name for name in ('torch', 'highdicom', 'cv2', 'matplotlib', 'anndata', 'wsidicom', 'numpy', 'dbos') "
        "if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert run.stdout.split() in ([], ["numpy"])


def test_instances_are_refused_below_the_reserve(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "spool")
    admit = Admission(StorageSettings(reserve_bytes=100, reserve_fraction=0.1), spool, engine)
    for free, total, is_admitted in ((100, 1000, True), (99, 1000, False), (199, 2000, False), (200, 2000, True)):
        monkeypatch.setattr(Spool, "free_bytes", lambda _, free=free, total=total: (free, total))
        if is_admitted:
            admit()
        else:
            with pytest.raises(ResourceError, match="to be kept free"):
                admit()


def test_instances_are_refused_while_too_many_jobs_wait(tmp_path: Path, engine: Engine) -> None:
    limited = ANY_DISK.model_copy(update={"most_waiting_slides": 1})
    with engine.begin() as connection:
        connection.execute(
            insert(slides).values(
                id=1, group_key="k", study_instance_uid="1", series_instance_uid="2", state="queued",
                first_instance_at=NOW, last_instance_at=NOW,
            )
        )  # fmt: skip
        connection.execute(_job("a"))
    spool = Spool(tmp_path / "spool")
    Admission(limited, spool, engine)()
    with engine.begin() as connection:
        connection.execute(_job("b"))
    with pytest.raises(ResourceError, match="2 slides wait"):
        Admission(limited, spool, engine)()


def test_all_settings_of_the_listener_reach_it() -> None:
    limits = DicomLimits(
        maximum_pdu_bytes=65536, connections=1, connections_per_address=2, associations=3, backlog=4, handshake_s=5,
        request_s=6, idle_s=7, pdu_base_s=8, pdu_bytes_per_s=9, instance_bytes=10, association_bytes=11,
    )  # fmt: skip
    tls = TlsSettings(certificate=Path("c"), private_key=Path("k"), authorities=Path("a"))
    peer = AllowedPeer(ae_title="SCANNER", addresses=(ip_network("10.0.0.0/8"),))

    listener = listener_settings(
        DicomSettings(
            ae_title="A", host="::1", port=1, allowed_peers=(peer,), require_called_ae_title=False, tls=tls,
            limits=limits,
        )
    )  # fmt: skip

    assert (listener.ae_title, listener.host, listener.port) == ("A", "::1", 1)
    assert not listener.require_called_ae_title
    assert listener.peers == (Peer("SCANNER", (ip_network("10.0.0.0/8"),)),)
    assert listener.tls == TlsFiles(Path("c"), Path("k"), Path("a"), require_peer_certificate=True)
    for name, value in limits.model_dump().items():
        assert getattr(listener.limits, name) == value


def _job(key: str) -> object:
    return insert(jobs).values(
        key=key, slide_id=1, instance_ids=[], bundle="b", destinations=[], state="queued", created_at=NOW
    )
