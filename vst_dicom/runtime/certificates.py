"""From when until when certificates hold: enough of X.509 to read that, and no more (RFC 5280 4.1)."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from vst_dicom.domain.errors import UsageError

_MOST_BYTES: Final = 4 << 20
_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_TIMES: Final = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
"""UTCTime and GeneralizedTime."""

_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Validity:
    """When certificates of a file begin and cease to hold.

    Parameters
    ----------
    begins
        The latest beginning of any of them, UTC.
    ends
        The earliest end.
    """

    begins: datetime
    ends: datetime


def read_validity(path: Path) -> Validity:
    """Read when all certificates of a PEM file hold.

    Raises
    ------
    UsageError
        If there is no such file, or no certificate in it.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            msg = f"{path} is too large for a file of certificates"
            raise UsageError(msg)
        text = path.read_text(encoding="ascii", errors="replace")
        spans = [_read_times(ssl.PEM_cert_to_DER_cert(part)) for part in _split(text)]
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise UsageError(msg) from error
    except (ValueError, IndexError) as error:
        msg = f"{path} holds a certificate that cannot be read; get it again in PEM form"
        raise UsageError(msg) from error
    if not spans:
        msg = f"{path} holds no certificate in PEM form"
        raise UsageError(msg)
    return Validity(max(begins for begins, _ in spans), min(ends for _, ends in spans))


def _split(text: str) -> list[str]:
    return [_BEGIN + part.partition(_END)[0] + _END + "\n" for part in text.split(_BEGIN)[1:]]


def _read_times(der: bytes) -> tuple[datetime, datetime]:
    """Walk to the fourth element after version: serial number, signature, issuer, validity."""
    _, position, _ = _read_head(der, 0)
    _, position, _ = _read_head(der, position)
    tag, _, stop = _read_head(der, position)
    if tag == _VERSION:
        position = stop
    for _ in range(3):
        _, _, position = _read_head(der, position)
    tag, position, _ = _read_head(der, position)
    if tag != _SEQUENCE:
        raise ValueError("there is no validity")
    begins, position = _read_time(der, position)
    ends, _ = _read_time(der, position)
    return begins, ends


def _read_time(der: bytes, position: int) -> tuple[datetime, int]:
    tag, start, stop = _read_head(der, position)
    if tag not in _TIMES:
        raise ValueError("there is no time")
    moment = datetime.strptime(der[start:stop].decode("ascii"), _TIMES[tag]).replace(tzinfo=UTC)
    return moment, stop


def _read_head(der: bytes, position: int) -> tuple[int, int, int]:
    """Tag, beginning and end of an element's content."""
    length, start = der[position + 1], position + 2
    if length & 0x80:
        n_bytes = length & 0x7F
        length, start = int.from_bytes(der[start : start + n_bytes]), start + n_bytes
    if start + length > len(der):
        raise ValueError("an element reaches beyond the end")
    return der[position], start, start + length
