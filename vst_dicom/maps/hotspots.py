"""Where predicted expression is high relative to similar tissue, beyond what smoothness alone brings about.

Predicted maps are smooth by construction, so a test against shuffled tiles would call hotspots on every slide. Here a
call needs a value that fewer than one slide in twenty reaches anywhere, over all its genes, when maps have the same
autocorrelation, on the same tissue, and no hotspot.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import ceil
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from shapely import box, union_all

from vst_dicom.domain.expression import ExpressionTable
from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.domain.result import Hotspot
from vst_dicom.domain.tiles import TileGrid
from vst_dicom.maps.gi_star import Neighborhoods, TissueKinds
from vst_dicom.maps.surrogates import SurrogateMaps

LEAST_CLASS: Final = 30
"""Tiles of a class that a slide must have for one of them to be compared with the others."""

LEAST_DOMAIN: Final = 100
"""Tiles that a slide must have for a hotspot to be looked for."""

N_SURROGATES: Final = 399
LEVEL: Final = 0.025
"""Part of the surrogates on which a hotspot would be called; half of the one slide in twenty that is promised, since
the smoothness of the surrogates is itself an estimate."""

LEAST_AGREEMENT: Final = 0.9
"""Part of the members of the head by which a tile must be hot."""

LEAST_STAYING: Final = 0.5
"""Part of a hotspot's tiles that must be hot again on a grid shifted by half a tile."""

_NEARBY: Final = 2
"""Cells from a hotspot whose masked tissue is counted with it."""

_MOST_THREADS: Final = 16
"""Surrogates drawn side by side; each takes some ten megabytes on a large slide."""

_SEED: Final = 20260101
"""Of the surrogates: the same slide gives the same hotspots."""


