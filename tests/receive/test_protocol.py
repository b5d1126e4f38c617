"""Peers that break the protocol, or dawdle, cost themselves their association and nobody else anything."""

import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import replace
from time import monotonic, sleep

import pytest

from tests.receive.conftest import QUICK, Receiver
from tests.receive.raw_peer import (
    ABORT,
    ASSOCIATE_RJ,
    EXPLICIT,
    JPEG,
    P_DATA,
    VERIFICATION,
    VL_WHOLE_SLIDE,
    RawPeer,
    data_set,
    echo_command,
    pdu,
    pdv,
    request,
    store_command,
)
from vst_dicom.receive.association import BoundedAssociation
from vst_dicom.receive.listener import ListenerSettings
from vst_dicom.receive.upper_layer import BoundedUpperLayer

_OF_ASSOCIATIONS = (BoundedAssociation, BoundedUpperLayer)


@pytest.fixture(autouse=True)
def _leaves_nothing(receiver: Receiver):
    """After every case: an echo works at once, and no file, connection or thread is left."""
    yield
    assert echo(receiver.port) < 1.0
    wait_until(lambda: receiver.listener.n_connections == 0)
    wait_until(lambda: not [thread for thread in threading.enumerate() if isinstance(thread, _OF_ASSOCIATIONS)])
    assert receiver.parts() == []


def wait_until(is_so: Callable[[], bool], limit_s: float = 8.0) -> None:
    deadline = monotonic() + limit_s
    while not is_so():
        assert monotonic() < deadline
        sleep(0.02)


def echo(port: int) -> float:
    start = monotonic()
    with RawPeer(port) as peer:
        peer.associate()
        peer.send(pdu(P_DATA, pdv(echo_command(), command=True, context=3)))
        assert peer.status() == 0
        assert peer.release()
    return monotonic() - start


