"""Claims about ``vst-dicom send``."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.deliver.instances import write_instance
from tests.peers.certificates import make_certificates, needs_openssl
from tests.peers.dcmtk import needs_dcmtk, run_storescp
from tests.peers.pacs import run_fake_pacs
from vst_dicom.cli.send import send
from vst_dicom.domain.errors import MissingInputError, PeerError, UsageError
from vst_dicom.runtime.orthanc import free_ports


def _send(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(send)
    run = CliRunner().invoke(app, arguments)
    if run.exception is not None and not isinstance(run.exception, SystemExit):
        error = run.exception
        error.add_note(run.stdout)
        raise error
    assert run.exit_code == 0, run.output
    return run.stdout


def test_every_dicom_file_below_the_folder_is_sent_once(tmp_path: Path) -> None:
    write_instance(tmp_path / "a", 0)
    write_instance(tmp_path / "a" / "deeper", 1)
    write_instance(tmp_path / "copy", 1)
    (tmp_path / "a" / "notes.txt").write_text("not DICOM")

    with run_fake_pacs() as pacs:
        said = _send(str(tmp_path), "--to", f"PACS@127.0.0.1:{pacs.port}")

    assert said == f"2 instances to PACS@127.0.0.1:{pacs.port}: 2 accepted\n"
    assert [len(stored) for stored in pacs.stored.values()] == [1, 1]


def test_json_names_what_became_of_each_instance(tmp_path: Path) -> None:
    file = write_instance(tmp_path, 0)

    with run_fake_pacs() as pacs:
        facts = json.loads(_send(str(tmp_path), "--to", f"PACS@127.0.0.1:{pacs.port}", "--json"))

    assert facts["instances"] == [
        {"file": str(file.path), "sop_instance_uid": "2.25.1000", "answer": "accepted", "reason": ""}
    ]


def test_a_refused_instance_fails_the_command_after_the_report(tmp_path: Path) -> None:
    for number in range(3):
        write_instance(tmp_path, number)

    with run_fake_pacs() as pacs:
        pacs.status_of = lambda uid: 0xA700 if uid == "2.25.1001" else 0x0000
        with pytest.raises(PeerError, match=r"did not accept 1 of 3 instances: out of resources") as caught:
            _send(str(tmp_path), "--to", f"PACS@127.0.0.1:{pacs.port}")

    assert caught.value.__notes__ == [f"3 instances to PACS@127.0.0.1:{pacs.port}: 2 accepted, 1 retry\n"]


def test_a_peer_that_is_down_fails_the_command(tmp_path: Path) -> None:
    write_instance(tmp_path, 0)
    (port,) = free_ports(1)

    with pytest.raises(PeerError, match="cannot be reached"):
        _send(str(tmp_path), "--to", f"PACS@127.0.0.1:{port}", "--timeout-s", "2")


@pytest.mark.parametrize(
    "to", ["PACS", "PACS@host", "@host:1", "PACS@:1", "PACS@host:x", "A" * 17 + "@h:1", "P@h:70000"]
)
def test_an_address_that_is_none_is_a_usage_error(tmp_path: Path, to: str) -> None:
    write_instance(tmp_path, 0)

    with pytest.raises(UsageError, match="AET@HOST:PORT"):
        _send(str(tmp_path), "--to", to)


def test_a_folder_without_dicom_is_a_missing_input(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no DICOM file"):
        _send(str(tmp_path), "--to", "PACS@127.0.0.1:1")


@needs_dcmtk
@needs_openssl
def test_a_folder_goes_over_mutual_tls(tmp_path: Path) -> None:
    write_instance(tmp_path / "in", 0)
    made = make_certificates(tmp_path / "tls", "server", "client")
    client = made["client"]

    with run_storescp(tmp_path / "out", server=made["server"], client=client) as server:
        _send(
            str(tmp_path / "in"), "--to", f"STORESCP@localhost:{server.port}",
            "--tls-certificate", str(client.certificate), "--tls-key", str(client.key),
            "--tls-authorities", str(client.authority),
        )  # fmt: skip

        assert len(server.files()) == 1


def test_the_command_line_loads_no_network_library() -> None:
    code = (
        "import sys, vst_dicom.cli.send; print({'pynetdicom', 'pydicom', 'requests', 'sqlalchemy'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)

    assert run.stdout.strip() == "set()"