class Members(Protocol):
    """Predictions of the members of a head."""

    def __len__(self) -> int:
        """Give how many there are."""
        ...

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Give each, shape ``(n_tiles, n_genes)``."""
        ...


@dataclass(frozen=True, eq=False)
class Doubt:
    """What is known about how sure predictions are.

    Parameters
    ----------
    members
        What each member of the head predicts, each of shape ``(n_tiles, n_genes)``, one looked at after the other;
        None for a head without.
    half_width
        Half the width of the interval of each value, from held-out patients, shape ``(n_tiles, n_genes)``; None where
        too few were held out.
    masked_cells
        Grid cells of tissue that has no tile, being unlike the training tissue, shape ``(n, 2)``.
    """

    members: Members | None
    half_width: NDArray[np.float32] | None
    masked_cells: NDArray[np.int32]

    @classmethod
    def unknown(cls) -> "Doubt":
        """Nothing is known."""
        return cls(None, None, np.zeros((0, 2), dtype=np.int32))


@dataclass(frozen=True, eq=False)
class HotspotSearch:
    """What was found, and how far each tile stands out.

    Parameters
    ----------
    hotspots
        Numbered from 1, genes in the order of the table, the largest hotspot of a gene first.
    gi_star
        Shape ``(n_tiles, n_genes)``; NaN for tiles outside the domain. None where nothing was looked for.
    """

    hotspots: tuple[Hotspot, ...]
    gi_star: NDArray[np.float32] | None


def find_hotspots(
    expression: ExpressionTable,
    grid: TileGrid,
    usable: NDArray[np.bool_],
    spacing: PixelSpacing,
    tissue_class: NDArray[np.int8] | None,
    doubt: Doubt | None = None,
) -> HotspotSearch:
    """Find hotspots of every gene.

    Values become normal scores within their tissue class, so that a tile is compared with similar tissue and skewed
    maps do no harm. Gi* (Getis and Ord 1992) with equal weights within `vst_dicom.maps.gi_star.RADIUS_UM` says how far
    the mean around a tile stands out. The smallest hotspot is a cross, a tile and the four that share a side with it:
    0.063 mm² at 112 µm. A tile is hot when its Gi* lies above what no cross exceeds as a whole, anywhere, for any
    gene, on 39 of 40 sets of surrogate maps, and lies so by nine in ten members of the head too. Hot tiles that share
    sides form a hotspot when they hold a cross and, where intervals are known, the lower limit of their mean lies
    above the mean of the class.

    Parameters
    ----------
    expression
        Predictions, rows in the order of ``grid.cells``.
    grid
        Where the tiles lie.
    usable
        Tiles that quality checks passed, shape ``(n_tiles,)``; others neither are hot nor are compared with.
    spacing
        Of the base level.
    tissue_class
        Index into `vst_dicom.domain.tissue.TISSUE_CLASSES`, shape ``(n_tiles,)``; None compares with all tissue.
        Tiles of a class with fewer than `LEAST_CLASS` are left out.
    doubt
        How sure the predictions are; None where nothing is known.
    """
    doubt = doubt or Doubt.unknown()
    gi_star = np.full(expression.values.shape, np.nan, dtype=np.float32)
    kinds, domain = _find_domain(usable, tissue_class)
    if len(domain) < LEAST_DOMAIN:
        return HotspotSearch((), gi_star)
    similar = TissueKinds(kinds[domain])
    scores = similar.normal_scores(expression.values[domain])
    varying = np.flatnonzero(scores.any(axis=0))
    if not len(varying):
        return HotspotSearch((), gi_star)

    near = Neighborhoods(grid, domain, spacing)
    found = near.gi_star(scores[:, varying])
    gi_star[np.ix_(domain, varying)] = found
    threshold = find_threshold(SurrogateMaps(scores[:, varying], grid.cells[domain]), similar, near)
    hot = found > threshold
    if hot.any() and doubt.members is not None:
        agreeing = np.zeros(hot.shape, dtype=np.int64)
        for member in doubt.members:
            agreeing += near.gi_star(similar.normal_scores(member[domain][:, varying])) > threshold
        hot &= agreeing >= LEAST_AGREEMENT * len(doubt.members)

    hotspots: list[Hotspot] = []
    for column, gene in enumerate(varying):
        values = expression.values[:, gene]
        class_means = np.full(len(grid), np.nan)
        class_means[domain] = similar.means(values[domain])
        for tiles in _pieces(grid, domain[hot[:, column]]):
            mean, class_mean = float(values[tiles].mean()), float(class_means[tiles].mean())
            interval = None
            if doubt.half_width is not None:
                half_width = float(doubt.half_width[tiles, gene].mean())
                interval = (mean - half_width, mean + half_width)
                if interval[0] <= class_mean:
                    continue
            hotspots.append(
                Hotspot(
                    number=len(hotspots) + 1,
                    gene=expression.genes[gene],
                    tiles=tiles,
                    z=float(gi_star[tiles, gene].max()),
                    threshold=threshold,
                    mean=mean,
                    interval=interval,
                    class_mean=class_mean,
                    area_mm2=len(tiles) * _tile_area_mm2(grid, spacing),
                    tissue_class=None if tissue_class is None else int(np.bincount(tissue_class[tiles]).argmax()),
                    masked_nearby=_masked_nearby(grid.cells[tiles], grid.cells, doubt.masked_cells),
                    outlines_px=outline_tiles(grid, tiles),
                )
            )
    return HotspotSearch(tuple(hotspots), gi_star)


def keep_stable(
    search: HotspotSearch,
    shifted: ExpressionTable,
    grid: TileGrid,
    usable: NDArray[np.bool_],
    spacing: PixelSpacing,
    tissue_class: NDArray[np.int8] | None,
) -> HotspotSearch:
    """Keep the hotspots that are there too when the grid lies half a tile further, numbered anew.

    Parameters
    ----------
    search
        What `find_hotspots` found.
    shifted
        Predictions of the shifted tiles; where there are none, those of the first look.
    grid, usable, spacing, tissue_class
        As of `find_hotspots`.
    """
    if not search.hotspots:
        return search
    kinds, domain = _find_domain(usable, tissue_class)
    scores = TissueKinds(kinds[domain]).normal_scores(shifted.values[domain])
    again = np.full(shifted.values.shape, np.nan, dtype=np.float32)
    again[domain] = Neighborhoods(grid, domain, spacing).gi_star(scores)
    column_of = {gene: column for column, gene in enumerate(shifted.genes)}
    staying = [
        hotspot
        for hotspot in search.hotspots
        if (again[hotspot.tiles, column_of[hotspot.gene]] > hotspot.threshold).mean() >= LEAST_STAYING
    ]
    return HotspotSearch(
        tuple(replace(hotspot, number=number) for number, hotspot in enumerate(staying, start=1)), search.gi_star
    )


def _find_domain(
    usable: NDArray[np.bool_], tissue_class: NDArray[np.int8] | None
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Kind of every tile, and the tiles that have enough of their kind to be compared with."""
    kinds = np.zeros(len(usable), dtype=np.int8) if tissue_class is None else tissue_class
    return kinds, np.flatnonzero(usable & (np.bincount(kinds[usable], minlength=128)[kinds] >= LEAST_CLASS))


