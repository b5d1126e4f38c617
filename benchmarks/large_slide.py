"""A slide as large as wished, from a few painted frames: written in seconds, read as any other."""

import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from vst_dicom.dicom.frames import JPEG_METHOD, encode_jpeg
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.pixels import GLASS, RgbImage
from vst_dicom.simulate.slide import SimulatedSlide
from vst_dicom.simulate.writing import SlideRecipe, describe
from vst_dicom.slide.encapsulation import FrameSpool
from vst_dicom.slide.iod import level_header
from vst_dicom.slide.pyramid import LossyStep, PyramidPlan, upright_plane

_NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
_PERIOD: Final = 4
"""The painted frames repeat after so many rows and columns."""

_PAINTED_PX: Final = 4096
_LEVEL_STEP: Final = 2
"""Every level is a fourth of the one before, as most scanners write them."""

_PER_FRAME_GROUPS: Final = 0x52009230


def write_large_slide(
    folder: Path, side_px: int, tissue_share: float, frame_px: int, spacing_um: float = 0.25, *, sparse: bool = True
) -> Path:
    """Write a slide with one round piece of tissue.

    Parameters
    ----------
    folder
        Folder to make.
    side_px
        Rows and columns of the base level.
    tissue_share
        Part of the slide that the tissue covers, 0 to about 0.78.
    frame_px
        Rows and columns of a frame.
    spacing_um
        Of the base level.
    sparse
        Leave glass out (TILED_SPARSE), or write a frame of it wherever there is no tissue (TILED_FULL).

    Returns
    -------
    Path
        The folder.
    """
    folder.mkdir(parents=True)
    recipe = SlideRecipe(MatrixSize(side_px, side_px), PixelSpacing.from_um(spacing_um), seed=1)
    plan = PyramidPlan(
        describe(recipe), f"{recipe.uid_seed} {sparse}", _NOW, recipe.size, upright_plane(recipe.spacing), frame_px
    )
    painted = _paint_frames(spacing_um, frame_px)
    layout = _lay_tissue(-(-side_px // frame_px), tissue_share)
    for level in range(0, len(plan.level_sizes), _LEVEL_STEP):
        if plan.frame_px >> level == 0:
            break
        with FrameSpool(folder / "frames.part") as spool:
            places = []
            for row, column, frame in _encode_level(painted, layout, level, plan.jpeg_quality):
                if frame is not None or not sparse:
                    places.append((row, column))
                    spool.append(frame or encode_jpeg(painted[-1], plan.jpeg_quality))
            ratio = len(places) * frame_px**2 * 3 / spool.n_bytes
            header = level_header(plan, level, (LossyStep(JPEG_METHOD, ratio),))
            if sparse:
                header.DimensionOrganizationType = "TILED_SPARSE"
                header.NumberOfFrames = len(places)
                groups = _per_frame_groups(np.array(places) * frame_px, plan.level_plane(level).spacing)
                header[Tag(_PER_FRAME_GROUPS)] = RawDataElement(
                    Tag(_PER_FRAME_GROUPS), "SQ", len(groups), groups, 0, False, True
                )
            spool.write_instance(header, folder / f"level-{level}.dcm")
    return folder


def _paint_frames(spacing_um: float, frame_px: int) -> NDArray[np.uint8]:
    """Frames of tissue, the densest of a simulated slide, and one of glass behind them."""
    n_painted = _PERIOD**2
    side_px = max(_PAINTED_PX, 8 * frame_px)
    size, frame = MatrixSize(side_px, side_px), MatrixSize(frame_px, frame_px)
    slide = SimulatedSlide(size, PixelSpacing.from_um(spacing_um), 1, frame)
    grid = size.divided_by(frame)
    frames = [slide.read_frame(0, row, column) for row in range(grid.n_rows) for column in range(grid.n_columns)]
    densest = sorted(frames, key=lambda one: float((one.max(axis=2) > 225).mean()))[:n_painted]
    return np.stack([*densest, np.full((frame_px, frame_px, 3), GLASS, dtype=np.uint8)])


def _lay_tissue(n_frames: int, tissue_share: float) -> NDArray[np.int64]:
    """Number of the painted frame at each place of the base level, shape ``(n_frames, n_frames)``."""
    rows, columns = np.mgrid[:n_frames, :n_frames]
    center = (n_frames - 1) / 2
    inside = (rows - center) ** 2 + (columns - center) ** 2 <= tissue_share * n_frames**2 / np.pi
    numbers = rows % _PERIOD * _PERIOD + columns % _PERIOD
    return np.where(inside, numbers, _PERIOD**2)


def _encode_level(
    painted: NDArray[np.uint8], layout: NDArray[np.int64], level: int, quality: int
) -> Iterator[tuple[int, int, bytes | None]]:
    """Frames of a level with their places; None where glass is. Frames of the same parts are encoded once."""
    n_parts = 2**level
    side = painted.shape[1] // n_parts
    parts = painted.reshape(len(painted), side, n_parts, side, n_parts, 3).mean(axis=(2, 4)).astype(np.uint8)
    grid = -(-layout.shape[0] // n_parts)
    padded = np.full((grid * n_parts, grid * n_parts), len(painted) - 1)
    padded[: layout.shape[0], : layout.shape[1]] = layout
    encoded: dict[bytes, bytes] = {}
    for row in range(grid):
        for column in range(grid):
            here = padded[row * n_parts : (row + 1) * n_parts, column * n_parts : (column + 1) * n_parts]
            if (here == len(painted) - 1).all():
                yield row, column, None
                continue
            key = here.tobytes()
            if key not in encoded:
                encoded[key] = encode_jpeg(_join(parts[here]), quality)
            yield row, column, encoded[key]


def _join(parts: NDArray[np.uint8]) -> RgbImage:
    """Put pictures together, shape ``(n_rows, n_columns, side, side, 3)``."""
    n_rows, n_columns, side, _, _ = parts.shape
    return parts.transpose(0, 2, 1, 3, 4).reshape(n_rows * side, n_columns * side, 3)


def _per_frame_groups(corners_px: NDArray[np.int64], spacing: PixelSpacing) -> bytes:
    """Plane Position (Slide) of each frame, encoded, explicit VR little endian (PS3.3 C.8.12.6.1)."""
    items = []
    for y_px, x_px in corners_px.tolist():
        position = b"".join(
            [
                _element(0x0040, 0x072A, b"DS", f"{y_px * spacing.row_mm:.6f}".encode()),
                _element(0x0040, 0x073A, b"DS", f"{x_px * spacing.column_mm:.6f}".encode()),
                _element(0x0040, 0x074A, b"DS", b"0"),
                _element(0x0048, 0x021E, b"SL", struct.pack("<i", x_px + 1)),
                _element(0x0048, 0x021F, b"SL", struct.pack("<i", y_px + 1)),
            ]
        )
        sequence = _item(position)
        items.append(_item(struct.pack("<HH2sHI", 0x0048, 0x021A, b"SQ", 0, len(sequence)) + sequence))
    return b"".join(items)


def _element(group: int, number: int, representation: bytes, value: bytes) -> bytes:
    value += b" " * (len(value) % 2)
    return struct.pack("<HH2sH", group, number, representation, len(value)) + value


def _item(content: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content
