"""A slide whose pixels are known, and a TIFF like the scanners write, for tests of this folder."""

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.pixels import Level, RgbImage


def paint(n_rows: int, n_columns: int) -> RgbImage:
    """Smooth colors, different at each place, so that JPEG changes them little."""
    y, x = np.mgrid[0:n_rows, 0:n_columns]
    red = 120 + 100 * np.sin(x / 37.0)
    green = 120 + 100 * np.cos(y / 41.0)
    blue = 100 + 0.05 * (x + y)
    return np.stack([red, green, np.clip(blue, 0, 255)], axis=-1).astype(np.uint8)


class PaintedSource:
    """A pixel source over an array; frames listed in `missing` are not stored."""

    def __init__(
        self,
        pixels: RgbImage,
        frame_px: int = 100,
        spacing: PixelSpacing | None = None,
        missing: frozenset[tuple[int, int]] = frozenset(),
    ) -> None:
        size = MatrixSize(*pixels.shape[:2])
        self.pixels = pixels
        self.missing = missing
        self.levels = (Level(0, size, spacing or PixelSpacing.from_um(0.5), MatrixSize(frame_px, frame_px)),)

    def read_frame(self, level: int, frame_row: int, frame_column: int, reduce: int = 1) -> RgbImage | None:
        if (frame_row, frame_column) in self.missing:
            return None
        side = self.levels[0].frame_size.n_rows
        frame = np.zeros((side, side, 3), dtype=np.uint8)
        part = self.pixels[frame_row * side : (frame_row + 1) * side, frame_column * side : (frame_column + 1) * side]
        frame[: part.shape[0], : part.shape[1]] = part
        return frame


def write_tiled_tiff(
    path: Path,
    levels: list[RgbImage],
    *,
    description: str = "",
    tile_px: int = 256,
    resolution: tuple[int, int] | None = None,
) -> None:
    """Write a TIFF of JPEG tiles, one directory per level; a description that starts with Aperio makes it an SVS."""
    content = bytearray(b"II*\0\0\0\0\0")
    link = 4
    for pixels in levels:
        offsets, lengths = [], []
        for y in range(0, pixels.shape[0], tile_px):
            for x in range(0, pixels.shape[1], tile_px):
                tile = np.full((tile_px, tile_px, 3), 255, dtype=np.uint8)
                part = pixels[y : y + tile_px, x : x + tile_px]
                tile[: part.shape[0], : part.shape[1]] = part
                offsets.append(len(content))
                content += _jpeg(tile)
                lengths.append(len(content) - offsets[-1])
        tags: list[tuple[int, int, list[int] | bytes]] = [
            (256, 4, [pixels.shape[1]]),
            (257, 4, [pixels.shape[0]]),
            (258, 3, [8, 8, 8]),
            (259, 3, [7]),
            (262, 3, [6]),
            (270, 2, description.encode() + b"\0"),
            (277, 3, [3]),
            (284, 3, [1]),
            (322, 4, [tile_px]),
            (323, 4, [tile_px]),
            (324, 4, offsets),
            (325, 4, lengths),
            (530, 3, [2, 2]),
        ]
        if resolution:
            tags += [(282, 5, [resolution[0], 1]), (283, 5, [resolution[1], 1]), (296, 3, [3])]
        link = _append_directory(content, sorted(tags, key=lambda tag: tag[0]), link)
    path.write_bytes(content)


def _jpeg(tile: RgbImage) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(tile).save(buffer, "JPEG", quality=95, subsampling="4:2:0")
    return buffer.getvalue()


def _append_directory(content: bytearray, tags: list[tuple[int, int, list[int] | bytes]], link: int) -> int:
    sizes = {2: 1, 3: 2, 4: 4, 5: 8}
    entries = b""
    for tag, kind, values in tags:
        if isinstance(values, bytes):
            packed, count = values, len(values)
        else:
            packed = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
            count = len(packed) // sizes[kind]
        if len(packed) > 4:
            content += b"\0" * (len(content) % 2)
            place = len(content)
            content += packed
            packed = struct.pack("<I", place)
        entries += struct.pack("<HHI", tag, kind, count) + packed.ljust(4, b"\0")
    content += b"\0" * (len(content) % 2)
    struct.pack_into("<I", content, link, len(content))
    content += struct.pack("<H", len(tags)) + entries
    content += b"\0\0\0\0"
    return len(content) - 4
