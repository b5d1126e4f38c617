"""A DICOM whole slide image as a source of pixels (PS3.3 A.32.8)."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from types import TracebackType
from typing import Self

import numpy as np
from pydicom.dataset import Dataset

from vst_dicom.dicom.attributes import is_uid, read_text, read_uid
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.dicom.uids import derive_uid
from vst_dicom.domain.errors import DamagedInstanceError, VstDicomError
from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.domain.pixels import GLASS, Level, RgbImage
from vst_dicom.slide.codecs import FrameDecoder, check_reduction, decode_frame
from vst_dicom.slide.finding import DicomFiles
from vst_dicom.slide.frame_index import FrameFile
from vst_dicom.slide.header_geometry import read_plane
from vst_dicom.slide.instance import InstanceFile
from vst_dicom.slide.level_choice import LevelChoice, LevelPlane, choose_levels
from vst_dicom.slide.level_image import collect_images
from vst_dicom.slide.pixel_hash import hash_content, hash_pixel_data
from vst_dicom.slide.tiling import FrameLookup


def open_dicom_slide(
    files: DicomFiles,
    *,
    pixel_spacing: PixelSpacing | None = None,
    optical_path: str | None = None,
    focal_plane: int | None = None,
) -> "DicomSlide":
    """Open a slide and check all of it that can be checked without decoding.

    Parameters
    ----------
    files
        Instances of the slide, see `vst_dicom.slide.finding.find_slides`.
    pixel_spacing
        Spacing of the base level where the slide states none or a wrong one; recorded as assumed.
    optical_path
        Optical Path Identifier (0048,0106); None for the only brightfield path.
    focal_plane
        Number from 0 at the glass; None for the middle one.

    Raises
    ------
    InputError
        `DamagedInstanceError`, `UnsupportedInstanceError` or `PixelSpacingError`, naming file and attribute.
    UsageError
        If a choice does not exist, or has to be made.
    """
    instances, repeated = _drop_repeated(files.instances)
    choice = choose_levels(
        collect_images(instances), pixel_spacing=pixel_spacing, optical_path=optical_path, focal_plane=focal_plane
    )
    return DicomSlide(choice, warnings=repeated)


class DicomSlide:
    """Open DICOM slide; see `vst_dicom.dicom.source.Slide`. Use it as a context manager.

    Parameters
    ----------
    choice
        Levels to read.
    warnings
        What was tolerated before.

    Raises
    ------
    DamagedInstanceError
        If frames are missing, a file is cut off, or the slide's place is impossible.
    """

    def __init__(self, choice: LevelChoice, warnings: Sequence[str] = ()) -> None:
        base = choice.levels[0]
        self._choice = choice
        self._plane, tolerated = read_plane(base.image.parts[0].header, base.level.spacing, base.plane.z_um)
        self._warnings = (*warnings, *tolerated)
        self._files: list[list[FrameFile]] = []
        try:
            for used in choice.levels:
                opened: list[FrameFile] = []
                self._files.append(opened)
                for part, n_frames in zip(used.image.parts, used.image.part_frames, strict=True):
                    opened.append(FrameFile(part, n_frames, used.image.frame_format.native_bytes))
        except BaseException:
            self.close()
            raise
        self._decoders = [FrameDecoder(used.image.frame_format) for used in choice.levels]
        self._lookups = [FrameLookup(used.plane, used.level.size, used.level.frame_size) for used in choice.levels]

    @property
    def levels(self) -> tuple[Level, ...]:
        """Resolutions, the largest first."""
        return tuple(used.level for used in self._choice.levels)

    @cached_property
    def source(self) -> SourceSlide:
        """What results refer to. The first access reads all files once, to hash them."""
        base = self._choice.levels[0]
        headers = tuple(part.header for part in base.image.parts)
        warnings = [*self._warnings, *self._choice.warnings, *_complete_frame_of_reference(headers)]
        if self._lookups[0].n_empty:
            warnings.append(f"{self._lookups[0].n_empty} places of the base level have no frame and count as glass")
        return SourceSlide(
            instances=headers,
            size=base.level.size,
            plane=self._plane,
            content_sha256=hash_content(
                [used.image for used in self._choice.levels], [level.spacing for level in self.levels]
            ),
            optical_path=self._choice.optical_path,
            focal_plane=self._choice.focal_plane,
            spacing_assumed=self._choice.spacing_assumed,
            warnings=tuple(warnings),
        )

    def read_frame(self, level: int, frame_row: int, frame_column: int, reduce: int = 1) -> RgbImage | None:
        """Decode one frame, see `vst_dicom.domain.pixels.PixelSource`.

        Raises
        ------
        IndexError
            If there is no such level or place.
        ValueError
            If the frame cannot be reduced that way.
        DamagedInstanceError
            If the frame cannot be decoded.
        """
        used = self._choice.levels[level]
        _check_places(used.level, frame_row, [frame_column])
        found = self._lookups[level].find(frame_row, frame_column)
        if not found:
            return None
        if found[0][1:] == (0, 0):
            return self._decode(used, found[0][0], reduce)
        return self._compose(used, found, reduce)

    def read_run(
        self, level: int, frame_row: int, frame_columns: Sequence[int], reduce: int, memory: RgbImage
    ) -> Iterator[bool]:
        """Decode frames of a row into `memory`, see `vst_dicom.domain.pixels.RunSource`; raises as `read_frame`."""
        used = self._choice.levels[level]
        _check_places(used.level, frame_row, frame_columns)
        check_reduction(used.level.frame_size, reduce)
        lookup, decoder = self._lookups[level], self._decoders[level]
        for found in [lookup.find(frame_row, frame_column) for frame_column in frame_columns]:
            if found and found[0][1:] == (0, 0):
                file, number = self._locate(used, found[0][0])
                try:
                    decoder.decode(file.read(number), reduce, memory)
                except VstDicomError as error:
                    raise _name_frame(error, file, number) from error
            elif found:
                memory[...] = self._compose(used, found, reduce)
            yield bool(found)

    def close(self) -> None:
        """Release files; once more is harmless."""
        for opened in self._files:
            for file in opened:
                file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _locate(self, used: LevelPlane, frame: int) -> tuple[FrameFile, int]:
        """Find the file of a frame, and its number in it."""
        files = self._files[used.level.index]
        for file in files:
            if frame < file.n_frames:
                break
            frame -= file.n_frames
        return file, frame

    def _decode(self, used: LevelPlane, frame: int, reduce: int) -> RgbImage:
        file, number = self._locate(used, frame)
        try:
            return decode_frame(file.read(number), used.image.frame_format, reduce)
        except VstDicomError as error:
            raise _name_frame(error, file, number) from error

    def _compose(self, used: LevelPlane, found: list[tuple[int, int, int]], reduce: int) -> RgbImage:
        """Put a cell of the grid together from frames that overlap it."""
        n_rows, n_columns = used.level.frame_size.n_rows, used.level.frame_size.n_columns
        cell = np.full((n_rows, n_columns, 3), GLASS, dtype=np.uint8)
        for frame, row, column in found:
            image = self._decode(used, frame, 1)
            cell[max(row, 0) : n_rows + row, max(column, 0) : n_columns + column] = image[
                max(-row, 0) : n_rows - row, max(-column, 0) : n_columns - column
            ]
        if reduce == 1:
            return cell
        check_reduction(used.level.frame_size, reduce)
        import cv2

        size = n_columns // reduce, n_rows // reduce
        return np.asarray(cv2.resize(cell, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _check_places(level: Level, frame_row: int, frame_columns: Sequence[int]) -> None:
    grid = level.frame_grid
    for frame_column in frame_columns:
        if not (0 <= frame_row < grid.n_rows and 0 <= frame_column < grid.n_columns):
            place = f"({frame_row}, {frame_column})"
            msg = f"level {level.index} has {grid.n_rows} x {grid.n_columns} frames, not {place}"
            raise IndexError(msg)


def _name_frame(error: VstDicomError, file: FrameFile, number: int) -> VstDicomError:
    return type(error)(f"{file.instance.path.name}, frame {number + 1}: {error}; export the slide again")


def _drop_repeated(instances: Sequence[InstanceFile]) -> tuple[list[InstanceFile], list[str]]:
    """Keep one file of each SOP instance.

    Raises
    ------
    DamagedInstanceError
        If two files of one instance differ in their pixels.
    """
    kept: dict[str, InstanceFile] = {}
    warnings = []
    for instance in instances:
        first = kept.setdefault(instance.sop_instance_uid, instance)
        if first is instance:
            continue
        if hash_pixel_data(first) != hash_pixel_data(instance):
            msg = (
                f"{first.path.name} and {instance.path.name} are the same SOP instance {instance.sop_instance_uid} "
                "with different pixels; give only one of them"
            )
            raise DamagedInstanceError(msg)
        warnings.append(f"SOP instance {instance.sop_instance_uid} came twice; one file is used")
    return list(kept.values()), warnings


def _complete_frame_of_reference(headers: Sequence[Dataset]) -> list[str]:
    """Make sure that results can name the frame of reference (0020,0052) of the slide.

    A value that is no UID stays: viewers compare it, nothing else does.
    """
    uid = read_text(headers[0], "FrameOfReferenceUID")
    if uid:
        return [] if is_uid(uid) else ["Frame of Reference UID is not a valid UID; it is kept for viewers to match"]
    for header in headers:
        header.FrameOfReferenceUID = derive_uid("frame of reference", read_uid(header, "SeriesInstanceUID"))
    return ["Frame of Reference UID is missing; one was derived from the series"]
