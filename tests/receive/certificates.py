"""Certificates for tests, made by openssl."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from vst_dicom.receive.tls import TlsFiles


@dataclass(frozen=True)
class Party:
    """Certificate and key of one party."""

    certificate: Path
    private_key: Path


class Authority:
    """A certificate authority."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.party = Party(folder / f"{name}.crt", folder / f"{name}.key")
        _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.party.private_key, "-out",
                 self.party.certificate, "-days", "2", "-subj", f"/CN={name}")  # fmt: skip

    def issue(self, name: str, *, days: int = 2, bits: int = 2048) -> Party:
        """Issue a certificate; with negative days one that has expired."""
        party = Party(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        request = self.folder / f"{name}.csr"
        _openssl("req", "-newkey", f"rsa:{bits}", "-nodes", "-keyout", party.private_key, "-out", request,
                 "-subj", f"/CN={name}")  # fmt: skip
        _openssl("x509", "-req", "-in", request, "-CA", self.party.certificate, "-CAkey", self.party.private_key,
                 "-CAcreateserial", "-days", days, "-out", party.certificate)  # fmt: skip
        return party

    def files(self, party: Party) -> TlsFiles:
        """What a listener needs to show this party's certificate and to believe this authority."""
        return TlsFiles(party.certificate, party.private_key, self.party.certificate)


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)
