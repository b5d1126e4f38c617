"""The overview picture: the slide, and beside it the maps that evidence supports best."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Final, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.patches import Polygon, Rectangle
from numpy.typing import NDArray

from vst_dicom.domain.expression import ExpressionTable, PanelGene
from vst_dicom.domain.pixels import RgbImage
from vst_dicom.domain.result import SlideResult
from vst_dicom.domain.tiles import TileGrid
from vst_dicom.domain.wording import RESEARCH_USE_ONLY, UNIT

N_MAPS: Final = 6
_COLORS: Final = "viridis"
"""Even in lightness and safe for color-blind eyes."""

_INK, _MUTED, _OUTLINE, _NOTICE = "#1f2430", "#5b6270", "#ff3b7f", "#7a4b00"
_ALIKE: Final = 0.8
_MAP_INCHES: Final = 3.4
_LEGEND_INCHES: Final = 1.0


@dataclass(frozen=True, eq=False)
class Backdrop:
    """The slide, small.

    Parameters
    ----------
    image
        Shape ``(n_rows, n_columns, 3)``.
    base_px
        Base level pixels per pixel of it, along x and along y.
    pixel_mm
        Size of a pixel of it along x and along y, in millimeters.
    """

    image: RgbImage
    base_px: tuple[float, float]
    pixel_mm: tuple[float, float]

    @property
    def aspect(self) -> float:
        """Height of a pixel over its width."""
        return self.pixel_mm[1] / self.pixel_mm[0]


@dataclass(frozen=True, slots=True)
class _View:
    """The part of the backdrop that every panel shows, in its pixels: the tissue and a margin."""

    left: float
    right: float
    top: float
    bottom: float

    @classmethod
    def of(cls, backdrop: Backdrop, grid: TileGrid) -> Self:
        scale = np.array(backdrop.base_px)
        tile = np.array([grid.tile_size.n_columns, grid.tile_size.n_rows])
        low, high = grid.corners_px.min(axis=0) / scale, (grid.corners_px + tile).max(axis=0) / scale
        margin = 0.04 * (high - low).max()
        limit = np.array([backdrop.image.shape[1], backdrop.image.shape[0]])
        (left, top), (right, bottom) = np.clip(low - margin, 0, limit) - 0.5, np.clip(high + margin, 0, limit) - 0.5
        return cls(float(left), float(right), float(top), float(bottom))

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def apply(self, axes: Axes) -> None:
        axes.set_xlim(self.left, self.right)
        axes.set_ylim(self.bottom, self.top)
        axes.set_axis_off()


def draw_overview(path: Path, backdrop: Backdrop, result: SlideResult) -> None:
    """Draw the slide and its top maps side by side, with legends, as PNG.

    Parameters
    ----------
    path
        File to write.
    backdrop
        The slide.
    result
        What was found.
    """
    genes = pick_different(result.expression)
    n_columns = max(1, ceil(len(genes) / 2))
    view = _View.of(backdrop, result.grid)
    shape = view.height * backdrop.aspect / view.width
    map_height = min(max(_MAP_INCHES * shape, 1.9), 4.6)
    maps_width = n_columns * (min(_MAP_INCHES, map_height / shape) + _LEGEND_INCHES)
    slide_height = 2 * map_height + 0.7
    slide_width = min(slide_height / shape, 9.0)
    width, height = slide_width + maps_width + 0.8, slide_height + 1.9
    figure = Figure(figsize=(width, height), facecolor="white")
    parts = GridSpec(
        1, 2, figure, left=0.25 / width, right=1 - 0.8 / width, bottom=0.65 / height, top=1 - 1.25 / height,
        wspace=0.06, width_ratios=[slide_width, maps_width],
    )  # fmt: skip

    slide_axes = figure.add_subplot(parts[0])
    slide_axes.imshow(backdrop.image, aspect=backdrop.aspect)
    slide_axes.set_anchor("N")
    view.apply(slide_axes)
    _hatch_masked(slide_axes, backdrop, result)
    _draw_scale_bar(slide_axes, backdrop, view)

    maps = result.grid.place(result.expression.values, fill=np.nan)
    cells = parts[1].subgridspec(2, n_columns, wspace=0.25, hspace=0.32)
    for number, gene in enumerate(genes):
        axes = figure.add_subplot(cells[number % 2, number // 2])
        _draw_map(axes, backdrop, result, gene, maps[result.expression.genes.index(gene)])
        view.apply(axes)
    if not genes:
        middle = (slide_width + maps_width / 2) / width
        figure.text(middle, 0.5, "No gene of this bundle is\nsupported by held-out evidence.", color=_INK, ha="center")

    _write_frame(figure, result)
    figure.savefig(path, dpi=120, format="png", metadata={"Software": "vst_dicom"})


def pick_different(expression: ExpressionTable, most: int = N_MAPS) -> list[PanelGene]:
    """Pick the genes with the best evidence whose maps do not merely repeat one another.

    Genes are taken from the best down; one whose map follows a picked one (Pearson above `_ALIKE`) waits, and comes
    back only where fewer than `most` others are left.
    """
    order = sorted(range(len(expression.genes)), key=lambda index: -_evidence(expression.genes[index]))
    centered = expression.values - expression.values.mean(axis=0)
    unit = centered / np.maximum(np.linalg.norm(centered, axis=0), 1e-9)
    picked: list[int] = []
    alike: list[int] = []
    for index in order:
        repeats = bool(picked) and float((unit[:, picked].T @ unit[:, index]).max()) > _ALIKE
        (alike if repeats else picked).append(index)
    chosen = sorted((picked + alike)[:most], key=order.index)
    return [expression.genes[index] for index in chosen]


def _evidence(gene: PanelGene) -> float:
    """Correlation beyond sequencing depth, where that is known."""
    return gene.held_out_r if gene.depth_adjusted_r is None else gene.depth_adjusted_r


def _draw_map(
    axes: Axes, backdrop: Backdrop, result: SlideResult, gene: PanelGene, gene_map: NDArray[np.float32]
) -> None:
    """One gene over the pale slide, its hotspots outlined, its evidence and unit beside it."""
    pale = (255 - (255 - backdrop.image.mean(axis=2)) * 0.4).astype(np.uint8)
    axes.imshow(pale, cmap="gray", vmin=0, vmax=255, aspect=backdrop.aspect)
    size, tile = result.grid.size, result.grid.tile_size
    right = size.n_columns * tile.n_columns / backdrop.base_px[0] - 0.5
    bottom = size.n_rows * tile.n_rows / backdrop.base_px[1] - 0.5
    low, high = np.nanquantile(gene_map, [0.02, 0.98])
    drawn = axes.imshow(
        gene_map, cmap=_COLORS, extent=(-0.5, right, bottom, -0.5), vmin=low, vmax=max(high, low + 1e-3),
        interpolation="nearest", aspect=backdrop.aspect,
    )  # fmt: skip
    for hotspot in result.hotspots:
        if hotspot.gene == gene:
            for ring in hotspot.outlines_px:
                points = ring / backdrop.base_px - 0.5
                axes.add_patch(Polygon(points, closed=True, fill=False, edgecolor=_OUTLINE, linewidth=1.2))
    axes.annotate(gene.gene.symbol, (0, 1), xytext=(0, 15), xycoords="axes fraction", textcoords="offset points",
                  fontsize=13, color=_INK, weight="bold")  # fmt: skip
    axes.annotate(_evidence_line(gene), (0, 1), xytext=(0, 4), xycoords="axes fraction", textcoords="offset points",
                  fontsize=8, color=_MUTED)  # fmt: skip
    legend = axes.inset_axes((1.02, 0.0, 0.04, 1.0))
    axes.figure.colorbar(drawn, cax=legend, extend="both").outline.set_linewidth(0)
    legend.set_ylabel(f"predicted, {UNIT}", fontsize=8, color=_MUTED)
    legend.tick_params(labelsize=8, colors=_MUTED, length=2)


def _evidence_line(gene: PanelGene) -> str:
    interval = "" if gene.held_out_interval is None else " [{:.2f}, {:.2f}]".format(*gene.held_out_interval)
    adjusted = "" if gene.depth_adjusted_r is None else f" · beyond depth {gene.depth_adjusted_r:.2f}"
    return (
        f"{gene.status.value} · r = {gene.held_out_r:.2f}{interval}{adjusted} · {gene.n_held_out} {gene.held_out_unit}s"
    )


def _draw_scale_bar(axes: Axes, backdrop: Backdrop, view: _View) -> None:
    """Draw a bar of a round length near a fifth of the width, below the slide."""
    round_lengths_mm = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
    length_mm = min(round_lengths_mm, key=lambda one: abs(one - view.width * backdrop.pixel_mm[0] / 5))
    right = view.left + length_mm / backdrop.pixel_mm[0]
    y = view.bottom + 0.015 * view.height
    axes.plot([view.left, right], [y, y], color=_INK, linewidth=3, solid_capstyle="butt", clip_on=False)
    label = f"{length_mm:g} mm" if length_mm >= 0.5 else f"{length_mm * 1000:g} µm"
    axes.annotate(label, (right, y), xytext=(6, 0), textcoords="offset points", fontsize=9, color=_INK, va="center",
                  annotation_clip=False)  # fmt: skip
    view.apply(axes)


def _hatch_masked(axes: Axes, backdrop: Backdrop, result: SlideResult) -> None:
    """Hatch tissue that has no values."""
    tile = np.array([result.grid.tile_size.n_columns, result.grid.tile_size.n_rows]) / backdrop.base_px
    squares = [Rectangle((x, y), *tile) for x, y in result.masked_cells[:, ::-1] * tile - 0.5]
    axes.add_collection(PatchCollection(squares, hatch="/////", facecolor="none", edgecolor=_INK, linewidth=0))


def _outlined(result: SlideResult) -> str:
    """Say what outlines mean, or that there are none."""
    if not result.hotspots:
        return "no place stands out from similar tissue"
    return "outlined: high relative to similar tissue of this slide"


def _write_frame(figure: Figure, result: SlideResult) -> None:
    """Title, facts and the notice that every picture carries."""
    width, height = figure.get_size_inches()
    left, right = 0.25 / width, 1 - 0.25 / width
    n_shown = len(result.expression.genes)
    facts = (
        f"{len(result.grid):,} tiles   ·   bundle {result.bundle.bundle_id} {result.bundle.version}   ·   "
        f"{n_shown} {'gene' if n_shown == 1 else 'genes'} shown   ·   "
        f"predicted from morphology, not measured   ·   {_outlined(result)}"
        + ("   ·   hatched: tissue without values" if len(result.masked_cells) else "")
    )
    figure.text(left, 1 - 0.35 / height, "Predicted relative mRNA expression", fontsize=16, color=_INK, weight="bold",
                va="center")  # fmt: skip
    figure.text(left, 1 - 0.68 / height, facts, fontsize=9, color=_MUTED, va="center")
    band = Rectangle((0, 0), 1, 0.38 / height, transform=figure.transFigure, facecolor="#fdf1d6", edgecolor="none")
    figure.add_artist(band)
    figure.text(left, 0.19 / height, RESEARCH_USE_ONLY, fontsize=10, color=_NOTICE, weight="bold", va="center")
    if result.warnings:
        more = f" (+{len(result.warnings) - 1} more)" if len(result.warnings) > 1 else ""
        figure.text(right, 0.19 / height, f"{result.warnings[0]}{more}", fontsize=8, color=_NOTICE, va="center",
                    ha="right")  # fmt: skip
