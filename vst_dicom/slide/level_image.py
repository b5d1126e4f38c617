"""One image of a slide: all its instances, checked against each other, and where its frames lie."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from vst_dicom.dicom.attributes import name_attribute, read_int, read_items, read_text, read_uid
from vst_dicom.domain.errors import DamagedInstanceError, VstDicomError
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.slide.codecs import FrameFormat, check_color, check_transfer_syntax
from vst_dicom.slide.header_geometry import (
    read_frame_size,
    read_matrix_size,
    read_origin_z_um,
    read_plane_step_um,
)
from vst_dicom.slide.instance import InstanceFile
from vst_dicom.slide.optical_path import list_optical_paths
from vst_dicom.slide.tiling import FocalPlanes, FramePlane, place_full, place_sparse

_MAX_PARTS: Final = 10_000
_MAX_PLANES: Final = 1000
_MAX_GRID: Final = 10_000_000
"""Frames side by side and below each other; 100,000 px square in frames of 32 px."""


@dataclass(frozen=True, eq=False)
class LevelImage:
    """One resolution in one instance, or in the parts of a concatenation.

    Parameters
    ----------
    parts
        Its instances in order.
    part_frames
        Number of frames of each part.
    size
        Total pixel matrix.
    frame_format
        Size and encoding of the frames.
    planes
        Its optical paths and focal planes.
    warnings
        What was tolerated.
    """

    parts: tuple[InstanceFile, ...]
    part_frames: tuple[int, ...]
    size: MatrixSize
    frame_format: FrameFormat
    planes: tuple[FramePlane, ...]
    warnings: tuple[str, ...]

    @property
    def name(self) -> str:
        """For messages."""
        return self.parts[0].path.name


def collect_images(instances: Sequence[InstanceFile]) -> list[LevelImage]:
    """Join concatenations (PS3.3 C.7.6.16.2.2.4) and check every image.

    Raises
    ------
    DamagedInstanceError
        If a part is missing, or an instance contradicts itself or the other parts.
    UnsupportedInstanceError
        If an image is not 8-bit color.
    """
    groups: dict[str, list[InstanceFile]] = defaultdict(list)
    for instance in instances:
        concatenation = read_uid(instance.header, "ConcatenationUID")
        groups[concatenation or instance.sop_instance_uid].append(instance)
    images = []
    for group in groups.values():
        try:
            images.append(_make_image(_order_parts(group)))
        except VstDicomError as error:
            msg = f"{group[0].path.name}: {error}"
            raise type(error)(msg) from error
    return images


def _order_parts(group: list[InstanceFile]) -> list[InstanceFile]:
    uid = read_uid(group[0].header, "ConcatenationUID")
    if not uid:
        return group
    by_number: dict[int, InstanceFile] = {}
    total = 0
    for instance in group:
        number = read_int(instance.header, "InConcatenationNumber")
        if number is None or not 1 <= number <= _MAX_PARTS or number in by_number:
            msg = f"{name_attribute('InConcatenationNumber')} of concatenation {uid} is missing or used twice"
            raise DamagedInstanceError(msg)
        by_number[number] = instance
        total = max(total, read_int(instance.header, "InConcatenationTotalNumber") or 0, number)
    missing = [number for number in range(1, min(total, _MAX_PARTS) + 1) if number not in by_number]
    if missing:
        parts = ", ".join(map(str, missing[:10]))
        msg = f"part {parts} of {total} of concatenation {uid} is missing; send or copy the whole series"
        raise DamagedInstanceError(msg)
    return [by_number[number] for number in sorted(by_number)]


def _make_image(parts: list[InstanceFile]) -> LevelImage:
    size = read_matrix_size(parts[0].header)
    frame_format = _read_format(parts[0])
    grid = size.divided_by(frame_format.size)
    if grid.n_rows * grid.n_columns > _MAX_GRID:
        msg = f"{grid.n_rows} x {grid.n_columns} frames make a level; at most {_MAX_GRID} are read"
        raise DamagedInstanceError(msg)
    part_frames: list[int] = []
    for part in parts:
        if read_matrix_size(part.header) != size or _read_format(part) != frame_format:
            raise DamagedInstanceError("the parts of the concatenation differ in size or encoding")
        offset = read_int(part.header, "ConcatenationFrameOffsetNumber")
        if offset not in (None, sum(part_frames)):
            msg = (
                f"{name_attribute('ConcatenationFrameOffsetNumber')} of {part.path.name} is {offset}, "
                f"but {sum(part_frames)} frames come before it; send or copy the whole series"
            )
            raise DamagedInstanceError(msg)
        part_frames.append(_count_frames(part))
    image = LevelImage(tuple(parts), tuple(part_frames), size, frame_format, (), ())
    return _place_frames(image)


def _read_format(instance: InstanceFile) -> FrameFormat:
    header = instance.header
    check_transfer_syntax(instance.transfer_syntax_uid)
    photometric = read_text(header, "PhotometricInterpretation").upper()
    check_color(read_int(header, "SamplesPerPixel"), read_int(header, "BitsAllocated"), photometric)
    return FrameFormat(
        size=read_frame_size(header),
        transfer_syntax_uid=instance.transfer_syntax_uid,
        photometric_interpretation=photometric,
        planar_configuration=read_int(header, "PlanarConfiguration") or 0,
    )


def _count_frames(instance: InstanceFile) -> int:
    count = read_int(instance.header, "NumberOfFrames")
    if count is None or not 1 <= count <= instance.size_bytes:
        found = "missing" if count is None else f"{count} in {instance.size_bytes} bytes"
        msg = f"{name_attribute('NumberOfFrames')} is {found}; export the slide again"
        raise DamagedInstanceError(msg)
    return count


def _count_planes(header: Dataset) -> int:
    count = read_int(header, "TotalPixelMatrixFocalPlanes") or 1
    if not 1 <= count <= _MAX_PLANES:
        msg = f"{name_attribute('TotalPixelMatrixFocalPlanes')} is {count}; at most {_MAX_PLANES} are read"
        raise DamagedInstanceError(msg)
    return count


def _place_frames(image: LevelImage) -> LevelImage:
    header = image.parts[0].header
    paths = list_optical_paths(header)
    n_frames = sum(image.part_frames)
    organization = read_text(header, "DimensionOrganizationType").upper()
    stated = all(part.places is not None and part.places.corners_px is not None for part in image.parts)
    if organization == "TILED_FULL" or not stated:
        focal = FocalPlanes(
            count=_count_planes(header),
            first_um=read_origin_z_um(header),
            step_um=read_plane_step_um(header),
        )
        planes = place_full(image.size, image.frame_format.size, n_frames, paths, focal)
        tolerated = () if organization == "TILED_FULL" else ("Frames do not say where they lie; TILED_FULL is assumed",)
        return replace(image, planes=planes, warnings=tolerated)
    corners, heights, names = _join_places(image, paths[0])
    planes = place_sparse(image.size, corners, heights, names)
    steps = image.frame_format.size.n_rows, image.frame_format.size.n_columns
    unaligned = any((plane.corners_px % steps).any() for plane in planes)
    tolerated = ("Frames do not lie on a regular grid; they are put together on reading",) if unaligned else ()
    return replace(image, planes=planes, warnings=tolerated)


def _join_places(
    image: LevelImage, default_path: str
) -> tuple[NDArray[np.int64], NDArray[np.float64], tuple[str, ...]]:
    corners: list[NDArray[np.int64]] = []
    heights: list[NDArray[np.float64]] = []
    names: list[str] = []
    for part, count in zip(image.parts, image.part_frames, strict=True):
        places = part.places
        if places is None or places.corners_px is None or len(places) != count:
            found = 0 if places is None else len(places)
            msg = f"{found} of {count} frames say where they lie; export the slide again"
            raise DamagedInstanceError(msg)
        shared = _shared_path(part)
        corners.append(places.corners_px)
        heights.append(np.where(np.isnan(places.z_um), read_origin_z_um(part.header), places.z_um))
        names += [name or shared or default_path for name in places.optical_paths]
    return np.concatenate(corners), np.concatenate(heights), tuple(names)


def _shared_path(instance: InstanceFile) -> str:
    for group in read_items(instance.header, "SharedFunctionalGroupsSequence"):
        for item in read_items(group, "OpticalPathIdentificationSequence"):
            return read_text(item, "OpticalPathIdentifier")
    return ""
