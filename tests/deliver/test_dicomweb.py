"""Claims about STOW-RS and QIDO-RS (PS3.18 10.5, 10.6)."""

import socket
import time
from pathlib import Path

import pytest

from tests.deliver.instances import sent, write_instance
from tests.peers.certificates import make_certificates, needs_openssl
from tests.peers.web import failed, run_fake_web, stored
from vst_dicom.deliver.association import TlsFiles
from vst_dicom.deliver.dicomweb import WebServer, find_missing, store_instances
from vst_dicom.deliver.status import Verdict
from vst_dicom.domain.errors import PeerError
from vst_dicom.runtime.orthanc import free_ports


def test_a_server_gets_the_file_as_the_one_part_of_a_multipart_body(tmp_path: Path) -> None:
    file = write_instance(tmp_path, 0, n_bytes=200_000)

    with run_fake_web() as web:
        web.answer = stored(file.sop_instance_uid)
        answers = store_instances(web.server, [file])

    assert [answer.verdict for answer in answers] == [Verdict.ACCEPTED]
    kind, part_type, boundary = web.headers[0]["Content-Type"].split("; ")
    assert (kind, part_type) == ("multipart/related", 'type="application/dicom"')
    mark = b"--" + boundary.removeprefix("boundary=").encode()
    head = mark + b"\r\nContent-Type: application/dicom\r\n\r\n"
    assert web.bodies == [head + file.path.read_bytes() + b"\r\n" + mark + b"--\r\n"]


def test_bytes_are_told_as_they_leave(tmp_path: Path) -> None:
    file = write_instance(tmp_path, 0, n_bytes=200_000)
    told: list[int] = []

    with run_fake_web() as web:
        store_instances(web.server, [file], on_bytes=told.append)

    assert sum(told) == len(web.bodies[0])
    assert len(told) > 3


@pytest.mark.parametrize(
    ("status", "reason", "verdict"),
    [
        (200, None, Verdict.ACCEPTED),
        (202, None, Verdict.ACCEPTED),
        (202, 0xA700, Verdict.RETRY),
        (200, 0xC000, Verdict.REFUSED),
        (409, 0x0111, Verdict.ACCEPTED),
        (409, 0xA900, Verdict.REFUSED),
        (409, 0x0110, Verdict.RETRY),
    ],
)
def test_a_failure_in_the_response_goes_before_the_http_status(
    tmp_path: Path, status: int, reason: int | None, verdict: Verdict
) -> None:
    file = write_instance(tmp_path, 0)

    with run_fake_web() as web:
        web.status = status
        web.answer = failed(file.sop_instance_uid, reason) if reason is not None else stored(file.sop_instance_uid)
        answers = store_instances(web.server, [file])

    assert answers[0].verdict is verdict


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.ACCEPTED),
        (400, Verdict.REFUSED),
        (413, Verdict.REFUSED),
        (415, Verdict.REFUSED),
        (401, Verdict.RETRY),
        (403, Verdict.RETRY),
        (404, Verdict.RETRY),
        (429, Verdict.RETRY),
        (500, Verdict.RETRY),
        (503, Verdict.RETRY),
        (507, Verdict.RETRY),
    ],
)
def test_without_a_response_the_http_status_speaks(tmp_path: Path, status: int, verdict: Verdict) -> None:
    with run_fake_web() as web:
        web.status = status
        answers = store_instances(web.server, [write_instance(tmp_path, 0)])

    assert answers[0].verdict is verdict


def test_a_conflict_that_hides_its_reason_is_asked_about(tmp_path: Path) -> None:
    file = write_instance(tmp_path, 0)

    with run_fake_web() as web:
        web.status, web.answer = 409, failed(file.sop_instance_uid, 272)
        web.known = {file.sop_instance_uid}
        answers = store_instances(web.server, [file])

    assert answers[0].verdict is Verdict.ACCEPTED
    assert answers[0].reason == "already there"


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    with run_fake_web() as web, run_fake_web() as elsewhere:
        web.status, web.redirect = 307, f"{elsewhere.url}/studies"
        answers = store_instances(web.server, [write_instance(tmp_path, 0)])

    assert answers[0].verdict is Verdict.RETRY
    assert elsewhere.bodies == []


def test_a_proxy_of_the_environment_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    with run_fake_web() as web:
        assert store_instances(web.server, [write_instance(tmp_path, 0)])[0].verdict is Verdict.ACCEPTED


def test_user_and_password_of_the_address_are_sent_but_never_named(tmp_path: Path) -> None:
    with run_fake_web() as web:
        server = WebServer(web.url.replace("//", "//somebody:secret@"), timeout_s=5)
        store_instances(server, [write_instance(tmp_path, 0)])

    assert web.headers[0]["Authorization"].startswith("Basic ")
    assert "secret" not in str(server)


def test_nobody_listening_is_a_peer_error_without_the_password(tmp_path: Path) -> None:
    (port,) = free_ports(1)

    with pytest.raises(PeerError, match="cannot be reached") as caught:
        store_instances(WebServer(f"http://a:secret@127.0.0.1:{port}", timeout_s=2), [write_instance(tmp_path, 0)])

    assert "secret" not in str(caught.value)


def test_a_server_that_never_answers_is_left_after_the_time_limit(tmp_path: Path) -> None:
    with run_fake_web() as web:
        web.hang_s = 60.0
        started = time.monotonic()
        with pytest.raises(PeerError):
            store_instances(WebServer(web.url, timeout_s=0.5), [write_instance(tmp_path, 0)])

        assert time.monotonic() - started < 5


def test_a_server_that_stops_reading_is_left_after_the_time_limit(tmp_path: Path) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    started = time.monotonic()

    with silent, pytest.raises(PeerError):
        server = WebServer(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.5)
        store_instances(server, [write_instance(tmp_path, 0, n_bytes=30_000_000)])

    assert time.monotonic() - started < 5


def test_a_query_names_what_is_missing(tmp_path: Path) -> None:
    files = [write_instance(tmp_path, number) for number in range(3)]

    with run_fake_web() as web:
        web.known = {files[0].sop_instance_uid, files[2].sop_instance_uid}
        missing = find_missing(web.server, [sent(file) for file in files])

    assert missing == [files[1].sop_instance_uid]


@needs_openssl
def test_a_server_is_reached_over_mutual_tls(tmp_path: Path) -> None:
    made = make_certificates(tmp_path / "tls", "server", "client")
    tls = TlsFiles(made["client"].certificate, made["client"].key, made["client"].authority)
    file = write_instance(tmp_path, 0)

    with run_fake_web(made["server"]) as web:
        answers = store_instances(WebServer(web.url, tls, timeout_s=5), [file])

    assert answers[0].verdict is Verdict.ACCEPTED
    assert len(web.bodies) == 1


@needs_openssl
def test_a_web_server_of_another_authority_gets_nothing(tmp_path: Path) -> None:
    theirs = make_certificates(tmp_path / "theirs", "server")
    ours = make_certificates(tmp_path / "ours", "client")["client"]
    tls = TlsFiles(ours.certificate, ours.key, ours.authority)

    with run_fake_web(theirs["server"]) as web, pytest.raises(PeerError, match="TLS"):
        store_instances(WebServer(web.url, tls, timeout_s=5), [write_instance(tmp_path, 0)])

    assert web.bodies == []
