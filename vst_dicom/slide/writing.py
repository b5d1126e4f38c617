"""Write a DICOM whole slide pyramid from anything that has pixels, frame row by frame row."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from vst_dicom.dicom.frames import JPEG_METHOD, cut_frame_row, encode_jpeg, halve
from vst_dicom.domain.geometry import MatrixSize, SlidePlane
from vst_dicom.domain.pixels import GLASS, PixelSource, RgbImage
from vst_dicom.files import whole_folder
from vst_dicom.slide.description import SlideDescription
from vst_dicom.slide.encapsulation import FrameSpool
from vst_dicom.slide.iod import label_header, level_header
from vst_dicom.slide.pyramid import LossyStep, PyramidPlan, upright_plane

_N_THREADS: Final = 2
_LABEL_QUALITY: Final = 90

Progress = Callable[[int, int], None]
"""Called with frames written and frames in all."""


def write_pyramid(
    source: PixelSource,
    description: SlideDescription,
    out: Path,
    *,
    uid_seed: str,
    now: datetime,
    plane: SlidePlane | None = None,
    frame_px: int = 256,
    jpeg_quality: int = 85,
    label: RgbImage | None = None,
    earlier_compression: Sequence[LossyStep] = (),
    icc_profile: bytes | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the base level of a source and its halved levels as a folder of DICOM instances.

    Each level is a VL Whole Slide Microscopy Image, TILED_FULL, JPEG baseline with 4:2:2 chroma. A few rows of frames
    are in memory at a time. The folder appears complete or not at all.

    Parameters
    ----------
    source
        Whose base level is written.
    description
        Patient, specimen and equipment.
    out
        Folder to make; it may exist when empty.
    uid_seed
        What the identifiers derive from, such as the hash of the source.
    now
        When it is written.
    plane
        Where the base level lies on the slide, with its spacing; None means unknown: upright, at the slide's origin.
    frame_px, jpeg_quality
        Rows and columns of a frame; 1 to 100.
    label
        Picture of the label; it becomes an instance of its own.
    earlier_compression
        Lossy steps that the source's pixels went through before.
    icc_profile
        Of the source's colors; None means sRGB.
    progress
        Told after each row of frames.

    Returns
    -------
    list[Path]
        The files, the base level first, the label last.

    Raises
    ------
    UsageError
        If the folder is not empty, or an option or the description is out of range.
    ResourceError
        If the disk is full.
    """
    base = source.levels[0]
    plan = PyramidPlan(
        description, uid_seed, now, base.size, plane or upright_plane(base.spacing), frame_px, jpeg_quality,
        tuple(earlier_compression), icc_profile,
    )  # fmt: skip
    return write_planned_pyramid(source, plan, out, label=label, progress=progress)


def write_planned_pyramid(
    source: PixelSource,
    plan: PyramidPlan,
    out: Path,
    *,
    label: RgbImage | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Write what a plan says, see `write_pyramid`."""
    with whole_folder(out) as folder, ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(_N_THREADS))
        spools = [stack.enter_context(FrameSpool(folder / f"level-{k}.part")) for k in range(len(plan.level_sizes))]
        _Pyramid(plan, spools, pool, progress).fill(_read_strips(source, plan.frame_px, pool))
        names = []
        for k, spool in enumerate(spools):
            n_bytes = plan.n_frames(k) * plan.frame_px**2 * 3
            steps = (*plan.earlier_compression, LossyStep(JPEG_METHOD, n_bytes / spool.n_bytes))
            names.append(f"level-{k}.dcm")
            spool.write_instance(level_header(plan, k, steps), folder / names[-1])
            spool.close()
        if label is not None:
            names.append("label.dcm")
            _write_label(label, plan, folder)
    return [out / name for name in names]


class _Pyramid:
    """Levels that fill from above: each full row of frames is encoded, halved and handed down."""

    def __init__(
        self, plan: PyramidPlan, spools: Sequence[FrameSpool], pool: ThreadPoolExecutor, progress: Progress | None
    ) -> None:
        self._plan = plan
        self._spools = spools
        self._pool = pool
        self._progress = progress
        self._n_done = 0
        self._n_total = sum(plan.n_frames(k) for k in range(len(plan.level_sizes)))
        self._waiting: list[list[RgbImage]] = [[] for _ in plan.level_sizes]
        self._n_rows_left = [size.n_rows for size in plan.level_sizes]

    def fill(self, strips: Iterator[RgbImage]) -> None:
        """Write all levels from the rows of the base level."""
        for strip in strips:
            self._push(0, strip)

    def _push(self, level: int, rows: RgbImage) -> None:
        """Take rows of a level, at most one row of frames; write when a row of frames is full or the level ends."""
        self._waiting[level].append(rows)
        self._n_rows_left[level] -= rows.shape[0]
        n_waiting = sum(part.shape[0] for part in self._waiting[level])
        if n_waiting < self._plan.frame_px and self._n_rows_left[level]:
            return
        parts, self._waiting[level] = self._waiting[level], []
        strip = parts[0] if len(parts) == 1 else np.concatenate(parts)
        del parts, rows
        self._write_frames(level, strip)
        if level + 1 < len(self._plan.level_sizes):
            self._push(level + 1, halve(strip))

    def _write_frames(self, level: int, strip: RgbImage) -> None:
        def encode(frame: RgbImage) -> bytes:
            return encode_jpeg(frame, self._plan.jpeg_quality)

        for frame in self._pool.map(encode, cut_frame_row(strip, self._plan.frame_px)):
            self._spools[level].append(frame)
            self._n_done += 1
        if self._progress:
            self._progress(self._n_done, self._n_total)


def _read_strips(source: PixelSource, n_rows: int, pool: ThreadPoolExecutor) -> Iterator[RgbImage]:
    """Rows of the base level in portions of `n_rows`, whatever the source's frames are."""
    level = source.levels[0]
    strip = np.empty((0, level.size.n_columns, 3), dtype=np.uint8)
    for frame_row in range(level.frame_grid.n_rows):
        read = _read_frame_row(source, frame_row, pool)
        strip = np.concatenate([strip, read]) if strip.shape[0] else read
        del read
        n_whole = strip.shape[0] // n_rows * n_rows
        for y_px in range(0, n_whole, n_rows):
            yield strip[y_px : y_px + n_rows]
        strip = strip[n_whole:].copy() if n_whole else strip
    if strip.shape[0]:
        yield strip


def _read_frame_row(source: PixelSource, frame_row: int, pool: ThreadPoolExecutor) -> RgbImage:
    level = source.levels[0]
    height, width = level.frame_size.n_rows, level.frame_size.n_columns
    n_rows = min(height, level.size.n_rows - frame_row * height)
    strip = np.full((n_rows, level.size.n_columns, 3), GLASS, dtype=np.uint8)

    def place(frame_column: int) -> None:
        frame = source.read_frame(0, frame_row, frame_column)
        if frame is not None:
            target = strip[:, frame_column * width : (frame_column + 1) * width]
            target[:] = frame[:n_rows, : target.shape[1]]

    for _ in pool.map(place, range(level.frame_grid.n_columns)):
        pass
    return strip


def _write_label(label: RgbImage, plan: PyramidPlan, folder: Path) -> None:
    encoded = encode_jpeg(label, _LABEL_QUALITY)
    steps = (LossyStep(JPEG_METHOD, label.nbytes / len(encoded)),)
    with FrameSpool(folder / "label.part") as spool:
        spool.append(encoded)
        spool.write_instance(label_header(plan, MatrixSize(*label.shape[:2]), steps), folder / "label.dcm")
