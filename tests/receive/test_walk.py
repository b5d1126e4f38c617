import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.receive.raw_peer import (
    EXPLICIT,
    ITEM_END,
    JPEG,
    SEQUENCE_END,
    UNDEFINED,
    VL_WHOLE_SLIDE,
    data_set,
    element,
    item,
    uid_element,
)
from tests.wsi_builder import IMPLICIT, NATIVE, RLE, Wsi, paint, write_wsi
from vst_dicom.domain.errors import DamagedInstanceError
from vst_dicom.receive import walk
from vst_dicom.receive.spool import find_data_set
from vst_dicom.receive.walk import Identity, check_data_set, is_valid_uid


def check(data: bytes, transfer_syntax: str = EXPLICIT) -> Identity:
    with Path("/proc/self/fd").joinpath(str(_memory(data))).open("rb") as file:
        return check_data_set(file.fileno(), 0, len(data), transfer_syntax)


def _memory(data: bytes) -> int:
    descriptor = os.memfd_create("data set")
    _open.append(descriptor)
    os.write(descriptor, data)
    return descriptor


_open: list[int] = []


@pytest.fixture(autouse=True)
def _close_files():
    yield
    while _open:
        os.close(_open.pop())


IN_FRONT = data_set()


@pytest.mark.parametrize("transfer_syntax", [NATIVE, IMPLICIT, JPEG, RLE])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_sound_slide_passes_and_names_itself(tmp_path: Path, transfer_syntax: str, sparse: bool) -> None:
    wsi = Wsi([paint(96, 96)], transfer_syntax=transfer_syntax, sparse=sparse, study="1.5", series="1.6")
    path = write_wsi(tmp_path / "slide.dcm", wsi)

    with path.open("rb") as file:
        start = find_data_set(file.fileno())
        identity = check_data_set(file.fileno(), start, path.stat().st_size, transfer_syntax)

    assert identity == Identity(VL_WHOLE_SLIDE, wsi.uid, "1.5", "1.6")


@pytest.mark.parametrize("transfer_syntax", [NATIVE, IMPLICIT, JPEG])
def test_a_slide_cut_anywhere_is_refused(tmp_path: Path, transfer_syntax: str) -> None:
    path = write_wsi(tmp_path / "slide.dcm", Wsi([paint(64, 64)], transfer_syntax=transfer_syntax))
    with path.open("rb") as file:
        start, size = find_data_set(file.fileno()), path.stat().st_size
        # even lengths only: a data set that ends between two elements is sound, and lacks Pixel Data at most
        last_element = path.read_bytes().rindex(b"\xe0\x7f\x10\x00")
        for stop in {*range(last_element + 2, size, 997), size - 2, size - 8, start + 2, start + 9}:
            with pytest.raises(DamagedInstanceError):
                check_data_set(file.fileno(), start, stop, transfer_syntax)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (os.urandom(300), ""),
        (IN_FRONT + element(0x00400000, b"LO", b"ab", length=4), "beyond its end"),
        (IN_FRONT + element(0x7FE00010, b"OB", b"ab", length=0xFFFFFFFE), "beyond its end"),
        (IN_FRONT + element(0x7FE00010, b"OB", b"abcd", length=3), "odd length"),
        (IN_FRONT + element(0x7FE00010, b"OB", b"", length=UNDEFINED), "not encoded as the transfer syntax says"),
        (IN_FRONT + element(0x00400000, b"ZZ", b"ab"), "no value representation"),
        (IN_FRONT + element(0x00080005, b"CS", b"ab"), "out of order"),
        (IN_FRONT + element(0x0020000E, b"UI", b"1.2"), "out of order"),
        (IN_FRONT + element(0x00400000, b"UT", b"", length=UNDEFINED), "has no length"),
        (IN_FRONT + SEQUENCE_END, "out of order"),
        (element(0x00020010, b"UI", b"1.2") + IN_FRONT, "out of order"),
        (IN_FRONT + element(0x00400000, b"SQ", element(0x00400001, b"LO", b"ab")), "no item"),
        (IN_FRONT + element(0x00400000, b"SQ", item(b"", length=8)), "beyond its end"),
        (IN_FRONT + element(0x00400000, b"SQ", item(b""), length=UNDEFINED), "does not end"),
        (IN_FRONT + element(0x00400000, b"SQ", item(b"", UNDEFINED) + SEQUENCE_END, UNDEFINED), ""),
        (uid_element(0x00080016, VL_WHOLE_SLIDE), "SOPInstanceUID (0008,0018) is missing"),
        (IN_FRONT.replace(b"1.2.3.1\0", b"../../x\0"), "StudyInstanceUID (0020,000D) is not a UID"),
        (IN_FRONT.replace(b"1.2.3.2\0", b"1.2..32\0"), "SeriesInstanceUID (0020,000E) is not a UID"),
    ],
)
def test_an_unsound_data_set_is_refused_with_its_reason(data: bytes, says: str) -> None:
    with pytest.raises(DamagedInstanceError) as refused:
        check(data)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "sequence",
    [
        element(0x00400000, b"SQ", item(element(0x00080100, b"SH", b"ab")) * 2),
        element(0x00400000, b"SQ", item(element(0x00080100, b"SH", b"ab")) + SEQUENCE_END, UNDEFINED),
        element(
            0x00400000, b"SQ", item(element(0x00080100, b"SH", b"ab") + ITEM_END, UNDEFINED) + SEQUENCE_END, UNDEFINED
        ),
        element(0x00400000, b"SQ", b""),
        element(0x00400000, b"SQ", item(element(0x00080100, b"SH", b"ab") + ITEM_END, UNDEFINED)),
        # an unknown element without length holds implicit VR (PS3.5 6.2.2)
        element(0x00410010, b"UN", item(b"\x08\0\0\x01\x02\0\0\0ab") + SEQUENCE_END, UNDEFINED),
    ],
)
def test_every_way_to_write_a_sequence_passes(sequence: bytes) -> None:
    assert check(IN_FRONT + sequence).sop_instance_uid == "1.2.3"


