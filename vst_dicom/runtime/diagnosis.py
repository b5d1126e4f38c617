"""Check what a server needs before it is needed: each answer says what to do."""

import os
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

import requests
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from vst_dicom.config import Destination, Settings, TlsSettings
from vst_dicom.deliver.association import DicomPeer, open_association
from vst_dicom.deliver.dicomweb import WebServer, find_missing
from vst_dicom.deliver.files import SentInstance
from vst_dicom.dicom.uids import derive_uid
from vst_dicom.dicom.whole_slide import VL_WHOLE_SLIDE
from vst_dicom.domain.errors import BundleError, PeerError, ResourceError, UsageError, VstDicomError
from vst_dicom.runtime.certificates import read_validity
from vst_dicom.runtime.considering import read_site_rules
from vst_dicom.runtime.delivering import make_tls

_LONGEST_WAIT_S: Final = 10.0
_SOON: Final = timedelta(days=30)
_OTHERS_MAY_READ: Final = 0o004

_VERIFICATION: Final = "1.2.840.10008.1.1"
_IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104  (compared with, not bound to)


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the answer.

    Parameters
    ----------
    check
        What was looked at.
    level
        How bad it is.
    text
        What was found, and what to do where it is not fine.
    failure
        The class of failure; None unless it failed.
    """

    check: str
    level: Level
    text: str
    failure: type[VstDicomError] | None = None


def diagnose(settings: Settings, now: datetime) -> Iterator[Finding]:
    """Check rules, database, disk, port, destinations, certificates, bundles and device, one after the other.

    Parameters
    ----------
    settings
        What the server would run with.
    now
        The time, UTC.

    Yields
    ------
    Finding
        As soon as it is known; each check takes at most some ten seconds.
    """
    yield _guarded("rules", partial(_check_rules, settings))
    yield _guarded("database", partial(_check_database, settings))
    yield _guarded("disk", partial(_check_disk, settings))
    for name, tls in _tls_settings(settings):
        yield _guarded(f"certificate of {name}", partial(_check_certificate, tls, now))
    yield _guarded("DICOM port", partial(_check_port, settings))
    yield _guarded("web port", partial(_check_web_port, settings))
    if not settings.destinations:
        yield Finding("destinations", Level.WARN, "none is set: results stay here; add [destinations.NAME]")
    for name, destination in settings.destinations.items():
        yield _guarded(f"destination {name}", partial(_check_destination, settings, destination))
    for bundle in _bundles(settings):
        yield _guarded(f"bundle {bundle}", partial(_check_bundle, bundle))
    yield _guarded("device", partial(_check_device, settings))


def _guarded(check: str, look: Callable[[], Finding]) -> Finding:
    """Turn a failure into a finding."""
    try:
        return replace(look(), check=check)
    except VstDicomError as error:
        return Finding(check, Level.FAIL, str(error), type(error))
    except Exception as error:  # one check that breaks must not hide the others
        return Finding(check, Level.FAIL, f"the check itself broke ({type(error).__name__})", VstDicomError)


def _fine(what: str) -> Finding:
    return Finding("", Level.OK, what)


def _warning(what: str) -> Finding:
    return Finding("", Level.WARN, what)


def _check_rules(settings: Settings) -> Finding:
    rules = read_site_rules(settings)
    return _fine(f"{len(rules.rule)} rules" if settings.study.rules else "none set: every H&E slide is processed")


def _check_database(settings: Settings) -> Finding:
    url = make_url(settings.database)
    if url.get_backend_name() == "sqlite":
        if not url.database or not Path(url.database).exists():
            return _fine("SQLite, not made yet")
    elif "connect_timeout" not in url.query:
        url = url.update_query_dict({"connect_timeout": str(int(_LONGEST_WAIT_S))})
    try:
        engine = create_engine(url)
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        msg = f"{url.render_as_string(hide_password=True)} cannot be opened ({type(error).__name__}); see database_url"
        raise ResourceError(msg) from error
    return _fine(f"{url.get_backend_name()} answers")


def _check_disk(settings: Settings) -> Finding:
    folder = settings.data_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        msg = f"{folder} cannot be written to; change its owner or data_dir"
        raise ResourceError(msg)
    usage = shutil.disk_usage(folder)
    reserve = max(settings.storage.reserve_bytes, int(settings.storage.reserve_fraction * usage.total))
    words = f"{usage.free / 1e9:.1f} GB free, {reserve / 1e9:.1f} GB kept in reserve"
    if usage.free <= reserve:
        msg = f"{words}: every instance would be refused; free space, or lower storage.reserve_bytes and _fraction"
        raise ResourceError(msg)
    return _warning(f"{words}: little is left; free space soon") if usage.free < 2 * reserve else _fine(words)


def _tls_settings(settings: Settings) -> Iterator[tuple[str, TlsSettings]]:
    if settings.dicom.tls is not None:
        yield "the listener", settings.dicom.tls
    for name, destination in settings.destinations.items():
        if destination.tls is not None:
            yield f"destination {name}", destination.tls


def _check_certificate(tls: TlsSettings, now: datetime) -> Finding:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(tls.certificate, tls.private_key)
    except (OSError, ssl.SSLError) as error:
        msg = f"{tls.certificate} and {tls.private_key} do not fit or cannot be read: {error}"
        raise UsageError(msg) from error
    if tls.private_key.stat().st_mode & _OTHERS_MAY_READ:
        msg = f"everybody may read {tls.private_key}; run: chmod o= {tls.private_key}"
        raise UsageError(msg)
    files = [tls.certificate] if tls.authorities is None else [tls.certificate, tls.authorities]
    soonest = None
    for path in files:
        validity = read_validity(path)
        if validity.ends <= now:
            msg = f"{path} expired on {validity.ends:%Y-%m-%d}; renew it"
            raise UsageError(msg)
        if validity.begins > now:
            msg = f"{path} holds only from {validity.begins:%Y-%m-%d %H:%M} UTC on; check the clock of this machine"
            raise UsageError(msg)
        soonest = validity.ends if soonest is None else min(soonest, validity.ends)
    if soonest is not None and soonest - now < _SOON:
        return _warning(f"expires on {soonest:%Y-%m-%d}, in {(soonest - now).days} days; renew it")
    return _fine(f"holds until {soonest:%Y-%m-%d}")


def _check_port(settings: Settings) -> Finding:
    """Whether the listener's port is free, or its own listener answers there."""
    dicom = settings.dicom
    if _is_free(dicom.host, dicom.port):
        return _fine(f"{dicom.host}:{dicom.port} is free: the server does not run")
    host = _ANY_ADDRESS.get(dicom.host, dicom.host)
    peer = DicomPeer(dicom.ae_title, host, dicom.port, make_tls(dicom.tls), _LONGEST_WAIT_S)
    try:
        _echo(peer, dicom.ae_title)
    except PeerError as error:
        return _warning(f"{dicom.host}:{dicom.port} is in use, but not by a server that lets us in: {error}")
    return _fine(f"{dicom.host}:{dicom.port} answers as {dicom.ae_title}")


