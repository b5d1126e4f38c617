"""Choose the optical path and the focal plane to read; several are never mixed."""

from collections.abc import Sequence
from typing import Final

from pydicom.dataset import Dataset

from vst_dicom.dicom.attributes import name_attribute, read_int, read_items, read_text
from vst_dicom.domain.errors import DamagedInstanceError, UnsupportedInstanceError, UsageError

_MAX_PATHS: Final = 1000

_BRIGHTFIELD: Final = frozenset({"111744", "111741"})
"""Brightfield and transmission illumination, CID 8123."""


def list_optical_paths(header: Dataset) -> tuple[str, ...]:
    """List Optical Path Identifiers (0048,0106) in their order; one empty name where the slide names none.

    Number of Optical Paths (0048,0302) decides how many, where it is given.

    Raises
    ------
    DamagedInstanceError
        If there are more than can be.
    """
    items = read_items(header, "OpticalPathSequence")
    count = read_int(header, "NumberOfOpticalPaths") or max(len(items), 1)
    if not 1 <= count <= _MAX_PATHS:
        msg = f"{name_attribute('NumberOfOpticalPaths')} is {count}; at most {_MAX_PATHS} are read"
        raise DamagedInstanceError(msg)
    names = [read_text(item, "OpticalPathIdentifier") for item in items[:count]]
    if count == 1 and not names:
        return ("",)
    names += [""] * (count - len(names))
    return tuple(name or str(number) for number, name in enumerate(names, start=1))


def choose_optical_path(header: Dataset, available: Sequence[str], wanted: str | None) -> str:
    """Take the wanted path, else the only one with brightfield illumination.

    Parameters
    ----------
    header
        Of the base level.
    available
        Identifiers of the paths that have frames.
    wanted
        What the user chose; None for the default.

    Raises
    ------
    UsageError
        If the wanted path does not exist, or several could be meant.
    UnsupportedInstanceError
        If no path is brightfield.
    """
    if wanted is not None:
        if wanted not in available:
            msg = f"there is no optical path {wanted!r}; the slide has {_list(available)}"
            raise UsageError(msg)
        return wanted
    described = {
        read_text(item, "OpticalPathIdentifier") or str(number): item
        for number, item in enumerate(read_items(header, "OpticalPathSequence"), start=1)
    }
    brightfield = [path for path in available if path not in described or _may_be_brightfield(described[path])]
    if not brightfield:
        msg = f"no optical path is brightfield ({_list(available)}); only H&E slides in brightfield are read"
        raise UnsupportedInstanceError(msg)
    stained = [path for path in brightfield if path in described and _names_he(described[path])]
    chosen = stained if len(stained) == 1 else brightfield
    if len(chosen) > 1:
        msg = f"several optical paths could be meant: {_list(chosen)}; choose one with --optical-path"
        raise UsageError(msg)
    return chosen[0]


def choose_focal_plane(heights_um: Sequence[float], wanted: int | None) -> int:
    """Take the wanted focal plane, from 0 at the glass, else the middle one (of an even number the lower).

    Raises
    ------
    UsageError
        If the wanted plane does not exist.
    """
    if wanted is None:
        return (len(heights_um) - 1) // 2
    if not 0 <= wanted < len(heights_um):
        msg = f"there is no focal plane {wanted}; the slide has {len(heights_um)}, counted from 0"
        raise UsageError(msg)
    return wanted


def _may_be_brightfield(item: Dataset) -> bool:
    codes = [read_text(code, "CodeValue") for code in read_items(item, "IlluminationTypeCodeSequence")]
    return not codes or not _BRIGHTFIELD.isdisjoint(codes)


def _names_he(item: Dataset) -> bool:
    text = read_text(item, "OpticalPathDescription").upper()
    return "H&E" in text or ("HEMATOXYLIN" in text and "EOSIN" in text)


def _list(paths: Sequence[str]) -> str:
    return ", ".join(repr(path) for path in paths)