@pytest.mark.parametrize("depth", [1, 32])
def test_nesting_up_to_the_limit_passes(depth: int) -> None:
    nested = b""
    for _ in range(depth):
        nested = element(0x00400000, b"SQ", item(nested))

    assert check(IN_FRONT + nested)


@pytest.mark.parametrize("is_closed", [False, True])
@pytest.mark.parametrize("depth", [33, 20_000])
def test_deeper_nesting_is_refused_without_recursion(depth: int, is_closed: bool) -> None:
    start = element(0x00400000, b"SQ", item(b"", UNDEFINED), UNDEFINED)
    data = IN_FRONT + start * depth + (ITEM_END + SEQUENCE_END) * depth * is_closed

    with pytest.raises(DamagedInstanceError, match="nested more than 32 deep"):
        check(data)


def test_more_elements_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MAX_ELEMENTS", 50)

    assert check(IN_FRONT + element(0x00400000, b"SQ", item(b"") * 45))
    with pytest.raises(DamagedInstanceError, match="more than 50 elements"):
        check(IN_FRONT + element(0x00400000, b"SQ", item(b"") * 46))


@pytest.mark.parametrize(
    "fragments",
    [
        item(b""),  # no delimiter
        item(b"") + item(b"abc", length=3) + SEQUENCE_END,
        item(b"") + item(b"ab", length=UNDEFINED) + SEQUENCE_END,
        item(b"") + element(0x00400000, b"LO", b"ab") + SEQUENCE_END,
        item(b"") + item(b"ab", length=10_000) + SEQUENCE_END,
    ],
)
def test_damaged_fragments_are_refused(fragments: bytes) -> None:
    with pytest.raises(DamagedInstanceError, match="fragments"):
        check(IN_FRONT + element(0x7FE00010, b"OB", fragments, UNDEFINED), JPEG)


def test_padding_after_the_pixels_passes() -> None:
    pixels = element(0x7FE00010, b"OB", item(b"") + item(b"ab") + SEQUENCE_END, UNDEFINED)

    assert check(IN_FRONT + pixels + element(0xFFFCFFFC, b"OB", bytes(8)), JPEG)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_mutation_raises_anything_but_a_refusal(data: st.DataObject) -> None:
    encoded = bytearray(IN_FRONT + element(0x00400000, b"SQ", item(element(0x00080100, b"SH", b"ab")) * 3))
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        check(bytes(encoded))
    except DamagedInstanceError:
        return
    finally:
        while _open:
            os.close(_open.pop())


@pytest.mark.parametrize("uid", ["1", "0.1", "2.25.1234", "1." + "2" * 62])
def test_uids_are_taken(uid: str) -> None:
    assert is_valid_uid(uid)


@pytest.mark.parametrize(
    "uid", ["", ".", "1.", ".1", "1..2", "01.2", "1.02", "1.2\n", "1 2", "../../x", "/abs", "1.²", "1." + "2" * 63]
)
def test_what_is_no_uid_is_not_taken(uid: str) -> None:
    assert not is_valid_uid(uid)
