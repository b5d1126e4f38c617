"""Run Orthanc, the PACS of the demonstration, on free loopback ports in a folder of its own."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from vst_dicom.domain.errors import PeerError

_START_S: Final = 30.0
_STOP_S: Final = 20.0
_REQUEST_S: Final = 30.0
_DICOMWEB_PLUGIN: Final = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_HOST: Final = "127.0.0.1"


class Orthanc:
    """A running Orthanc and its REST interface.

    Parameters
    ----------
    ae_title, port
        Of its DICOM server.
    http_port
        Of its web server.
    log_file
        What it says.
    """

    def __init__(self, ae_title: str, port: int, http_port: int, log_file: Path) -> None:
        self.ae_title = ae_title
        self.host = _HOST
        self.port = port
        self.url = f"http://{_HOST}:{http_port}"
        self.log_file = log_file
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    @property
    def dicomweb_url(self) -> str:
        """Base address of its DICOMweb service; empty without the plugin."""
        return f"{self.url}/dicom-web" if _DICOMWEB_PLUGIN.is_file() else ""

    def ask(self, path: str, content: Any = None, *, method: str = "") -> Any:
        """Send a request to the REST interface; returns decoded JSON, or the text where it is none.

        Raises
        ------
        PeerError
            If Orthanc does not answer with success.
        """
        text = self.fetch(path, content, method=method).decode()
        try:
            return json.loads(text)
        except ValueError:
            return text

    def fetch(self, path: str, content: Any = None, *, method: str = "") -> bytes:
        """Send a request to the REST interface; returns the bytes of the answer.

        Raises
        ------
        PeerError
            If Orthanc does not answer with success.
        """
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(  # noqa: S310  loopback
            f"{self.url}/{path.lstrip('/')}", data=body, method=method or ("GET" if body is None else "POST")
        )
        try:
            with self._open(request, timeout=_REQUEST_S) as response:
                return bytes(response.read())
        except OSError as error:
            msg = f"Orthanc did not answer {path}: {error}"
            raise PeerError(msg) from error

    def is_ready(self) -> bool:
        """Whether both of its servers answer."""
        try:
            self.ask("system")
            socket.create_connection((self.host, self.port), 1).close()
        except (OSError, PeerError):
            return False
        return True


def is_installed() -> bool:
    """Whether there is an Orthanc on this machine."""
    return shutil.which("Orthanc") is not None


@contextmanager
def run_orthanc(
    folder: Path,
    *,
    ae_title: str = "PACS",
    modalities: Mapping[str, Mapping[str, Any]] | None = None,
    scripts: tuple[Path, ...] = (),
    settings: Mapping[str, Any] | None = None,
) -> Iterator[Orthanc]:
    """Start Orthanc, wait until it answers, and stop it at the end.

    Parameters
    ----------
    folder
        Where it keeps everything.
    ae_title
        Its AE title.
    modalities
        Peers that it knows, by name, as in ``DicomModalities``.
    scripts
        Lua scripts.
    settings
        Further settings of Orthanc; they go before the ones chosen here.

    Raises
    ------
    PeerError
        If it does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port, http_port = free_ports(2)
    configuration = {
        "Name": ae_title,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(_DICOMWEB_PLUGIN)] if _DICOMWEB_PLUGIN.is_file() else [],
        "LuaScripts": [str(script) for script in scripts],
        "DicomAet": ae_title,
        "DicomPort": port,
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "StableAge": 1,
        "MaximumPduLength": 131_072,
        "OverwriteInstances": False,
        "DicomModalities": {name: dict(modality) for name, modality in (modalities or {}).items()},
        **(settings or {}),
    }
    file = folder / "orthanc.json"
    file.write_text(json.dumps(configuration, indent=1), encoding="utf-8")
    log_file = folder / "orthanc.log"
    orthanc = Orthanc(ae_title, port, http_port, log_file)
    with log_file.open("ab") as log:
        process = subprocess.Popen([shutil.which("Orthanc") or "Orthanc", str(file)], stdout=log, stderr=log)  # noqa: S603
        try:
            _wait_until_ready(orthanc, process)
            yield orthanc
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_ports(n: int) -> list[int]:
    """Loopback ports that nobody uses at the moment."""
    sockets = [socket.create_server((_HOST, 0)) for _ in range(n)]
    ports = [int(opened.getsockname()[1]) for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def _wait_until_ready(orthanc: Orthanc, process: "subprocess.Popen[bytes]") -> None:
    deadline_s = time.monotonic() + _START_S
    while not orthanc.is_ready():
        if process.poll() is not None or time.monotonic() > deadline_s:
            msg = f"Orthanc did not start; see {orthanc.log_file}"
            raise PeerError(msg)
        time.sleep(0.1)
