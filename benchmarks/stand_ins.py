"""Stand-ins: a slide as large as wanted without its bytes, and a model without its network."""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil, sqrt
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.engine import EngineFacts, EngineName, Precision
from vst_dicom.domain.expression import GeneStatus
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.pixels import GLASS, Level, RgbImage
from vst_dicom.domain.tiles import TileBatch
from vst_dicom.predict.bundle import Bundle, load_bundle
from vst_dicom.predict.predictor import Predictor
from vst_dicom.simulate.writing import SlideRecipe, write_simulated_slide
from vst_dicom.slide.opening import open_slide

_FRAME_PX = 256
_TILE_PX = 224
_FACTORS = (1, 4, 16)
_N_WAVES = 16
_SIDE_PER_TISSUE = 1.5
"""A square of tissue in the middle of a slide whose sides are so much longer."""


@dataclass(frozen=True, eq=False)
class RepeatedSlide:
    """A slide at 0.5 µm per pixel with a square of tissue, every frame of which shows the same picture.

    Parameters
    ----------
    source, levels
        See `vst_dicom.dicom.source.Slide`.
    pictures
        One frame per level and divisor.
    tissue_px
        Where the tissue begins and ends on the base level, along x and along y.
    """

    source: SourceSlide
    levels: Sequence[Level]
    pictures: dict[tuple[int, int], RgbImage]
    tissue_px: tuple[int, int]

    def read_frame(self, level: int, frame_row: int, frame_column: int, reduce: int = 1) -> RgbImage | None:
        """Give the picture within the tissue, glass beyond."""
        picture = self.pictures[level, reduce]
        step = _FACTORS[level] * reduce  # base level pixels per pixel
        spans = []
        for position in (frame_row, frame_column):
            first, end = (round(edge / step) - position * len(picture) for edge in self.tissue_px)
            spans.append(slice(min(max(first, 0), len(picture)), min(max(end, 0), len(picture))))
        rows, columns = spans
        if rows == columns == slice(0, len(picture)):
            return picture
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return None
        frame = np.full_like(picture, GLASS)
        frame[rows, columns] = picture[rows, columns]
        return frame

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def make_slide(folder: Path, n_tiles: int) -> RepeatedSlide:
    """Make a slide with about so many tiles of tissue; `folder` takes a small one from which it is made."""
    small_px = 2048
    recipe = SlideRecipe(MatrixSize(small_px, small_px), PixelSpacing.from_um(0.5), seed=1)
    write_simulated_slide(recipe, folder / "small", now=datetime(2026, 1, 1, tzinfo=UTC))
    tissue = ceil(sqrt(n_tiles)) * _TILE_PX
    side = ceil(tissue * _SIDE_PER_TISSUE / (16 * _FRAME_PX)) * 16 * _FRAME_PX
    start = (side - tissue) // 2 // _TILE_PX * _TILE_PX
    with open_slide([folder / "small" / "slide"]) as small:
        middle = small_px // _FRAME_PX // 2
        frames = [small.read_frame(0, middle, middle + step) for step in (0, -1, 1)]
        picture = max((frame for frame in frames if frame is not None), key=lambda frame: float(frame.std()))
        source = _enlarged(small.source, MatrixSize(side, side))
        base = small.levels[0]
    levels = tuple(
        Level(
            index,
            MatrixSize(side // factor, side // factor),
            base.spacing.scaled(factor, factor),
            MatrixSize(_FRAME_PX, _FRAME_PX),
        )
        for index, factor in enumerate(_FACTORS)
    )
    pictures = {
        (level, reduce): np.asarray(
            cv2.resize(picture, None, fx=1 / reduce, fy=1 / reduce, interpolation=cv2.INTER_AREA)
        )
        for level in range(len(_FACTORS))
        for reduce in (1, 2, 4, 8)
    }
    return RepeatedSlide(source, levels, pictures, (start, start + tissue))


def _enlarged(source: SourceSlide, size: MatrixSize) -> SourceSlide:
    header = deepcopy(source.header)
    header.TotalPixelMatrixRows, header.TotalPixelMatrixColumns = size.n_rows, size.n_columns
    header.NumberOfFrames = (size.n_rows // _FRAME_PX) * (size.n_columns // _FRAME_PX)
    return replace(source, instances=(header,), size=size)


class NoNetwork:
    """An engine that makes up features, smooth over a square of tissue, at nearly no cost.

    Parameters
    ----------
    mean
        Features that every tile has about.
    side
        Tiles in a row of the tissue.
    """

    name: EngineName = "torch"
    device_name = "no network"
    facts = EngineFacts("torch", "no network", "fp32", 32)
    precision: Precision = "fp32"
    batch_size = 32

    def __init__(self, mean: NDArray[np.floating], side: int) -> None:
        self.embed_dim = len(mean)
        self._side = side
        self._mean = mean.astype(np.float32)
        waves = np.random.default_rng(0).normal(0, 0.05 * np.linalg.norm(mean), (_N_WAVES, len(mean)))
        self._waves = waves.astype(np.float32)

    def stream(self, batches: Iterable[TileBatch]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Make features up by the number of the tile."""
        for batch in batches:
            rows, columns = np.divmod(batch.indices, self._side)
            phases = np.stack(
                [np.sin((rows * (k % 4 + 1) + columns * (k // 4 + 1)) / 9 + k) for k in range(_N_WAVES)], axis=1
            )
            bump = np.exp(-((rows - self._side / 2) ** 2 + (columns - self._side / 2) ** 2) / 18)
            phases[:, 0] += 12 * bump  # for a hotspot to be found
            yield batch.indices, phases.astype(np.float32) @ self._waves + self._mean


def make_predictor(n_genes: int, n_tiles: int) -> Predictor:
    """Put the shipped bundle on an engine without a network; its first `n_genes` genes are shown."""
    bundle = familiar(_showing(load_bundle(), n_genes))
    if (intervals := bundle.trust.intervals) is not None:  # the same work, and no hotspot is left out for doubt
        bundle = replace(bundle, trust=replace(bundle.trust, intervals=replace(intervals, quantile=0.0)))
    predictor = Predictor(bundle, engine="torch", device="cpu")
    predictor.engine = NoNetwork(bundle.reference_embedding, ceil(sqrt(n_tiles)))  # type: ignore[assignment]
    return predictor


def _showing(bundle: Bundle, n_genes: int) -> Bundle:
    genes = tuple(
        gene.model_copy(update={"status": GeneStatus.EXPLORATORY if number < n_genes else GeneStatus.HIDDEN})
        for number, gene in enumerate(bundle.manifest.genes)
    )
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"genes": genes, "signatures": ()}))


def familiar(bundle: Bundle) -> Bundle:
    """Let a bundle find every tile familiar, at the same cost: made-up tissue is unlike any that it was trained on."""
    familiarity = bundle.trust.familiarity
    if familiarity is None:
        return bundle
    appearance_map, embedding_map = familiarity.appearance_map * 0, familiarity.embedding_map * 0
    known = replace(familiarity, appearance_map=appearance_map, embedding_map=embedding_map)
    return replace(bundle, trust=replace(bundle.trust, familiarity=known))
