"""Find the slides among files and folders, and set aside what must not be opened."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vst_dicom.dicom.attributes import read_text, read_uid
from vst_dicom.dicom.whole_slide import VL_WHOLE_SLIDE, shows_predictions, split_by_stated
from vst_dicom.domain.errors import MissingInputError, NotDicomError, UnsupportedInstanceError
from vst_dicom.slide.instance import (
    FileIdentity,
    InstanceFile,
    identify,
    is_dicom,
    read_instance,
    read_modality,
)

_DICOM_SUFFIXES: Final = frozenset({".dcm", ".dicom", ".dic"})

_SLIDE_SUFFIXES: Final = frozenset(
    {".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide", ".czi"}
)
"""Whole slide formats of scanner makers."""

_PICTURE_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
"""Plain pictures. In a folder they count only where nothing else is a slide: many belong to a slide or a result."""


@dataclass(frozen=True, eq=False)
class DicomFiles:
    """Instances of one DICOM slide.

    Parameters
    ----------
    instances
        VOLUME instances, in the order of their paths.
    set_aside
        Files of label, overview and thumbnail images: never decoded, since they may show the patient's name.
    """

    instances: tuple[InstanceFile, ...]
    set_aside: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """For messages and lists: where it lies and its series."""
        first = self.instances[0]
        return f"{first.path.parent} (series {read_uid(first.header, 'SeriesInstanceUID')})"


@dataclass(frozen=True, slots=True)
class VendorFile:
    """A slide in another format.

    Parameters
    ----------
    path
        The file to open.
    """

    path: Path

    @property
    def name(self) -> str:
        """For messages and lists."""
        return str(self.path)


SlideFiles = DicomFiles | VendorFile


def find_slides(paths: Sequence[Path]) -> list[SlideFiles]:
    """Group files, and all files below folders, into slides.

    Result objects (Parametric Map, Segmentation, Bulk Annotations, SR, a gene painted over the slide) and all other
    instances that are no whole slide image are passed over as long as there is a slide.

    Parameters
    ----------
    paths
        Files and folders, at least one.

    Returns
    -------
    list[SlideFiles]
        At least one slide, DICOM slides first.

    Raises
    ------
    MissingInputError
        If a path does not exist, or a folder holds nothing that could be a slide.
    NotDicomError
        If a file that was named is neither DICOM nor a slide format.
    UnsupportedInstanceError
        If there are DICOM instances but none is an image of a slide, or only labels and overviews are.
    DamagedInstanceError
        If an instance is empty or cannot be read.
    """
    identities, vendor_files = _sort_files(paths)
    slides: list[SlideFiles] = []
    whole_slides = [read_instance(identity) for identity in identities if identity.sop_class_uid == VL_WHOLE_SLIDE]
    of_the_glass = [instance for instance in whole_slides if not shows_predictions(instance.header)]
    slides += _group_instances(of_the_glass)
    slides += [VendorFile(path) for path in vendor_files]
    if slides:
        return slides
    if whole_slides and not of_the_glass:
        msg = f"{_join(paths)}: only pictures of predictions, which are results themselves; give the slide"
        raise UnsupportedInstanceError(msg)
    if whole_slides:
        msg = (
            f"{_join(paths)}: only label, overview or thumbnail images, which are never opened; "
            "give the VOLUME images of the slide (third value of Image Type (0008,0008))"
        )
        raise UnsupportedInstanceError(msg)
    if identities:
        raise UnsupportedInstanceError(_describe_others(paths, identities))
    msg = (
        f"{_join(paths)}: no slide found; give a folder or files of a DICOM whole slide image, or a .svs, .tif, .ndpi …"
    )
    raise MissingInputError(msg)


def _sort_files(paths: Sequence[Path]) -> tuple[list[FileIdentity], list[Path]]:
    """DICOM files, and files of other slide formats."""
    identities: dict[Path, FileIdentity] = {}
    vendor_files: dict[Path, None] = {}
    pictures: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            for file in _walk(path):
                suffix = file.suffix.lower()
                if suffix in _SLIDE_SUFFIXES and not is_dicom(file):
                    vendor_files[file] = None
                elif suffix in _PICTURE_SUFFIXES:
                    pictures[file] = None
                elif is_dicom(file) or (suffix in _DICOM_SUFFIXES and file.stat().st_size == 0):
                    identities.setdefault(file, identify(file))
        elif not path.exists():
            msg = f"{path} does not exist; check the path"
            raise MissingInputError(msg)
        elif path.suffix.lower() in _SLIDE_SUFFIXES | _PICTURE_SUFFIXES and path.stat().st_size and not is_dicom(path):
            vendor_files[path] = None
        else:
            try:
                identities.setdefault(path, identify(path))
            except NotDicomError:
                if not _openslide_knows(path):
                    raise
                vendor_files[path] = None
    if not identities and not vendor_files:
        vendor_files = pictures
    return list(identities.values()), list(vendor_files)


def _walk(folder: Path) -> Iterable[Path]:
    """Files below a folder, without hidden ones, in a stable order."""
    try:
        for root, folders, names in os.walk(folder, onerror=_raise):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                file = Path(root, name)
                if not name.startswith(".") and file.is_file():
                    yield file
    except OSError as error:
        msg = f"{error.filename or folder} cannot be read ({error.strerror}); check its permissions"
        raise MissingInputError(msg) from error


def _raise(error: OSError) -> None:
    raise error


def _openslide_knows(path: Path) -> bool:
    import openslide

    return openslide.OpenSlide.detect_format(path) is not None


def _group_instances(instances: Sequence[InstanceFile]) -> list[DicomFiles]:
    """One group per series, container and pyramid: a series may hold several slides, a slide several pyramids."""
    by_series: dict[tuple[str, str], list[InstanceFile]] = defaultdict(list)
    for instance in instances:
        header = instance.header
        by_series[read_uid(header, "StudyInstanceUID"), read_uid(header, "SeriesInstanceUID")].append(instance)
    slides = []
    for series in by_series.values():
        aside = tuple(instance.path for instance in series if not instance.is_volume)
        volumes = [instance for instance in series if instance.is_volume]
        groups = [volumes]
        for keyword in ("ContainerIdentifier", "PyramidUID"):
            groups = [
                part
                for group in groups
                for part in split_by_stated(group, [read_text(instance.header, keyword) for instance in group]).values()
            ]
        slides += [DicomFiles(tuple(group), aside) for group in groups if group]
    return slides


def _describe_others(paths: Sequence[Path], identities: Sequence[FileIdentity]) -> str:
    kinds = []
    for sop_class in dict.fromkeys(identity.sop_class for identity in identities):
        first = next(identity for identity in identities if identity.sop_class == sop_class)
        modality = read_modality(first.path)
        kinds.append(f"{sop_class} (modality {modality})" if modality else sop_class)
    return (
        f"{_join(paths)}: not a whole slide image but {', '.join(kinds[:5])}; "
        "give instances of VL Whole Slide Microscopy Image Storage"
    )


def _join(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths)
