"""Who may associate, and what others are told (PS3.8 table 9-21)."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, NamedTuple


class Rejection(NamedTuple):
    """Result, source and reason of an A-ASSOCIATE-RJ."""

    result: int
    source: int
    reason: int


NO_REASON: Final = Rejection(2, 1, 1)
WRONG_APPLICATION_CONTEXT: Final = Rejection(1, 1, 2)
UNKNOWN_CALLING_AE_TITLE: Final = Rejection(1, 1, 3)
UNKNOWN_CALLED_AE_TITLE: Final = Rejection(1, 1, 7)
TOO_MANY_ASSOCIATIONS: Final = Rejection(2, 3, 2)

APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
"""DICOM Application Context Name (PS3.7 A.2.1)."""


@dataclass(frozen=True, slots=True)
class Peer:
    """An AE that may associate, and from where; from anywhere if no address is given."""

    ae_title: str
    addresses: tuple[IPv4Network | IPv6Network, ...] = ()


def check_peer(
    peers: Sequence[Peer], calling_ae_title: str, called_ae_title: str, own_ae_title: str | None, address: str
) -> Rejection | None:
    """Say how a request is rejected, None if it is welcome.

    Parameters
    ----------
    peers
        Who may associate; anyone if empty.
    calling_ae_title, called_ae_title
        Of the request; case counts, blanks around do not.
    own_ae_title
        What must have been called; None if any will do.
    address
        Where the connection comes from.
    """
    if own_ae_title is not None and called_ae_title.strip() != own_ae_title:
        return UNKNOWN_CALLED_AE_TITLE
    if not peers:
        return None
    place = plain_address(address)
    for peer in peers:
        if peer.ae_title == calling_ae_title.strip() and (
            not peer.addresses or any(place in network for network in peer.addresses)
        ):
            return None
    return UNKNOWN_CALLING_AE_TITLE


def plain_address(address: str) -> IPv4Address | IPv6Address:
    """Parse an address; an IPv4 address that came through an IPv6 socket counts as IPv4."""
    place = ip_address(address.partition("%")[0])
    return getattr(place, "ipv4_mapped", None) or place