def _check_web_port(settings: Settings) -> Finding:
    """Whether the port of DICOMweb and REST is free, or our own server answers there."""
    web = settings.web
    if _is_free(web.host, web.port):
        return _fine(f"{web.host}:{web.port} is free: the server does not run")
    address = f"[{web.host}]" if ":" in web.host else web.host
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(
                f"http://{address}:{web.port}/health/ready",
                headers={"Host": "127.0.0.1"},  # one of the names that it answers to, whatever it listens at
                timeout=_LONGEST_WAIT_S,
                allow_redirects=False,
            )
        is_ours = answer.ok and answer.json() == {"status": "ok"}
    except requests.RequestException:
        is_ours = False
    if not is_ours:
        return _warning(f"{web.host}:{web.port} is in use, but not by a server that is well; set another web.port")
    return _fine(f"{web.host}:{web.port} answers")


def _is_free(host: str, port: int) -> bool:
    """Whether a port can be opened.

    Raises
    ------
    UsageError
        If this user may not.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError as error:
            msg = f"port {port} may not be opened by this user; choose one above 1023, or give the right to"
            raise UsageError(msg) from error
        except OSError:
            return False
    return True


def _check_destination(settings: Settings, destination: Destination) -> Finding:
    timeout_s = min(destination.timeout_s, _LONGEST_WAIT_S)
    tls = make_tls(destination.tls)
    if destination.ae_title:
        peer = DicomPeer(destination.ae_title, destination.host, destination.port, tls, timeout_s)
        _echo(peer, settings.dicom.ae_title)
    for url in filter(None, (destination.url, destination.query_url)):
        unknown = derive_uid("doctor")
        nobody = SentInstance(VL_WHOLE_SLIDE, unknown, unknown, unknown)
        find_missing(WebServer(url, tls, timeout_s), [nobody])
    return _fine("answers to C-ECHO" if destination.ae_title else "answers to queries")


def _echo(peer: DicomPeer, calling_ae_title: str) -> None:
    """Verify a connection by C-ECHO (PS3.4 A).

    Raises
    ------
    PeerError
        If the peer does not answer with success.
    """
    contexts = [(_VERIFICATION, [_IMPLICIT_VR_LITTLE_ENDIAN])]
    with open_association(peer, calling_ae_title, contexts) as opened:
        status = opened.require_status(opened.association.send_c_echo(), "C-ECHO")
    if status != 0x0000:
        msg = f"{peer} answers C-ECHO with status 0x{status:04X}"
        raise PeerError(msg)


def _bundles(settings: Settings) -> list[str]:
    """Name the bundle of the settings and those of rules; rules that cannot be read are found elsewhere."""
    try:
        named = [rule.bundle for rule in read_site_rules(settings).rule if rule.bundle]
    except UsageError:
        named = []
    return list(dict.fromkeys([settings.predict.bundle, *settings.predict.shadow, *named]))


def _check_bundle(name: str) -> Finding:
    from vst_dicom.predict.bundle import load_bundle

    bundle = load_bundle(name)
    n_shown = sum(gene.shown for gene in bundle.genes)
    if not n_shown:
        msg = f"bundle {name} shows no gene; choose another with predict.bundle"
        raise BundleError(msg)
    return _fine(f"version {bundle.manifest.version}, {n_shown} genes shown, all hashes right")


def _check_device(settings: Settings) -> Finding:
    """Say what would compute, and what else could."""
    from vst_dicom.predict.engine_choice import wants_cuda
    from vst_dicom.predict.openvino_library import INSTALL, has_bf16, has_openvino, openvino_version

    chosen = settings.predict
    if chosen.engine == "openvino" and not has_openvino():
        msg = f"predict.engine is openvino, which is not installed: {INSTALL}"
        raise UsageError(msg)
    if wants_cuda(chosen.device, chosen.engine):
        import torch

        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return _fine(f"engine torch on cuda ({', '.join(names)})")
    bf16 = "fp32 or bf16" if has_bf16() else "fp32"
    with_openvino = f"openvino {openvino_version()}, {bf16}" if has_openvino() else f"no openvino ({INSTALL})"
    engines = f"engines on the CPU: torch, fp32; {with_openvino}"
    if chosen.device == "auto":
        return _warning(f"no CUDA device: slides are processed on the CPU, which is slow; {engines}")
    return _fine(engines)
