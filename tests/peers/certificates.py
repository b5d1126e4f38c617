"""An authority and certificates of it, made by openssl for a test."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.programs import needs

needs_openssl = needs("openssl", "openssl")


@dataclass(frozen=True)
class Certificate:
    """PEM files: a certificate, its key, and the authority that signed it."""

    certificate: Path
    key: Path
    authority: Path


def make_certificates(folder: Path, *names: str) -> dict[str, Certificate]:
    """One new authority, and a certificate for 127.0.0.1 and localhost under each name."""
    folder.mkdir(parents=True, exist_ok=True)
    authority, authority_key = folder / "authority.pem", folder / "authority.key"
    _openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=Test authority",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        "-keyout", str(authority_key), "-out", str(authority),
    )  # fmt: skip
    made = {}
    for name in names:
        key, request, certificate = folder / f"{name}.key", folder / f"{name}.csr", folder / f"{name}.pem"
        extensions = folder / f"{name}.ext"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        _openssl(
            "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request)
        )
        _openssl(
            "x509", "-req", "-in", str(request), "-CA", str(authority), "-CAkey", str(authority_key), "-CAcreateserial",
            "-days", "2", "-extfile", str(extensions), "-out", str(certificate),
        )  # fmt: skip
        made[name] = Certificate(certificate, key, authority)
    return made


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
