"""ICC profiles of slides (PS3.3 C.11.15)."""

from functools import cache

_DEVICE_CLASS = slice(12, 16)
_DATE = slice(24, 36)
_PROFILE_ID = slice(84, 100)


@cache
def srgb_profile() -> bytes:
    """sRGB as an input profile, byte for byte the same at every call on every day."""
    from PIL import ImageCms

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
