import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest

from tests.programs import needs
from tests.receive.certificates import Authority, Party
from tests.receive.conftest import QUICK, Receiver
from tests.receive.raw_peer import P_DATA, RawPeer, data_set, pdu, pdv, store_command
from tests.receive.test_protocol import wait_until
from vst_dicom.domain.errors import UsageError
from vst_dicom.receive import tls
from vst_dicom.receive.listener import ListenerSettings
from vst_dicom.receive.tls import ServerContext, TlsFiles, build_context

pytestmark = needs("openssl", "openssl")
needs_echoscu = needs("echoscu", "dcmtk")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"), "authority")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Party:
    return authority.issue("server")


@pytest.fixture(scope="module")
def client(authority: Authority) -> Party:
    return authority.issue("client")


@pytest.fixture
def secure(start: Callable[..., Receiver], authority: Authority, server: Party) -> Receiver:
    return start(ListenerSettings(tls=authority.files(server), limits=QUICK))


class TlsPeer(RawPeer):
    """A raw peer within TLS."""

    def __init__(self, port: int, authority: Authority, party: Party | None) -> None:
        super().__init__(port)
        context = ssl.create_default_context(cafile=str(authority.party.certificate))
        context.check_hostname = False
        if party is not None:
            context.load_cert_chain(party.certificate, party.private_key)
        self.socket = context.wrap_socket(self.socket)


def echo(port: int, *options: object) -> int:
    run = subprocess.run(
        ["echoscu", *map(str, options), "-aec", "VST_DICOM", "-to", "5", "127.0.0.1", str(port)],
        check=False, capture_output=True, timeout=30,
    )  # fmt: skip
    return run.returncode


def options_of(party: Party, authority: Authority) -> tuple[object, ...]:
    return ("+tls", party.private_key, party.certificate, "+cf", authority.party.certificate)


@needs_echoscu
def test_only_certificates_of_the_authority_are_welcome(
    secure: Receiver, authority: Authority, client: Party, tmp_path: Path
) -> None:
    assert echo(secure.port, *options_of(client, authority)) == 0
    assert echo(secure.port, "+tla", "+cf", authority.party.certificate) != 0  # no certificate
    stranger = Authority(tmp_path, "stranger").issue("client")
    assert echo(secure.port, *options_of(stranger, authority)) != 0
    expired = authority.issue("expired", days=-1)
    assert echo(secure.port, *options_of(expired, authority)) != 0
    assert echo(secure.port) != 0  # no TLS


@pytest.mark.parametrize("fast", [True, False])
def test_an_instance_comes_through_tls(
    start: Callable[..., Receiver], authority: Authority, server: Party, client: Party, fast: bool
) -> None:
    receiver = start(ListenerSettings(tls=authority.files(server), limits=replace(QUICK, fast_path=fast)))
    sent = data_set(pixels=os.urandom(400_000))
    with TlsPeer(receiver.port, authority, client) as peer:
        peer.associate()
        assert peer.store(store_command(), sent, 100_000) == 0x0000
        assert peer.release()
    assert receiver.storage.spool.path(receiver.rows()[0].file_name).read_bytes().endswith(sent)


def test_a_pdu_that_stops_in_the_middle_is_aborted_within_tls(
    secure: Receiver, authority: Authority, client: Party
) -> None:
    with TlsPeer(secure.port, authority, client) as peer:
        peer.associate()
        peer.send(pdu(P_DATA, pdv(store_command(), command=True)), pdu(P_DATA, pdv(data_set(), last=False))[:90])
        start = monotonic()
        assert peer.is_closed()
        assert monotonic() - start < 2.0
    wait_until(lambda: secure.parts() == [])


@needs_echoscu
def test_silent_and_slow_handshakes_hold_nobody_up(secure: Receiver, authority: Authority, client: Party) -> None:
    silent = [socket.create_connection(("127.0.0.1", secure.port)) for _ in range(10)]
    for connected in silent[:5]:
        connected.sendall(b"\x16\x03\x01\x02\x00\x01")
    start = monotonic()
    assert echo(secure.port, *options_of(client, authority)) == 0
    assert monotonic() - start < 1.0
    wait_until(lambda: secure.listener.n_connections == 0, 4.0)
    for connected in silent:
        connected.close()


@pytest.mark.parametrize(
    ("version", "ciphers", "is_welcome"),
    [
        (ssl.TLSVersion.TLSv1_3, None, True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES128-GCM-SHA256", True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES128-SHA256", False),  # CBC
        (ssl.TLSVersion.TLSv1_2, "AES128-GCM-SHA256", False),  # RSA key exchange
        (ssl.TLSVersion.TLSv1_1, "DEFAULT@SECLEVEL=0", False),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_versions_and_ciphers_follow_bcp_195(
    secure: Receiver,
    authority: Authority,
    client: Party,
    version: ssl.TLSVersion,
    ciphers: str | None,
    is_welcome: bool,
) -> None:
    context = ssl.create_default_context(cafile=str(authority.party.certificate))
    context.check_hostname = False
    context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    context.load_cert_chain(client.certificate, client.private_key)
    with socket.create_connection(("127.0.0.1", secure.port), 5) as connected:
        try:
            with context.wrap_socket(connected) as wrapped:
                assert wrapped.version() == version.name.replace("_", ".")
            got_in = True
        except (ssl.SSLError, ConnectionError):
            got_in = False
    assert got_in is is_welcome


def test_a_changed_certificate_is_used_and_a_wrong_one_is_not(
    tmp_path: Path, authority: Authority, server: Party, client: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "_LOOK_S", 0.0)
    files = TlsFiles(tmp_path / "used.crt", tmp_path / "used.key", authority.party.certificate)

    def install(certificate: Path, key: Path) -> None:
        shutil.copy(certificate, files.certificate)
        shutil.copy(key, files.private_key)

    install(server.certificate, server.private_key)
    context = ServerContext(files)
    first = context.current()
    assert context.current() is first
    install(client.certificate, client.private_key)
    second = context.current()
    assert second is not first
    install(server.certificate, client.private_key)
    assert context.current() is second
    files.certificate.unlink()
    assert context.current() is second


def test_files_that_do_not_fit_are_refused_at_the_start(
    tmp_path: Path, authority: Authority, server: Party, client: Party
) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        build_context(TlsFiles(server.certificate, client.private_key, authority.party.certificate))
    with pytest.raises(UsageError, match="cannot be used"):
        build_context(TlsFiles(tmp_path / "none", server.private_key, authority.party.certificate))
    with pytest.raises(UsageError, match=r"set tls\.authorities"):
        build_context(TlsFiles(server.certificate, server.private_key))
    key = tmp_path / "open.key"
    shutil.copy(server.private_key, key)
    key.chmod(0o644)
    with pytest.raises(UsageError, match="everybody may read"):
        build_context(TlsFiles(server.certificate, key, authority.party.certificate))
