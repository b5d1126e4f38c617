"""What the training tissue looks like, so that a slide that looks otherwise can be told."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.domain.tiles import TileBatch
from vst_dicom.predict.appearance import describe_appearance
from vst_dicom.predict.engine import Engine, embed
from vst_dicom.predict.manifest_evidence import Distribution
from vst_dicom.predict.trust import Familiarity, unit_length
from vst_dicom.slide.opening import open_slide
from vst_dicom.tiles.grid import TILE_UM, tile_size_px
from vst_dicom.tiles.sampler import TILE_PX, sample_tiles
from vst_dicom.training.cohort import Cohort, hash_path, stated_spacing_um
from vst_dicom.training.feature_cache import FeatureCache
from vst_dicom.training.features import SectionProgress, SectionSpots
from vst_dicom.training.jitter import jitter

REFUSE_SHARE: Final = 0.2
"""A slide with a larger part of its tissue masked is refused."""

_PERCENTILE: Final = 99.0
_MOST_COMPONENTS: Final = 32
_MOST_TILES: Final = 1000
"""Spots of all sections together that are looked at, spread evenly."""

_LEAST_PER_SECTION: Final = 10
_FLOOR: Final = 1e-3
"""Variance added along each axis, in units of their mean: a direction hardly seen in training is not infinitely far."""

_RULE_VERSION: Final = 1
"""Raise it when tiles are changed or described in another way, so that older cache files are not used."""


@dataclass(frozen=True, eq=False)
class SectionTiles:
    """Some tiles of a section: as they are, and once in another stain, scale and focus.

    Parameters
    ----------
    section_id, patient
        Where they come from.
    appearance, embeddings
        Of the tiles as they are, shapes ``(n_tiles, N_APPEARANCE)`` and ``(n_tiles, embed_dim)``.
    changed_appearance, changed_embeddings
        The same of the changed tiles.
    """

    section_id: str
    patient: str
    appearance: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    changed_appearance: NDArray[np.float32]
    changed_embeddings: NDArray[np.float32]


def sample_sections(
    cohort: Cohort,
    sections: Sequence[SectionSpots],
    data_folder: Path,
    engine: Engine,
    encoder_key: str,
    seed: int,
    cache_folder: Path | None = None,
    progress: SectionProgress | None = None,
) -> list[SectionTiles]:
    """Read tiles at some spots of each section and describe them; parameters as of `describe_cohort`.

    Parameters
    ----------
    sections
        The cohort's sections, described, in its order.
    seed
        Of the changes.
    """
    per_section = max(_LEAST_PER_SECTION, _MOST_TILES // len(sections))
    found = []
    for section, spots in zip(cohort.section, sections, strict=True):
        some = np.unique(np.linspace(0, len(spots.centers_px) - 1, per_section).round().astype(np.int64))
        centers = spots.centers_px[some]
        image, spacing_um = data_folder / section.image, stated_spacing_um(section, data_folder)
        key = [hash_path(image), spacing_um, encoder_key, seed]
        cache = FeatureCache(cache_folder, _cache_name(section.id, key, centers))
        arrays = cache.read()
        if arrays is None:
            images = _read_tiles(image, centers, spacing_um)
            random = np.random.default_rng(seed)
            changed = np.stack([jitter(image, TILE_UM / TILE_PX, random) for image in images])
            told = None if progress is None else partial(progress, f"{section.id}, appearance")
            arrays = {
                "appearance": describe_appearance(images),
                "changed_appearance": describe_appearance(changed),
                "changed_embeddings": embed(engine, _batches(changed, engine.batch_size), len(changed), told),
            }
            cache.write(arrays)
        own = spots.features[some, : engine.embed_dim]
        described = {key: array.astype(np.float32) for key, array in arrays.items()}
        found.append(SectionTiles(section.id, section.patient, embeddings=own, **described))
    return found


def describe_distribution(
    tiles: Sequence[SectionTiles], fitted_patients: Sequence[str]
) -> tuple[Distribution, Familiarity]:
    """Find what is familiar, and the limit beyond which a tile is not.

    The limit of each distance is such that of no patient more than 1 % of the tiles, changed ones included, lie above
    it when measured from the tiles of the other patients (sections, where there is one patient).

    Parameters
    ----------
    tiles
        Of all sections of the cohort.
    fitted_patients
        Whose spots the head was fitted on: distances on a new slide are measured from their tiles.

    Raises
    ------
    ValueError
        If there are not two sections.
    """
    unit: Literal["patient", "section"] = "patient" if len({one.patient for one in tiles}) > 1 else "section"
    units = {one.section_id: one.patient if unit == "patient" else one.section_id for one in tiles}
    names = list(dict.fromkeys(units.values()))
    if len(names) < 2:
        raise ValueError("nothing can be held out: two sections are needed")
    folds = []
    for name in names:
        model = _fit([one for one in tiles if units[one.section_id] != name])
        folds.append((name, model, [one for one in tiles if units[one.section_id] == name]))
    limits = np.max([_find_limits(model, own) for _, model, own in folds], axis=0)
    unfamiliar = {}
    for name, model, own in folds:
        limited = _within(model, limits)
        distance = np.concatenate([limited.distance(one.appearance, one.embeddings) for one in own])
        unfamiliar[name] = float((distance > 1).mean())
    fitted = [one for one in tiles if one.patient in fitted_patients]
    familiarity = _within(_fit(fitted), limits)
    part = Distribution(
        n_tiles=sum(2 * len(one.appearance) for one in fitted),
        n_components=familiarity.embedding_map.shape[1],
        percentile=_PERCENTILE,
        unit=unit,
        n_units=len(names),
        held_out_unfamiliar={name: round(share, 4) for name, share in unfamiliar.items()},
        refuse_share=REFUSE_SHARE,
    )
    return part, familiarity


def _find_limits(model: Familiarity, held_out: Sequence[SectionTiles]) -> NDArray[np.float64]:
    """Percentile of both distances of a unit's tiles, as they are and changed, shape ``(2,)``."""
    distances = [
        distances
        for one in held_out
        for distances in (
            model.distances(one.appearance, one.embeddings),
            model.distances(one.changed_appearance, one.changed_embeddings),
        )
    ]
    limits: NDArray[np.float64] = np.percentile(np.concatenate(distances, axis=1), _PERCENTILE, axis=1)
    return limits


