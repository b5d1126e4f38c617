"""The small tables: statuses, peers, contexts, file headers."""

from io import BytesIO
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import UID
from pynetdicom.presentation import PresentationContext

from vst_dicom.domain.errors import (
    DamagedInstanceError,
    InvalidUidError,
    PeerError,
    ResourceError,
    UnexpectedSopClassError,
    UnsupportedInstanceError,
)
from vst_dicom.receive.accepted import TRANSFER_SYNTAXES
from vst_dicom.receive.contexts import prefer_first
from vst_dicom.receive.peers import Peer, check_peer
from vst_dicom.receive.spool import Spool, encode_header
from vst_dicom.receive.statuses import Status, status_of


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ResourceError("full"), 0xA700),
        (InvalidUidError("no UID"), 0x0117),
        (UnexpectedSopClassError("other"), 0x0122),
        (UnsupportedInstanceError("other"), 0xA900),
        (DamagedInstanceError("cut"), 0xC000),
        (PeerError("gone"), 0xA700),
        (KeyError("Doe"), 0xA700),
        (MemoryError(), 0xA700),
    ],
)
def test_each_failure_has_its_status(error: Exception, code: int) -> None:
    assert status_of(error).code == code


def test_a_comment_is_a_valid_long_string() -> None:
    status = status_of(DamagedInstanceError("a\\b µ " + "x" * 100))

    assert status == Status(0xC000, "a/b ? " + "x" * 58)


def test_a_fault_of_ours_is_not_quoted() -> None:
    assert "Doe" not in status_of(ValueError("Doe^Jane")).comment


PEERS = (Peer("SCANNER", (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))), Peer("PACS"))


@pytest.mark.parametrize(
    ("calling", "called", "address", "rejection"),
    [
        ("SCANNER", "OWN", "10.1.2.3", None),
        (" SCANNER ", "OWN ", "10.1.2.3", None),
        ("SCANNER", "OWN", "::ffff:10.1.2.3", None),
        ("SCANNER", "OWN", "fd00::1%eth0", None),
        ("SCANNER", "OWN", "11.1.2.3", (1, 1, 3)),
        ("scanner", "OWN", "10.1.2.3", (1, 1, 3)),
        ("PACS", "OWN", "192.0.2.1", None),
        ("OTHER", "OWN", "10.1.2.3", (1, 1, 3)),
        ("PACS", "OTHER", "10.1.2.3", (1, 1, 7)),
    ],
)
def test_peers_are_known_by_title_and_address(
    calling: str, called: str, address: str, rejection: tuple[int, int, int] | None
) -> None:
    assert check_peer(PEERS, calling, called, "OWN", address) == rejection


def test_anyone_is_welcome_where_nobody_is_named() -> None:
    assert check_peer((), "ANY", "OTHER", None, "192.0.2.1") is None


def test_a_context_is_reduced_to_the_first_transfer_syntax_we_know() -> None:
    context = PresentationContext()
    context.abstract_syntax = UID("1.2.840.10008.5.1.4.1.1.77.1.6")
    context.transfer_syntax = [UID("1.2.3"), UID("1.2.840.10008.1.2.4.91"), UID("1.2.840.10008.1.2.1")]
    unknown = PresentationContext()
    unknown.abstract_syntax = UID("1.2.840.10008.5.1.4.1.1.77.1.6")
    unknown.transfer_syntax = [UID("1.2.3"), UID("1.2.4")]

    prefer_first([context, unknown])

    assert context.transfer_syntax == ["1.2.840.10008.1.2.4.91"]
    assert unknown.transfer_syntax == ["1.2.3", "1.2.4"]


@pytest.mark.parametrize("transfer_syntax", TRANSFER_SYNTAXES)
def test_a_header_names_the_transfer_syntax_also_where_pydicom_cannot_decode_it(transfer_syntax: str) -> None:
    header = encode_header("1.2.840.10008.5.1.4.1.1.77.1.6", "1.2.3", transfer_syntax, "SCANNER")

    meta = dcmread(BytesIO(header), specific_tags=[]).file_meta
    assert meta.TransferSyntaxUID == transfer_syntax
    assert meta.SourceApplicationEntityTitle == "SCANNER"


def test_nothing_of_a_spool_is_seen_before_it_is_whole(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    incoming = spool.begin(b"header")
    incoming.write(memoryview(b"data"))
    assert list(spool.whole_files()) == []

    file_name = spool.keep(incoming)

    assert list(spool.whole_files()) == [file_name]
    assert spool.path(file_name).read_bytes() == b"headerdata"
    assert list(spool.incoming.iterdir()) == []
    incoming.close()
    incoming.discard()  # what is closed is not ours any more
    assert spool.path(file_name).exists()