def find_threshold(
    surrogates: SurrogateMaps, similar: TissueKinds, near: Neighborhoods, n_surrogates: int = N_SURROGATES
) -> float:
    """Give the Gi* that a whole cross exceeds, on a slide without hotspots, with a chance of `LEVEL`."""

    def find_highest(seed: np.random.SeedSequence) -> float:
        drawn = surrogates.draw(np.random.default_rng(seed))
        return max(float(near.least_of_cross(near.gi_star(similar.standardize(maps))).max()) for maps in drawn)

    with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS), thread_name_prefix="surrogates") as pool:
        highest = sorted(pool.map(find_highest, np.random.SeedSequence(_SEED).spawn(n_surrogates)))
    return highest[ceil((1 - LEVEL) * (n_surrogates + 1)) - 1]


def _pieces(grid: TileGrid, hot: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Hot tiles that share sides, the largest piece first; pieces without a whole cross are left out."""
    is_hot = np.zeros((grid.size.n_rows, grid.size.n_columns), dtype=np.bool_)
    is_hot[tuple(grid.cells[hot].T)] = True
    labels, _ = ndimage.label(is_hot)
    has_cross = np.unique(labels[ndimage.binary_erosion(is_hot)])
    label_of = labels[tuple(grid.cells[hot].T)]
    by_label = np.sort(hot)[np.argsort(label_of[np.argsort(hot)], kind="stable")]
    bounds = np.searchsorted(np.sort(label_of), [has_cross, has_cross + 1])
    pieces = [by_label[start:stop] for start, stop in bounds.T]
    yield from sorted(pieces, key=lambda piece: (-len(piece), piece[0]))


def _tile_area_mm2(grid: TileGrid, spacing: PixelSpacing) -> float:
    return spacing.row_mm * grid.tile_size.n_rows * spacing.column_mm * grid.tile_size.n_columns


def _masked_nearby(own: NDArray[np.int32], cells: NDArray[np.int32], masked_cells: NDArray[np.int32]) -> float:
    """Fraction of the tissue within two cells of some cells, themselves included, that is masked."""
    if not len(masked_cells):
        return 0.0
    first = own.min(axis=0) - _NEARBY
    near = np.zeros(own.max(axis=0) + _NEARBY + 1 - first, dtype=np.bool_)
    near[tuple((own - first).T)] = True
    near = ndimage.binary_dilation(near, np.ones((2 * _NEARBY + 1, 2 * _NEARBY + 1), dtype=np.bool_))

    def count_near(others: NDArray[np.int32]) -> int:
        places = others - first
        within = places[((places >= 0) & (places < near.shape)).all(axis=1)]
        return int(near[tuple(within.T)].sum())

    masked = count_near(masked_cells)
    return masked / (masked + count_near(cells)) if masked else 0.0


def outline_tiles(grid: TileGrid, tiles: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    """Outer ring, then holes, of tiles that share sides, along the edges of the tiles.

    Returns
    -------
    tuple[NDArray[np.float64], ...]
        Base level pixel corner coordinates x, y, each of shape ``(n_points, 2)``, first point not repeated.
    """
    corners = grid.corners_px[tiles].astype(np.float64)
    far = corners + (grid.tile_size.n_columns, grid.tile_size.n_rows)
    shape = union_all(box(*corners.T, *far.T)).normalize().simplify(0)
    return tuple(np.asarray(ring.coords)[:-1] for ring in (shape.exterior, *shape.interiors))