def _fit(tiles: Sequence[SectionTiles]) -> Familiarity:
    """Learn what is familiar, in double precision; both limits are 1 still."""
    appearance = np.concatenate([array for one in tiles for array in (one.appearance, one.changed_appearance)])
    embeddings = np.concatenate([array for one in tiles for array in (one.embeddings, one.changed_embeddings)])
    return Familiarity(
        *_whiten(appearance, appearance.shape[1]),
        *_whiten(unit_length(embeddings.astype(np.float64)), _MOST_COMPONENTS),
    )


def _within(model: Familiarity, limits: NDArray[np.float64]) -> Familiarity:
    """As a bundle holds it: distances in units of their limits."""
    return Familiarity(
        model.appearance_mean.astype(np.float32),
        (model.appearance_map / limits[0]).astype(np.float32),
        model.embedding_mean.astype(np.float32),
        (model.embedding_map / limits[1]).astype(np.float32),
    )


def _whiten(values: NDArray[np.floating], most_components: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean, and map of deviations to principal axes of unit variance, shape ``(n_values, n_components)``."""
    mean = values.mean(axis=0, dtype=np.float64)
    variances, axes = np.linalg.eigh(np.atleast_2d(np.cov(values, rowvar=False)))
    first = np.argsort(variances)[::-1][:most_components]
    kept = np.maximum(variances[first], 0)
    return mean, axes[:, first] / np.sqrt(kept + _FLOOR * max(float(kept.mean()), 1e-12))


def _read_tiles(image: Path, centers_px: NDArray[np.float64], spacing_um: float | None) -> NDArray[np.uint8]:
    """Tiles in whose middle the spots lie, shape ``(n, TILE_PX, TILE_PX, 3)``."""
    spacing = None if spacing_um is None else PixelSpacing.from_um(spacing_um)
    images = np.empty((len(centers_px), TILE_PX, TILE_PX, 3), dtype=np.uint8)
    with open_slide([image], pixel_spacing=spacing) as slide:
        tile_size = tile_size_px(slide.levels[0].spacing)
        half = np.array([tile_size.n_columns - 1, tile_size.n_rows - 1]) / 2
        for batch in sample_tiles(slide, np.rint(centers_px - half).astype(np.int64), tile_size):
            images[batch.indices] = batch.images
    return images


def _batches(images: NDArray[np.uint8], size: int) -> Iterator[TileBatch]:
    for start in range(0, len(images), size):
        part = images[start : start + size]
        yield TileBatch(np.arange(start, start + len(part)), part)


def _cache_name(section_id: str, inputs: Sequence[object], centers_px: NDArray[np.float64]) -> str:
    """Name a file after everything that the described tiles depend on."""
    places = hashlib.sha256(centers_px.tobytes()).hexdigest()
    key = json.dumps([TILE_UM, TILE_PX, _RULE_VERSION, *inputs, places])
    return f"{section_id}-tiles-{hashlib.sha256(key.encode()).hexdigest()[:24]}"
