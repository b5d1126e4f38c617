"""DCMTK's servers and clients on free loopback ports."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers.certificates import Certificate
from tests.peers.processes import running
from tests.programs import needs
from vst_dicom.deliver.association import DicomPeer, TlsFiles
from vst_dicom.runtime.orthanc import free_ports

needs_dcmtk = needs("storescp", "dcmtk")
_DICTIONARY = Path("/usr/share/libdcmtk17/dicom.dic")


def environment() -> dict[str, str]:
    """Environment in which DCMTK finds its dictionary."""
    found = {"DCMDICTPATH": str(_DICTIONARY)} if _DICTIONARY.is_file() else {}
    return {**found, **os.environ}


@dataclass(frozen=True)
class DcmtkServer:
    """A running storescp or dcmqrscp: where it listens, and where it keeps files."""

    ae_title: str
    port: int
    folder: Path
    tls: TlsFiles | None = None

    @property
    def peer(self) -> DicomPeer:
        host = "localhost" if self.tls else "127.0.0.1"
        return DicomPeer(self.ae_title, host, self.port, self.tls, timeout_s=10.0)

    def files(self) -> list[Path]:
        """What it stored."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file() and path.name != "index.dat")


@contextmanager
def run_storescp(
    folder: Path, *, server: Certificate | None = None, client: Certificate | None = None, options: Sequence[str] = ()
) -> Iterator[DcmtkServer]:
    """storescp that keeps the bytes as sent (+B); with TLS if certificates are given.

    The client's certificate is both checked by the server and put into `DcmtkServer.tls`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    tls: list[str] = []
    files = None
    if server is not None and client is not None:
        tls = ["+tls", str(server.key), str(server.certificate), "+cf", str(server.authority)]
        files = TlsFiles(client.certificate, client.key, client.authority)
    command = ["storescp", "-aet", "STORESCP", "-od", str(folder), "+B", "+xa", *tls, *options, str(port)]
    with running(command, port, folder.parent / "storescp.log", env=environment()):
        yield DcmtkServer("STORESCP", port, folder, files)


@contextmanager
def run_dcmqrscp(
    folder: Path, *, destinations: Mapping[str, int] | None = None, options: Sequence[str] = ()
) -> Iterator[DcmtkServer]:
    """dcmqrscp, an archive with C-FIND and C-MOVE.

    Parameters
    ----------
    folder
        Where it keeps files and its configuration.
    destinations
        AE titles and loopback ports to which it may move.
    options
        Further options, such as +xy to take JPEG.
    """
    storage = folder / "QRSCP"
    storage.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    hosts = "\n".join(
        f"peer{number} = ({ae_title}, 127.0.0.1, {there})"
        for number, (ae_title, there) in enumerate((destinations or {}).items())
    )
    configuration = folder / "dcmqrscp.cfg"
    configuration.write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 131072\nMaxAssociations = 16\n"
        f"HostTable BEGIN\n{hosts}\nHostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nQRSCP {storage} RW (200, 1024mb) ANY\nAETable END\n"
    )
    command = ["dcmqrscp", "-c", str(configuration), "+B", *options]
    with running(command, port, folder / "dcmqrscp.log", env=environment()):
        yield DcmtkServer("QRSCP", port, storage)


def run_dcmtk(program: str, *arguments: str, timeout_s: float = 60.0) -> "subprocess.CompletedProcess[str]":
    """Run one of DCMTK's clients to its end."""
    return subprocess.run(
        [program, *arguments],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        env=environment(),
    )