@pytest.mark.parametrize("words", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01" * 20, bytes(64)])
def test_what_is_no_dicom_is_closed_at_once(receiver: Receiver, words: bytes) -> None:
    with RawPeer(receiver.port) as peer:
        peer.send(words)
        start = monotonic()
        assert peer.is_closed()
        assert monotonic() - start < 0.9


@pytest.mark.parametrize(
    "words",
    [b"", b"\x01\0\0", request()[:50], request()[:-1]],
    ids=["nothing", "part of a head", "part", "all but one"],
)
def test_a_request_that_does_not_end_is_closed_at_the_deadline(receiver: Receiver, words: bytes) -> None:
    with RawPeer(receiver.port) as peer:
        peer.send(words)
        start = monotonic()
        assert peer.is_closed()
        assert monotonic() - start < 2.5


def test_a_request_that_drips_is_closed_at_the_deadline(receiver: Receiver) -> None:
    with RawPeer(receiver.port) as peer:
        stop = threading.Event()

        def drip() -> None:
            for byte in request():
                peer.send(bytes([byte]))
                if stop.wait(0.1):
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        start = monotonic()
        assert peer.is_closed()
        assert monotonic() - start < 2.5
        stop.set()
        thread.join()


@pytest.mark.parametrize("length", [0xFFFFFFFF, 600_000])
def test_a_request_that_is_too_long_is_aborted_before_it_is_read(receiver: Receiver, length: int) -> None:
    with RawPeer(receiver.port) as peer:
        peer.send(pdu(1, bytes(1000), length))
        start = monotonic()
        assert peer.is_closed()
        assert monotonic() - start < 0.9


@pytest.mark.parametrize(
    "words",
    [
        pdu(P_DATA, b"", 1 << 30),
        pdu(P_DATA, b"", 131_073),
        pdu(9, b"abcd"),
        pdu(5, b"", 5000),
        request(),
        pdu(P_DATA, pdv(data_set())),
        pdu(P_DATA, pdv(echo_command(), command=True, context=5)),
        pdu(P_DATA, pdv(echo_command(), command=True, context=2)),
        pdu(P_DATA, struct.pack(">IBB", 0, 1, 3)),
        pdu(P_DATA, struct.pack(">IBB", 1, 1, 3)),
        pdu(P_DATA, struct.pack(">IBB", 0xFFFFFFF0, 1, 3) + bytes(10)),
        pdu(P_DATA, pdv(b"garbage that is no command", command=True)),
        pdu(P_DATA, pdv(bytes(9000), command=True)),
        pdu(P_DATA, pdv(store_command(), command=True) + pdv(b"ab", last=False) + pdv(echo_command(), command=True)),
        pdu(P_DATA, pdv(store_command(), command=True) + pdv(b"ab", last=False, context=3)),
    ],
)  # fmt: skip
def test_a_message_that_breaks_the_protocol_is_aborted(receiver: Receiver, words: bytes) -> None:
    with RawPeer(receiver.port) as peer:
        peer.associate()
        peer.send(words)
        start = monotonic()
        assert peer.is_closed()
        assert monotonic() - start < 1.5


def test_an_endless_command_is_aborted(receiver: Receiver) -> None:
    with RawPeer(receiver.port) as peer:
        peer.associate()
        for _ in range(3):
            peer.send(pdu(P_DATA, pdv(bytes(4000), command=True, last=False)))
        assert peer.is_closed()


def test_an_idle_association_is_aborted(receiver: Receiver) -> None:
    with RawPeer(receiver.port) as peer:
        peer.associate()
        start = monotonic()
        assert peer.receive()[0] == ABORT
        assert 1.5 < monotonic() - start < 4.0


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("sent", [b"\x04\0\0", pdu(P_DATA, pdv(bytes(1000)))[:500]])
def test_a_pdu_that_stops_in_the_middle_is_aborted(start: Callable[..., Receiver], sent: bytes, fast: bool) -> None:
    receiver = start(ListenerSettings(limits=replace(QUICK, fast_path=fast)))
    with RawPeer(receiver.port) as peer:
        peer.associate()
        peer.send(pdu(P_DATA, pdv(store_command(), command=True)), pdu(P_DATA, pdv(data_set(), last=False)), sent)
        begin = monotonic()
        assert peer.is_closed()
        assert monotonic() - begin < 2.0
    wait_until(lambda: receiver.parts() == [])


def test_a_pdu_that_drips_is_aborted(receiver: Receiver) -> None:
    with RawPeer(receiver.port) as peer:
        peer.associate()
        peer.send(pdu(P_DATA, pdv(store_command(), command=True)))
        start = monotonic()
        for byte in pdu(P_DATA, pdv(bytes(1000))):
            peer.send(bytes([byte]))
            sleep(0.05)
            if monotonic() - start > 1.5:
                break
        assert peer.is_closed()


@pytest.mark.parametrize(
    ("settings", "answer"),
    [
        ({"called": "OTHER"}, (1, 1, 7)),
        ({"called": "vst_dicom"}, (1, 1, 7)),
        ({"application_context": "1.2.3"}, (1, 1, 2)),
        ({"version": 0}, (1, 2, 2)),
        ({"contexts": ()}, None),
        ({"contexts": ((1, VERIFICATION, (EXPLICIT,)), (1, VL_WHOLE_SLIDE, (EXPLICIT,)))}, None),
        ({"contexts": tuple((1 + 2 * (n % 128), VERIFICATION, (EXPLICIT,)) for n in range(400))}, None),
        ({"contexts": ((2, VERIFICATION, (EXPLICIT,)),)}, None),
    ],
)  # fmt: skip
def test_a_request_that_is_wrong_is_rejected_with_its_reason(
    receiver: Receiver, settings: dict[str, object], answer: tuple[int, int, int] | None
) -> None:
    with RawPeer(receiver.port) as peer:
        peer.send(request(**settings))  # type: ignore[arg-type]
        kind, body = peer.receive()
        if answer is None:
            assert kind in (0, ABORT, ASSOCIATE_RJ)
        else:
            assert (kind, tuple(body[1:])) == (ASSOCIATE_RJ, answer)


@pytest.mark.parametrize(
    ("abstract", "syntaxes", "result"),
    [
        (VL_WHOLE_SLIDE, ("1.2.840.10008.1.2.1.99",), 4),  # deflated
        (VL_WHOLE_SLIDE, ("1.2.840.10008.1.2.2",), 4),  # big endian
        ("1.2.840.10008.5.1.4.1.1.7", (EXPLICIT,), 3),  # secondary capture
        ("1.2.840.10008.5.1.4.1.2.1.1", (EXPLICIT,), 3),  # patient root find
        ("1.2.840.10008.1.20.1", (EXPLICIT,), 3),  # storage commitment, which nobody handles here
    ],
)
def test_what_is_not_supported_is_refused_by_context_and_the_rest_works(
    receiver: Receiver, abstract: str, syntaxes: tuple[str, ...], result: int
) -> None:
    with RawPeer(receiver.port) as peer:
        peer.send(request(contexts=((1, abstract, syntaxes), (3, VERIFICATION, (EXPLICIT,)))))
        _, body = peer.receive()
        assert context_results(body) == {1: result, 3: 0}
        peer.send(pdu(P_DATA, pdv(echo_command(), command=True, context=3)))
        assert peer.status() == 0
        peer.release()


def test_the_first_known_transfer_syntax_of_the_requestor_is_chosen(receiver: Receiver) -> None:
    for syntaxes, chosen in (((EXPLICIT, JPEG), EXPLICIT), ((JPEG, EXPLICIT), JPEG), (("1.2.3", JPEG), JPEG)):
        with RawPeer(receiver.port) as peer:
            peer.send(request(contexts=((1, VL_WHOLE_SLIDE, syntaxes),)))
            _, body = peer.receive()
            assert chosen.encode() in body
            peer.release()


def test_the_maximum_pdu_of_the_settings_is_announced(receiver: Receiver) -> None:
    with RawPeer(receiver.port) as peer:
        peer.send(request())
        _, body = peer.receive()
        assert struct.pack(">BBHI", 0x51, 0, 4, 131_072) in body
        peer.release()


@pytest.mark.parametrize("at", range(12))
@pytest.mark.parametrize("how", ["close", "reset", "abort"])
def test_a_peer_that_goes_at_any_point_leaves_nothing(receiver: Receiver, at: int, how: str) -> None:
    words = b"".join(
        [request(), pdu(P_DATA, pdv(store_command(), command=True))]
        + [pdu(P_DATA, pdv(bytes(5000), last=False)) for _ in range(5)]
    )
    with RawPeer(receiver.port) as peer:
        peer.send(words[: len(words) * at // 11])
        if how == "abort":
            peer.send(pdu(ABORT, bytes(4)))
        elif how == "reset":
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert receiver.rows() == []


def test_too_many_associations_are_rejected_as_transient(start: Callable[..., Receiver]) -> None:
    receiver = start(ListenerSettings(limits=replace(QUICK, associations=2)))
    with RawPeer(receiver.port) as one, RawPeer(receiver.port) as two, RawPeer(receiver.port) as three:
        one.associate()
        two.associate()
        three.send(request())
        assert three.receive() == (ASSOCIATE_RJ, bytes([0, 2, 3, 2]))
        one.release()
    wait_until(lambda: receiver.listener.n_connections == 0)
    echo(receiver.port)


def test_connections_are_limited_in_all_and_per_address(start: Callable[..., Receiver]) -> None:
    receiver = start(ListenerSettings(limits=replace(QUICK, connections=5, connections_per_address=3, request_s=30)))
    peers = [RawPeer(receiver.port, address="127.0.0.2") for _ in range(3)]
    wait_until(lambda: receiver.listener.n_connections == 3)
    with RawPeer(receiver.port, address="127.0.0.2") as fourth:
        assert fourth.is_closed()
    assert echo(receiver.port) < 1.0
    wait_until(lambda: receiver.listener.n_connections == 3)
    peers += [RawPeer(receiver.port, address="127.0.0.3") for _ in range(2)]
    wait_until(lambda: receiver.listener.n_connections == 5)
    with RawPeer(receiver.port) as sixth:
        assert sixth.is_closed()
    for peer in peers:
        peer.socket.close()
    wait_until(lambda: receiver.listener.n_connections == 0)


def test_silent_and_idle_connections_do_not_slow_an_echo(start: Callable[..., Receiver]) -> None:
    receiver = start(ListenerSettings(limits=replace(QUICK, idle_s=30, request_s=30)))
    idle = [RawPeer(receiver.port, address=f"127.0.0.{2 + n % 5}") for n in range(50)]
    for peer in idle[:25]:
        peer.associate()
    assert echo(receiver.port) < 1.0
    for peer in idle:
        peer.socket.close()


def test_two_hundred_bad_connections_in_a_row_do_not_keep_slots(receiver: Receiver) -> None:
    for _ in range(200):
        with RawPeer(receiver.port) as peer:
            peer.send(b"\x09\0\0\0\0\0")
    wait_until(lambda: receiver.listener.n_connections == 0)


def test_echoes_whose_answers_nobody_reads_are_bounded(receiver: Receiver) -> None:
    with RawPeer(receiver.port) as peer:
        peer.associate()
        peer.socket.settimeout(3.0)
        try:
            for number in range(5000):
                peer.send(pdu(P_DATA, pdv(echo_command(number % 60000), command=True, context=3)))
        except TimeoutError:
            pass
        assert all(
            association._messages.msg_queue.qsize() <= 9
            for association in receiver.listener._server.gate.associations()
        )


def context_results(body: bytes) -> dict[int, int]:
    """Result of each presentation context of an A-ASSOCIATE-AC."""
    results, position = {}, 68
    while position < len(body):
        kind, length = body[position], int.from_bytes(body[position + 2 : position + 4])
        if kind == 0x21:
            results[body[position + 4]] = body[position + 6]
        position += 4 + length
    return results
