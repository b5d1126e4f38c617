"""TLS after BCP 195 (PS3.15 B.12), with certificates that are read again when their files change."""

import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

import structlog

from vst_dicom.domain.errors import UsageError

_log = structlog.get_logger()

_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2; those of 1.3 need no choice (RFC 9325 4.2)."""

_LOOK_S: Final = 1.0
"""How often the files are looked at, at most."""

_OTHERS_MAY_READ: Final = 0o004


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Certificate chain and key of this side, and the authorities that vouch for peers.

    Parameters
    ----------
    certificate, private_key
        PEM files.
    authorities
        PEM file; needed if peers must show a certificate.
    require_peer_certificate
        Whether TLS is mutual.
    """

    certificate: Path
    private_key: Path
    authorities: Path | None = None
    require_peer_certificate: bool = True


class ServerContext:
    """The context for the next handshake.

    A new one is built beside the old: a certificate and a key that do not fit would break every handshake if they
    were loaded into the context in use. Established associations live on.

    Parameters
    ----------
    files
        Read now and whenever they change.

    Raises
    ------
    UsageError
        If they cannot be used at the start; later the old ones stay.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._stamp = self._read_stamp()
        self._looked_at = monotonic()
        self._context = build_context(files)

    def current(self) -> ssl.SSLContext:
        """Give the context, renewed if the files changed."""
        with self._lock:
            if monotonic() - self._looked_at >= _LOOK_S:
                self._looked_at = monotonic()
                self._renew()
            return self._context

    def _renew(self) -> None:
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._context = build_context(self._files)
        except UsageError as error:
            _log.error("certificate not renewed, the old one stays", reason=str(error))
        else:
            _log.info("certificate renewed")

    def _read_stamp(self) -> tuple[object, ...]:
        stamp: list[object] = []
        for path in (self._files.certificate, self._files.private_key, self._files.authorities):
            try:
                facts = path.stat() if path is not None else None
            except OSError:
                facts = None
            stamp.append(facts and (facts.st_mtime_ns, facts.st_size, facts.st_ino))
        return tuple(stamp)


def build_context(files: TlsFiles) -> ssl.SSLContext:
    """Build a context for the side that accepts.

    Raises
    ------
    UsageError
        If a file is missing or unfit, or others may read the key.
    """
    if files.require_peer_certificate and files.authorities is None:
        raise UsageError("TLS with certificates of peers needs authorities that vouch for them: set tls.authorities")
    try:
        if files.private_key.stat().st_mode & _OTHERS_MAY_READ:
            msg = f"everybody may read the private key {files.private_key}; run: chmod o= {files.private_key}"
            raise UsageError(msg)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.load_cert_chain(files.certificate, files.private_key)
        if files.authorities is not None:
            context.load_verify_locations(files.authorities)
        if files.require_peer_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:
        msg = f"certificate {files.certificate} with key {files.private_key} cannot be used: {error}"
        raise UsageError(msg) from error
    return context
