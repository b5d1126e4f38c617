"""Features of measured spots, made by the same opening, sampling and context rule as on a new slide."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from vst_dicom.domain.errors import InputError
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.pixels import PixelSource
from vst_dicom.domain.tiles import TileBatch
from vst_dicom.files import whole_file
from vst_dicom.predict.engine import TorchEngine
from vst_dicom.predict.head import with_context
from vst_dicom.slide.opening import open_slide
from vst_dicom.tiles.grid import LEAST_TISSUE, TILE_UM, tile_size_px
from vst_dicom.tiles.sampler import TILE_PX, sample_tiles
from vst_dicom.tiles.thumbnail import read_thumbnail
from vst_dicom.tiles.tissue import find_tissue
from vst_dicom.training.baselines import describe_tile
from vst_dicom.training.cohort import Cohort, MeasuredSpots, Section, hash_path, read_spots

Progress = Callable[[int, int], None]
SectionProgress = Callable[[str, int, int], None]
"""Called with the section, tiles done and tiles in all."""

_STEPS: Final = np.array([(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)])
"""Row and column of the nine cells around a spot; the fifth is the spot itself."""

_CENTER: Final = 4

_RULE_VERSION: Final = 1
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
        Own and neighborhood features, see `vst_dicom.predict.head.with_context`.
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
    engine: TorchEngine,
    encoder_key: str,
    cache_folder: Path | None = None,
    progress: SectionProgress | None = None,
    markers: Sequence[str] = (),
) -> list[SectionSpots]:
    """Describe the spots of all sections; parameters as of `describe_spots`, `progress` told the section too."""
    described = []
    for section in cohort.section:
        spots = read_spots(section, data_folder, panel, markers)
        told = None if progress is None else partial(progress, section.id)
        described.append(describe_spots(section, spots, data_folder, engine, encoder_key, cache_folder, told))
    return described


def describe_spots(
    section: Section,
    spots: MeasuredSpots,
    data_folder: Path,
    engine: TorchEngine,
    encoder_key: str,
    cache_folder: Path | None = None,
    progress: Progress | None = None,
) -> SectionSpots:
    """Compute, or take from the cache, the features of a section's spots.

    Parameters
    ----------
    section, spots, data_folder
        What to describe.
    engine, encoder_key
        What to describe it with, and what tells it from every other encoder and normalization.
    cache_folder
        Where features are kept between runs; None keeps none.
    progress
        Called with tiles done and tiles in all.

    Raises
    ------
    InputError
        If the image cannot be opened, or a spot lies beside it.
    """
    image = data_folder / section.image
    cache_file = None if cache_folder is None else cache_folder / _cache_name(section, spots, image, encoder_key)
    arrays = _from_cache(cache_file)
    if arrays is None:
        spacing = None if section.pixel_spacing_um is None else PixelSpacing.from_um(section.pixel_spacing_um)
        with open_slide([image], pixel_spacing=spacing) as slide:
            features, plain = describe_places(slide, spots.centers_px, engine, section.id, progress)
        arrays = {"features": features, "plain": plain}
        _to_cache(cache_file, arrays)
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
    )


def describe_places(
    source: PixelSource,
    centers_px: NDArray[np.float64],
    engine: TorchEngine,
    name: str,
    progress: Progress | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Features and plain numbers at places of a slide.

    Each place gets a grid of its own: the tile in whose middle it lies and the eight around it, those with enough
    tissue. The middle tile always counts, since there tissue was measured. A tile that several places share is read
    and embedded once.

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

    Returns
    -------
    tuple
        Features with context, shape ``(n, 2 * embed_dim)``, and plain numbers, shape ``(n, 3)``.
    """
    base = source.levels[0]
    if (centers_px < -0.5).any() or (centers_px > (base.size.n_columns - 0.5, base.size.n_rows - 0.5)).any():
        msg = f"section {name}: a spot lies outside the image; its places belong to another image or scale"
        raise InputError(msg)
    tile_size = tile_size_px(base.spacing)
    corners, place, step = _tiles_around(centers_px, tile_size)
    fraction = find_tissue(read_thumbnail(source)).fraction(corners, tile_size)
    keep = (fraction >= LEAST_TISSUE) | (step == _CENTER)
    corners, place, step = corners[keep], place[keep], step[keep]

    tiles, tile_of = np.unique(corners, axis=0, return_inverse=True)
    is_middle = np.zeros(len(tiles), dtype=bool)
    is_middle[tile_of[step == _CENTER]] = True
    plain_of_tile = np.zeros((len(tiles), 3), dtype=np.float64)

    def observed(batches: Iterator[TileBatch]) -> Iterator[TileBatch]:
        for batch in batches:
            for tile, image in zip(batch.indices, batch.images, strict=True):
                if is_middle[tile]:
                    plain_of_tile[tile] = describe_tile(image, TILE_UM / TILE_PX)
            yield batch

    batches = sample_tiles(source, tiles, tile_size, batch_size=engine.batch_size)
    embeddings = engine.embed(observed(batches), len(tiles), progress)[tile_of]
    cells = _STEPS[step] + np.column_stack([np.ones(len(place)), 4 * place + 1])
    with_neighbors = with_context(embeddings, cells.astype(np.int32), context=(1, 3))
    return with_neighbors[step == _CENTER], plain_of_tile[tile_of[step == _CENTER]]


def _tiles_around(
    centers_px: NDArray[np.float64], tile_size: MatrixSize
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Corners of the nine tiles around each place, which place and which step each belongs to."""
    half = np.array([tile_size.n_columns - 1, tile_size.n_rows - 1]) / 2
    middle = np.rint(centers_px - half).astype(np.int64)
    offsets = _STEPS[:, ::-1] * np.array([tile_size.n_columns, tile_size.n_rows])
    corners = (middle[:, None, :] + offsets[None, :, :]).reshape(-1, 2)
    place = np.repeat(np.arange(len(centers_px)), len(_STEPS))
    step = np.tile(np.arange(len(_STEPS)), len(centers_px))
    return corners, place, step


def _cache_name(section: Section, spots: MeasuredSpots, image: Path, encoder_key: str) -> str:
    """Name a file after everything that features depend on."""
    places = hashlib.sha256(spots.centers_px.tobytes()).hexdigest()
    rule = [TILE_UM, TILE_PX, LEAST_TISSUE, _RULE_VERSION]
    key = json.dumps([rule, hash_path(image), section.pixel_spacing_um, encoder_key, places])
    return f"{section.id}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.safetensors"


def _from_cache(cache_file: Path | None) -> dict[str, NDArray[np.floating]] | None:
    """Arrays of an earlier run; None where there are none that can be read."""
    if cache_file is None or not cache_file.is_file():
        return None
    try:
        return dict(safetensors.numpy.load_file(cache_file))
    except (safetensors.SafetensorError, OSError):
        return None


def _to_cache(cache_file: Path | None, arrays: dict[str, NDArray[np.floating]]) -> None:
    """Write whole or not at all."""
    if cache_file is None:
        return
    cache_file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(cache_file) as temporary:
        temporary.write_bytes(safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in arrays.items()}))
