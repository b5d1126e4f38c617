import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.peers.certificates import make_certificates, needs_openssl
from vst_dicom.domain.errors import UsageError
from vst_dicom.runtime.certificates import read_validity


@needs_openssl
def test_the_validity_is_that_of_openssl(tmp_path: Path) -> None:
    made = make_certificates(tmp_path, "server")["server"]
    printed = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-in", str(made.certificate)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    ends = datetime.strptime(printed.strip(), "notAfter=%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)

    validity = read_validity(made.certificate)

    assert validity.ends == ends
    assert validity.ends - validity.begins == timedelta(days=2)


@needs_openssl
def test_of_several_certificates_the_narrowest_span_counts(tmp_path: Path) -> None:
    made = make_certificates(tmp_path, "server")["server"]
    long = tmp_path / "long.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "20000", "-subj", "/CN=long",
         "-keyout", str(tmp_path / "long.key"), "-out", str(long)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    both = tmp_path / "both.pem"
    both.write_text(long.read_text() + made.certificate.read_text())

    assert read_validity(long).ends.year > 2050
    assert read_validity(both).ends == read_validity(made.certificate).ends


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no certificate"),
        ("nothing", "no certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n", "cannot be read"),
    ],
)
def test_what_is_no_certificate_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.pem"
    path.write_text(content)

    with pytest.raises(UsageError, match=message):
        read_validity(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_validity(tmp_path / "none.pem")
