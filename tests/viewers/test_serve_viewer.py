"""The server of viewers: what it hands out, what it forwards, and what it refuses."""

import json
import os
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import requests

from tests.viewers.peers import DEPLOY, REQUIRED, missing_programs, run_viewer

pytestmark = pytest.mark.skipif("nginx-light" in missing_programs() and not REQUIRED, reason="needs nginx-light")


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    def do_GET(self) -> None:
        said = json.dumps({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def slim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Slim's server with a build that is only a page, before an archive that says what it is asked."""
    build = tmp_path_factory.mktemp("build")
    (build / "index.html").write_text("<title>Slim</title>")
    (build / "config").mkdir()
    (build / "config" / "vst.js").write_text("// that of the build")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        archive = f"http://127.0.0.1:{server.server_port}/somewhere/dicom-web"
        with run_viewer("slim", archive, "--build", str(build)) as url:
            yield url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_pages_are_isolated_and_may_ask_nobody_else(slim: str) -> None:
    headers = requests.get(slim, timeout=5).headers

    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert "connect-src 'self'" in headers["Content-Security-Policy"]
    assert "http" not in headers["Content-Security-Policy"]


def test_an_address_of_the_viewer_is_its_page_and_a_missing_file_is_not(slim: str) -> None:
    assert "<title>Slim" in requests.get(f"{slim}/studies/1.2.3/series/1.2.4", timeout=5).text
    assert requests.get(f"{slim}/static/missing.js", timeout=5).status_code == 404


def test_our_configuration_goes_before_that_of_the_build_and_names_the_archive(slim: str) -> None:
    assert "${window.location.origin}/somewhere/dicom-web" in requests.get(f"{slim}/config/vst.js", timeout=5).text


def test_frames_are_asked_for_as_they_are_stored(slim: str) -> None:
    instance = f"{slim}/somewhere/dicom-web/studies/1.2/series/1.3/instances/1.4"

    frames = requests.get(f"{instance}/frames/1,2", headers={"Accept": "*/*"}, timeout=5).json()
    rendered = requests.get(
        f"{instance}/frames/1/rendered?quality=9", headers={"Accept": "image/png"}, timeout=5
    ).json()

    assert frames["accept"] == 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
    assert frames["path"] == "/somewhere/dicom-web/studies/1.2/series/1.3/instances/1.4/frames/1,2"
    assert rendered["accept"] == "image/png"
    assert rendered["path"].endswith("/frames/1/rendered?quality=9")


def test_the_archive_sees_by_which_host_it_was_asked(slim: str) -> None:
    assert f"http://{requests.get(f'{slim}/somewhere/dicom-web/studies', timeout=5).json()['host']}" == slim


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_written_through_it(slim: str, method: str) -> None:
    assert requests.request(method, f"{slim}/somewhere/dicom-web/studies", timeout=5).status_code == 403


def test_another_name_for_this_machine_is_refused(slim: str) -> None:
    assert requests.get(slim, headers={"Host": "elsewhere.example"}, timeout=5).status_code == 421


def start(viewer: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(viewer / "start"), *options],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )


def test_a_package_that_is_not_what_it_was_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "package.json").write_text('{"name": "@ohif/app", "version": "3.13.2"}')
    fake_npm = tmp_path / "npm"
    fake_npm.write_text(f'#!/bin/sh\ntar -czf "$4/ohif-app-3.13.2.tgz" -C {tmp_path} package\n')
    fake_npm.chmod(0o755)

    path = f"{tmp_path}:{os.environ['PATH']}"
    run = start(
        DEPLOY / "ohif", "--dicomweb", "http://127.0.0.1:1/d", PATH=path, XDG_CACHE_HOME=str(tmp_path / "cache")
    )

    assert run.returncode == 2
    assert "its checksum differs" in run.stderr
    assert not list((tmp_path / "cache" / "vst_dicom" / "viewers").iterdir())


def test_slim_says_that_it_must_be_built() -> None:
    run = start(DEPLOY / "slim", "--dicomweb", "http://127.0.0.1:1/dicom-web")

    assert run.returncode == 2
    assert "build it as the README says" in run.stderr


@pytest.mark.parametrize("address", ["127.0.0.1:8042", "http://127.0.0.1:8042", "ftp://127.0.0.1/dicom-web"])
def test_what_is_no_dicomweb_service_is_refused(address: str) -> None:
    run = start(DEPLOY / "ohif", "--dicomweb", address)

    assert run.returncode == 2
    assert "is not the address of a DICOMweb service" in run.stderr
