"""ICC profiles of slides (PS3.3 C.11.15)."""

from functools import cache
from typing import Final

from PIL import ImageCms

_DEVICE_CLASS: Final = slice(12, 16)
_DATE: Final = slice(24, 36)
_PROFILE_ID: Final = slice(84, 100)


@cache
def srgb_profile() -> bytes:
    """Make sRGB as an input profile, byte for byte the same on every day."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_DATE] = bytes(12)
    return as_input_profile(bytes(profile))


def as_input_profile(profile: bytes) -> bytes:
    """Say input device where a profile says display.

    DICOM allows input and color space profiles only. A display profile holds all tags that an input profile needs,
    so only its class changes, and its checksum, which is optional, becomes empty.
    """
    if profile[_DEVICE_CLASS] != b"mntr":
        return profile
    changed = bytearray(profile)
    changed[_DEVICE_CLASS] = b"scnr"
    changed[_PROFILE_ID] = bytes(16)
    return bytes(changed)
