import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.receive.raw_peer import EXPLICIT, P_DATA, VL_WHOLE_SLIDE, pdu, pdv
from vst_dicom.receive import fast_path
from vst_dicom.receive.fast_path import FastPath
from vst_dicom.receive.reception import ProtocolError, Reception, StoreRequest
from vst_dicom.receive.spool import Incoming

REQUEST = StoreRequest(1, VL_WHOLE_SLIDE, "1.2.3", VL_WHOLE_SLIDE, EXPLICIT)


class Script:
    """A connection that gives what a test says, in the pieces that it says; then silence, or the end."""

    def __init__(self, pieces: list[bytes], *, closes: bool = False) -> None:
        self.pieces = [piece for piece in pieces if piece]
        self.closes = closes
        self.put_back = b""
        self.expected = 1
        self.missing = 0

    def expect(self, least_bytes: int) -> None:
        self.expected = least_bytes
        if least_bytes > 1:
            self.missing = max(self.missing, least_bytes - sum(map(len, self.pieces)))

    def read_some(self, view: memoryview, timeout_s: float) -> int:
        if not self.pieces:
            if self.closes:
                raise EOFError
            return 0
        piece = self.pieces[0][: len(view)]
        view[: len(piece)] = piece
        rest = self.pieces.pop(0)[len(piece) :]
        if rest:
            self.pieces.insert(0, rest)
        return len(piece)

    def unread(self, data: bytes) -> None:
        self.put_back = data


class Sink:
    """Keeps what is written, in memory."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, *parts: memoryview) -> None:
        self.data += b"".join(parts)

    def hand_over(self) -> None:
        return

    def discard(self) -> None:
        self.data = b"discarded"


def make(script: Script, limit: int = 1 << 30, pdu_s: float = 5.0, busy: Callable[[], bool] = lambda: False) -> Any:
    sink = Sink()
    reception = Reception(REQUEST, cast(Incoming, sink), limit, 2 * limit, lambda: None)
    path = FastPath(cast(Any, script), 131_072, pdu_s, busy, lambda: None)
    return path, reception, sink


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """Cut a stream into pieces."""
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:stop] for start, stop in itertools.pairwise(edges)]


@given(
    st.lists(st.binary(max_size=300), min_size=1, max_size=20),
    st.lists(st.integers(0, 10_000), max_size=30),
    st.binary(max_size=40),
)
def test_any_fragments_in_any_pieces_arrive_whole_and_what_follows_is_put_back(
    fragments: list[bytes], places: list[int], after: bytes
) -> None:
    last = len(fragments) - 1
    stream = b"".join(pdu(P_DATA, pdv(part, last=number == last)) for number, part in enumerate(fragments))
    script = Script(cut(stream + after, places))
    path, reception, sink = make(script)

    assert path.move(reception, 1)

    assert sink.data == b"".join(fragments)
    assert script.put_back + b"".join(script.pieces) == after
    assert reception.n_bytes == len(sink.data)
    assert script.missing == 0, "a read waited for more than the peer will send"
    assert script.expected == 1


@given(st.lists(st.integers(0, 2000), max_size=10), st.integers(0, 6))
def test_what_is_not_plain_is_put_back_whole(places: list[int], kind: int) -> None:
    plain = pdu(P_DATA, pdv(b"abcd" * 20, last=False))
    other = [
        pdu(7, bytes(4)),
        pdu(5, bytes(4)),
        pdu(P_DATA, b""),
        pdu(P_DATA, pdv(b"ab", last=False) + pdv(b"cd")),
        pdu(P_DATA, pdv(b"ab", context=3)),
        pdu(P_DATA, pdv(b"ab", command=True)),
        pdu(P_DATA, b"", 200_000) + b"\0\0\x10\0\1\0",
    ][kind]
    script = Script(cut(plain * 3 + other, places))
    path, reception, sink = make(script)

    assert not path.move(reception, 1)

    assert sink.data == b"abcd" * 60
    assert (script.put_back + b"".join(script.pieces)).startswith(other[:6])
    assert script.put_back + b"".join(script.pieces) == other


def test_a_buffer_that_ends_within_a_head_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in range(40, 80):
        monkeypatch.setattr(fast_path, "_BUFFER_BYTES", size)
        parts = [bytes([number]) * 30 for number in range(20)]
        stream = b"".join(pdu(P_DATA, pdv(part, last=False)) for part in parts) + pdu(7, bytes(4))
        script = Script([stream])
        path, reception, sink = make(script)

        assert not path.move(reception, 1)

        assert sink.data == b"".join(parts)
        assert script.put_back + b"".join(script.pieces) == pdu(7, bytes(4))


def test_more_fragments_than_one_write_takes_arrive(tmp_path: Path) -> None:
    stream = b"".join(pdu(P_DATA, pdv(bytes([n % 256]), last=n == 2999)) for n in range(3000))
    path, _, _ = make(Script([stream]))
    incoming = Incoming(tmp_path / "x.part", b"head")
    reception = Reception(REQUEST, incoming, 1 << 30, 1 << 31, lambda: None)

    assert path.move(reception, 1)

    assert incoming.path.read_bytes() == b"head" + bytes(n % 256 for n in range(3000))
    incoming.discard()


def test_it_stops_for_other_work_within_a_pdu_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = pdu(P_DATA, pdv(b"abcdefgh"))
    script = Script(cut(stream, [15]))
    turns = iter([False, True, False, False])
    path, reception, sink = make(script, busy=lambda: next(turns))

    assert not path.move(reception, 1)
    assert path.move(reception, 1)
    assert sink.data == b"abcdefgh"


def test_a_pdu_that_is_not_whole_in_time_ends_the_wait() -> None:
    path, reception, _ = make(Script([pdu(P_DATA, pdv(b"abcd"))[:14]]), pdu_s=0.05)
    with pytest.raises(TimeoutError):
        path.move(reception, 1)


def test_silence_between_pdus_is_no_failure() -> None:
    path, reception, sink = make(Script([pdu(P_DATA, pdv(b"abcd", last=False))]), pdu_s=0.0)
    assert not path.move(reception, 1)
    assert sink.data == b"abcd"


def test_a_closed_connection_ends_it() -> None:
    path, reception, _ = make(Script([pdu(P_DATA, pdv(b"abcd"))[:14]], closes=True))
    with pytest.raises(EOFError):
        path.move(reception, 1)


def test_a_data_set_beyond_the_limit_is_refused_and_beyond_twice_aborted() -> None:
    part = pdu(P_DATA, pdv(bytes(100), last=False))
    path, reception, sink = make(Script([part] * 12 + [pdu(P_DATA, pdv(b"ab"))]), limit=1000)
    assert path.move(reception, 1)
    assert sink.data == b"discarded"
    assert reception.error is not None
    path, reception, _ = make(Script([part] * 30), limit=1000)
    with pytest.raises(ProtocolError):
        path.move(reception, 1)
