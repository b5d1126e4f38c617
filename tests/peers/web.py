"""A DICOMweb server in the test's own process that answers as a test wishes."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

from tests.peers.certificates import Certificate
from vst_dicom.deliver.dicomweb import WebServer


@dataclass
class FakeWeb:
    """What it got; and how it answers, which a test may change at any time."""

    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    """SOP Instance UIDs that queries find."""
    status: int = 200
    answer: Any = None
    hang: threading.Event = field(default_factory=threading.Event)
    hang_s: float = 0.0
    redirect: str = ""
    url: str = ""

    @property
    def server(self) -> WebServer:
        return WebServer(self.url, timeout_s=5.0)


def stored(uid: str) -> dict[str, Any]:
    """Store Instances Response for an instance that was stored (PS3.18 I.2)."""
    return {"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": [uid]}}]}}


def failed(uid: str, reason: int) -> dict[str, Any]:
    """Store Instances Response for an instance that was not."""
    item = {"00081155": {"vr": "UI", "Value": [uid]}, "00081197": {"vr": "US", "Value": [reason]}}
    return {"00081198": {"vr": "SQ", "Value": [item]}}


@contextmanager
def run_fake_web(certificate: Certificate | None = None) -> Iterator[FakeWeb]:
    """Start the server; with mutual TLS if a certificate is given."""
    web = FakeWeb()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            web.headers.append(dict(self.headers))
            web.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            web.hang.wait(web.hang_s)
            self._answer(web.status, web.answer)

        def do_GET(self) -> None:
            uids = parse_qs(urlparse(self.path).query).get("SOPInstanceUID", [])
            found = [{"00080018": {"vr": "UI", "Value": [uid]}} for uid in uids if uid in web.known]
            self._answer(200 if found else 204, found or None)

        def _answer(self, status: int, content: Any) -> None:
            body = b"" if content is None else json.dumps(content).encode()
            self.send_response(status)
            if web.redirect:
                self.send_header("Location", web.redirect)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that leave are what tests want
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        context.load_verify_locations(certificate.authority)
        context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    web.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}/dicom-web"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web.hang.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
