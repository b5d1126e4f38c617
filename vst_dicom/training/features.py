"""Features of measured spots, made by the same opening, sampling and context rule as on a new slide."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import InputError
from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.domain.pixels import PixelSource
from vst_dicom.domain.tiles import TileBatch
from vst_dicom.predict.context import with_context
from vst_dicom.predict.engine import Engine, embed
from vst_dicom.slide.opening import open_slide
from vst_dicom.tiles.grid import LEAST_TISSUE, TILE_UM, tile_size_px
from vst_dicom.tiles.sampler import TILE_PX, sample_tiles
from vst_dicom.tiles.thumbnail import read_thumbnail
from vst_dicom.tiles.tissue import TissueMask, find_tissue
from vst_dicom.training.baselines import describe_tile
from vst_dicom.training.cohort import Cohort, Section, hash_path, stated_spacing_um
from vst_dicom.training.feature_cache import Arrays, FeatureCache
from vst_dicom.training.shared_tiles import NEAR, share_tiles
from vst_dicom.training.spots import MeasuredSpots, read_spots
from vst_dicom.training.tissue import MARKERS

Progress = Callable[[int, int], None]
SectionProgress = Callable[[str, int, int], None]
"""Called with the section, spots done and spots in all."""

_PIECE_SPOTS: Final = 256
"""Spots of a long section that are kept together while the rest is worked on."""

_RULE_VERSION: Final = 2
"""Raise it when tiles, context or plain numbers are made in another way, so that older cache files are not used."""


@dataclass(frozen=True, eq=False)
class SectionSpots:
    """Measured spots of a section, ready for fitting; the first axis of every array is ``n_spots``.

    Parameters
    ----------
    section_id, patient
        Where they come from.
    centers_px
        x, y in the image, shape ``(n_spots, 2)``.
    features
        Own and neighborhood features, see `vst_dicom.predict.context.with_context`.
    plain
        Number of nuclei, mean hematoxylin and mean eosin density, shape ``(n_spots, 3)``.
    expression
        ln(1 + CP10k), shape ``(n_spots, n_genes)``.
    total_counts
        Raw counts of all genes, shape ``(n_spots,)``.
    site
        Hospital or laboratory, as the cohort names it.
    markers
        ln(1 + CP10k) of the marker genes of tissue classes, shape ``(n_spots, n_markers)``; 0 for one not counted.
    context
        Sides of the squares, in tiles, whose features stand beside each other in `features`.
    """

    section_id: str
    patient: str
    centers_px: NDArray[np.float64]
    features: NDArray[np.float32]
    plain: NDArray[np.float64]
    expression: NDArray[np.float32]
    total_counts: NDArray[np.float64]
    site: str
    markers: NDArray[np.float32]
    context: tuple[int, ...] = (1,)

    def subset(self, spots: NDArray[np.int64]) -> "SectionSpots":
        """Take some of the spots."""
        return replace(
            self,
            centers_px=self.centers_px[spots],
            features=self.features[spots],
            plain=self.plain[spots],
            expression=self.expression[spots],
            total_counts=self.total_counts[spots],
            markers=self.markers[spots],
        )


def describe_cohort(
    cohort: Cohort,
    data_folder: Path,
    panel: Sequence[str],
    engine: Engine,
    encoder_key: str,
    cache_folder: Path | None = None,
    progress: SectionProgress | None = None,
    markers: Sequence[str] = MARKERS,
    context: tuple[int, ...] = (1, 3, 5),
) -> list[SectionSpots]:
    """Describe the spots of all sections; `markers` are the genes that tell kinds of tissue apart.

    Other parameters as of `describe_spots`; `progress` is told the section too.
    """
    described = []
    for section in cohort.section:
        spots = read_spots(section, data_folder, panel, markers)
        told = None if progress is None else partial(progress, section.id)
        described.append(describe_spots(section, spots, data_folder, engine, encoder_key, cache_folder, told, context))
    return described


def describe_spots(
    section: Section,
    spots: MeasuredSpots,
    data_folder: Path,
    engine: Engine,
    encoder_key: str,
    cache_folder: Path | None = None,
    progress: Progress | None = None,
    context: tuple[int, ...] = (1, 3, 5),
) -> SectionSpots:
    """Compute, or take from the cache, the features of a section's spots.

    Parameters
    ----------
    section, spots, data_folder
        What to describe.
    engine, encoder_key
        What to describe it with, and what tells it from every other encoder and normalization.
    cache_folder
        Where features are kept between runs; None keeps none. A long section is kept piece by piece, so that a run
        that was cut off goes on where it stopped.
    progress
        Called with spots done and spots in all.
    context
        Sides of the squares, in tiles, that the head reads, see `vst_dicom.predict.context.with_context`.

    Raises
    ------
    InputError
        If the image cannot be opened, or a spot lies beside it.
    """
    image = data_folder / section.image
    spacing_um = stated_spacing_um(section, data_folder)
    cache = FeatureCache(cache_folder, _cache_name(section, spots, image, spacing_um, encoder_key, context))
    arrays = cache.read()
    if arrays is None:
        spacing = None if spacing_um is None else PixelSpacing.from_um(spacing_um)
        with open_slide([image], pixel_spacing=spacing) as slide:
            arrays = _describe_pieces(slide, spots.centers_px, engine, section.id, cache, progress, context)
    return SectionSpots(
        section.id,
        section.patient,
        spots.centers_px,
        arrays["features"].astype(np.float32),
        arrays["plain"].astype(np.float64),
        spots.expression,
        spots.total_counts,
        section.site,
        spots.markers,
        context,
    )


def _describe_pieces(
    source: PixelSource,
    centers_px: NDArray[np.float64],
    engine: Engine,
    name: str,
    cache: FeatureCache,
    progress: Progress | None,
    context: tuple[int, ...],
) -> Arrays:
    """Describe a section piece by piece; pieces that an earlier run finished come from the cache."""
    mask = find_tissue(read_thumbnail(source))
    starts = range(0, len(centers_px), _PIECE_SPOTS)
    pieces = []
    for piece, start in enumerate(starts):
        own = centers_px[start : start + _PIECE_SPOTS]
        arrays = cache.read(piece)
        if arrays is None:
            told = None if progress is None else partial(_tell_spots, progress, start, len(own), len(centers_px))
            features, plain = describe_places(source, own, engine, name, told, mask, context)
            arrays = {"features": features, "plain": plain}
            if len(starts) > 1:
                cache.write(arrays, piece)
        pieces.append(arrays)
    whole: Arrays = {key: np.concatenate([arrays[key] for arrays in pieces]) for key in ("features", "plain")}
    cache.write(whole)
    cache.forget_pieces(len(starts))
    return whole


def _tell_spots(progress: Progress, start: int, n_own: int, n_spots: int, tiles_done: int, n_tiles: int) -> None:
    """Tell progress in spots of the section rather than in tiles of a piece."""
    progress(start + n_own * tiles_done // max(n_tiles, 1), n_spots)


def describe_places(
    source: PixelSource,
    centers_px: NDArray[np.float64],
    engine: Engine,
    name: str,
    progress: Progress | None = None,
    tissue: TissueMask | None = None,
    context: tuple[int, ...] = (1, 3, 5),
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Features and plain numbers at places of a slide.

    Each place gets a grid of its own: the tile in whose middle it lies and those around it that have enough tissue.
    The middle tile always counts, since there tissue was measured. Places share tiles, see
    `vst_dicom.training.shared_tiles.share_tiles`.

    Parameters
    ----------
    source
        The slide.
    centers_px
        x, y at base level, shape ``(n, 2)``.
    engine
        Encoder.
    name
        Of the section, for messages.
    progress
        Called with tiles done and tiles in all.
    tissue
        Where it lies; found anew without it.
    context
        Sides of the squares, in tiles, see `vst_dicom.predict.context.with_context`.

    Returns
    -------
    tuple
        Features with context, shape ``(n, len(context) * embed_dim)``, and plain numbers, shape ``(n, 3)``.
    """
    base = source.levels[0]
    if (centers_px < -0.5).any() or (centers_px > (base.size.n_columns - 0.5, base.size.n_rows - 0.5)).any():
        msg = f"section {name}: a spot lies outside the image; its places belong to another image or scale"
        raise InputError(msg)
    tile_size = tile_size_px(base.spacing)
    reach = context[-1] // 2
    tiles, tile_of = share_tiles(centers_px, tile_size, reach)
    n_places, n_cells = tile_of.shape
    mask = find_tissue(read_thumbnail(source)) if tissue is None else tissue
    kept = mask.fraction(tiles, tile_size) >= LEAST_TISSUE
    kept[:n_places] = True
    plain = np.zeros((n_places, 3), dtype=np.float64)

    def observed(batches: Iterator[TileBatch]) -> Iterator[TileBatch]:
        for batch in batches:
            for tile, image in zip(batch.indices, batch.images, strict=True):
                if tile < n_places:
                    plain[tile] = describe_tile(image, TILE_UM / TILE_PX)
            yield batch

    row_of = np.cumsum(kept) - 1
    batches = sample_tiles(source, tiles[kept], tile_size, batch_size=engine.batch_size)
    embeddings = embed(engine, observed(batches), int(kept.sum()), progress)
    features = np.empty((n_places, len(context) * embeddings.shape[1]), dtype=np.float32)
    cells = np.argwhere(np.ones((2 * reach + 1, 2 * reach + 1))).astype(np.int32)
    for place in range(n_places):
        present = kept[tile_of[place]]
        middle = int(present[: n_cells // 2].sum())
        own_tiles = embeddings[row_of[tile_of[place, present]]]
        features[place] = with_context(own_tiles, cells[present], slice(middle, middle + 1), context)[0]
    return features, plain


def _cache_name(
    section: Section,
    spots: MeasuredSpots,
    image: Path,
    spacing_um: float | None,
    encoder_key: str,
    context: tuple[int, ...],
) -> str:
    """Name a file after everything that features depend on."""
    places = hashlib.sha256(spots.centers_px.tobytes()).hexdigest()
    rule = [TILE_UM, TILE_PX, LEAST_TISSUE, NEAR, list(context), _RULE_VERSION]
    key = json.dumps([rule, hash_path(image), spacing_um, encoder_key, places])
    return f"{section.id}-{hashlib.sha256(key.encode()).hexdigest()[:24]}"
