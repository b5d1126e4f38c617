"""Reading: tiles from a slide, against decoding each frame that they touch once, and by two other readers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import openslide
import simplejpeg
from pydicom import dcmread
from pydicom.encaps import generate_frames
from wsidicom import WsiDicom

from benchmarks.large_slide import write_large_slide
from benchmarks.measure import Pair, measure_pair
from benchmarks.tables import share_text, short, table
from vst_dicom.dicom.source import Slide
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.tiles import TileGrid
from vst_dicom.slide.opening import open_slide
from vst_dicom.tiles.grid import lay_grid
from vst_dicom.tiles.sampler import TILE_PX, cut_tiles, plan_reading, sample_tiles
from vst_dicom.tiles.thumbnail import read_thumbnail
from vst_dicom.tiles.tissue import find_tissue

_TISSUE_SHARE: Final = 0.35
_SPACINGS_UM: Final = (0.25, 0.5)
_FRAMES_PX: Final = (256, 512)


def reading_lines(folder: Path, rounds: int, side_px: int) -> Iterator[str]:
    """Measure every spacing and frame size; the other readers on one of them."""
    yield (
        f"Square slides of {side_px:,} px with one round piece of tissue, base level only, JPEG. The limit is "
        "`simplejpeg.decode_jpeg` of each needed frame once, at the scale that is read, from memory; what is measured "
        "yields whole batches of tiles of 224 px at 0.5 µm/px. One thread, CPU time."
    )
    yield ""
    rows = []
    for spacing_um in _SPACINGS_UM:
        for frame_px in _FRAMES_PX:
            place = folder / f"read-{spacing_um}-{frame_px}"
            write_large_slide(place, side_px, _TISSUE_SHARE, frame_px, spacing_um, sparse=False)
            for pair in measure_reading(place / "level-0.dcm", rounds, peers=frame_px == _FRAMES_PX[0]):
                limit_ms, ours_ms = pair.per_unit_ms()
                rows.append(
                    [
                        f"{spacing_um}",
                        f"{frame_px}",
                        pair.stage,
                        short(limit_ms),
                        short(ours_ms),
                        share_text(pair.shares),
                    ]
                )
    header = ["source, µm/px", "frames, px", "reader", "limit, CPU ms per tile", "CPU ms per tile",
              "share of the limit, median (range)"]  # fmt: skip
    yield from table(header, rows)


def measure_reading(path: Path, rounds: int, *, peers: bool) -> Iterator[Pair]:
    """Measure this reader, and the two others if wished, on all tiles of a slide in one file."""
    with open_slide([path]) as slide:
        grid, _ = lay_grid(slide.levels[0], find_tissue(read_thumbnail(slide)))
        limit = _decode_once(slide, path, grid)

        def ours() -> None:
            for _ in sample_tiles(slide, grid.corners_px, grid.tile_size, threads=1):
                pass

        readers: dict[str, Callable[[], object]] = {"vst_dicom": ours}
        if peers:
            readers |= {
                "wsidicom": lambda: _read_by_wsidicom(path, grid),
                "OpenSlide": lambda: _read_by_openslide(path, grid),
            }
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            for name, read in readers.items():
                yield measure_pair(name, "each frame decoded once", limit, read, len(grid), "tile", rounds)
        finally:
            cv2.setNumThreads(threads)


def _decode_once(slide: Slide, path: Path, grid: TileGrid) -> Callable[[], None]:
    """Decode every frame that a tile touches, and nothing else; the encoded frames lie in memory."""
    plan = plan_reading(slide.levels, grid.tile_size)
    dataset = dcmread(path)
    encoded = list(generate_frames(dataset.PixelData, number_of_frames=int(dataset.NumberOfFrames)))
    n_across = plan.level.frame_grid.n_columns
    runs = cut_tiles(plan, grid.corners_px).runs()
    needed = [encoded[run.frame_row * n_across + column] for run in runs for column in run.frame_columns]
    n_rows, n_columns = plan.frame.n_rows, plan.frame.n_columns

    def limit() -> None:
        for frame in needed:
            simplejpeg.decode_jpeg(frame, "RGB", min_height=n_rows, min_width=n_columns, min_factor=plan.reduce)

    return limit


def _read_by_wsidicom(path: Path, grid: TileGrid) -> None:
    with WsiDicom.open(path) as slide:
        for x, y in grid.corners_px.tolist():
            _as_seen(slide.read_region((x, y), 0, _extent(grid.tile_size)))


def _read_by_openslide(path: Path, grid: TileGrid) -> None:
    with openslide.OpenSlide(path) as slide:
        for x, y in grid.corners_px.tolist():
            _as_seen(slide.read_region((x, y), 0, _extent(grid.tile_size)).convert("RGB"))


def _extent(size: MatrixSize) -> tuple[int, int]:
    return size.n_columns, size.n_rows


def _as_seen(region: object) -> object:
    """Bring a region to the size that the model sees."""
    image = np.asarray(region)
    if image.shape[:2] == (TILE_PX, TILE_PX):
        return image
    return cv2.resize(image, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA)
