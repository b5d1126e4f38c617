"""Bodies of several parts (RFC 2387, PS3.18 8.6.1.2)."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """One part.

    Parameters
    ----------
    content_type
        Of the part.
    content
        Piece by piece.
    """

    content_type: str
    content: Iterable[bytes]


def boundary_of(name: str) -> str:
    """Derive the boundary from what is sent, so that the same thing always has the same bytes."""
    return hashlib.sha256(f"boundary {name}".encode()).hexdigest()[:32]


def content_type(media_type: str, boundary: str) -> str:
    """Content-Type of a body."""
    return f'multipart/related; type="{media_type}"; boundary={boundary}'


def join_parts(parts: Iterable[Part], boundary: str) -> Iterator[bytes]:
    """Write parts one behind the other."""
    for part in parts:
        yield f"--{boundary}\r\nContent-Type: {part.content_type}\r\n\r\n".encode()
        yield from part.content
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()
