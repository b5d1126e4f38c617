"""Identifiers that derive from content, so that the same work always carries the same name."""

import hashlib
import uuid
from typing import Final

IMPLEMENTATION_CLASS_UID: Final = "2.25.111359858271720733141325488038589030237"
"""Names this implementation in file meta information and associations (PS3.7 D.3.3.2)."""

IMPLEMENTATION_VERSION_NAME: Final = "VST_DICOM_0_1"
"""At most 16 characters (PS3.7 D.3.3.2)."""


def derive_uid(*parts: str) -> str:
    """Make a UID from text: the same parts always give the same UID.

    The first 128 bits of the SHA-256 of the parts become a UUID (version 8, RFC 9562), and that the decimal
    suffix of ``2.25`` (PS3.5 B.2).

    Parameters
    ----------
    parts
        What the object is derived from, such as the key of a result and the kind of object.
    """
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    number = uuid.UUID(bytes=digest[:16]).int
    number = number & ~(0xF000 << 64) | (0x8000 << 64)
    number = number & ~(0xC000 << 48) | (0x8000 << 48)
    return f"2.25.{number}"


def derive_device_uid(bundle_sha256: str) -> str:
    """Name a model as a device: other weights are another device (IHE AIR 6.5.3.1)."""
    return derive_uid("device", bundle_sha256)


def new_uid() -> str:
    """Make a UID for what derives from nothing (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid4().int}"
