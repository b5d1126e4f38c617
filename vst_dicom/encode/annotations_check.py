"""Reading annotations back, and comparing every outline and every value of them with the result."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from vst_dicom.dicom import codes
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.expression import Gene
from vst_dicom.domain.result import SlideResult
from vst_dicom.encode import colors
from vst_dicom.encode.colored_genes import choose_colored_genes
from vst_dicom.encode.objects import require
from vst_dicom.encode.outlines import corners_to_slide_mm, hotspots_by_gene, tile_corners_px

MAX_ITEMS: Final = 1000
"""A viewer draws larger groups as clusters until the user zooms in."""

_KINDS: Final = {"RECTANGLE": codes.TILE_IN_RANGE, "POLYGON": codes.HIGH_EXPRESSION_REGION}
"""What may be drawn; a viewer fails on points."""


@dataclass(frozen=True, eq=False)
class _Group:
    """A group as it was read.

    Parameters
    ----------
    outlines
        Corners x, y, z of each annotation, each of shape ``(n_points, 3)``.
    values
        By code value of the quantity, each of shape ``(n_annotations,)``.
    color
        Recommended Display CIELab Value (0062,000D).
    """

    outlines: list[NDArray[np.float64]]
    values: dict[str, NDArray[np.float32]]
    color: list[int]


def check_annotations(
    dataset: Dataset, source: SourceSlide, result: SlideResult, symbols: Sequence[str] | None
) -> None:
    """Compare annotations with the result that they were made from.

    Parameters
    ----------
    dataset
        The annotations, as read back.
    source, result
        The slide, and what was found on it.
    symbols
        Of the genes whose tiles are drawn; the default choice if None.

    Raises
    ------
    EncodingError
        If an outline or a value differs, is missing, or is there twice.
    """
    groups = list(dataset.AnnotationGroupSequence)
    require([group.AnnotationGroupNumber for group in groups] == list(range(1, len(groups) + 1)), "misnumbers groups")
    require(len({group.AnnotationGroupUID for group in groups}) == len(groups), "gives two groups one UID")
    found: dict[tuple[str, str], list[_Group]] = {}
    for group in groups:
        (kind,) = group.AnnotationPropertyTypeCodeSequence
        found.setdefault((str(group.GraphicType), str(kind.CodeValue)), []).append(_read(group))
    wanted: set[tuple[str, str]] = set()
    for index in choose_colored_genes(result, symbols):
        gene = result.expression.genes[index].gene
        key = _key("RECTANGLE", gene)
        wanted.add(key)
        _check_tiles(found.get(key, []), source, result, index)
    for rank, (panel_gene, hotspots) in enumerate(hotspots_by_gene(result)):
        gene, color = panel_gene.gene, colors.to_cielab_value(colors.HOTSPOTS[rank % len(colors.HOTSPOTS)])
        key = _key("POLYGON", gene)
        wanted.add(key)
        expected = {
            codes.AREA.value: [hotspot.area_mm2 for hotspot in hotspots],
            codes.expression_of(gene).value: [hotspot.mean for hotspot in hotspots],
            codes.GI_STAR.value: [hotspot.z for hotspot in hotspots],
        }
        (group,) = found.get(key) or [_Group([], {}, [])]
        outlines = [corners_to_slide_mm(source.plane, hotspot.outlines_px[0]) for hotspot in hotspots]
        same = len(group.outlines) == len(outlines) and all(map(np.array_equal, group.outlines, outlines))
        require(same, f"outlines other hotspots of {gene.symbol}")
        require(group.color == color, f"colors hotspots of {gene.symbol} wrongly")
        require(_equal(group.values, expected), f"states other numbers for the hotspots of {gene.symbol}")
    require(set(found) == wanted, "draws what the result does not have")


def _key(shape: str, gene: Gene) -> tuple[str, str]:
    return shape, codes.for_gene(_KINDS[shape], gene, "").value


def _check_tiles(groups: list[_Group], source: SourceSlide, result: SlideResult, index: int) -> None:
    """Hold that each tile is there once, at its place, with its value, and in the color of its fifth."""
    gene, values = result.expression.genes[index].gene, result.expression.values[:, index]
    require(max((len(group.outlines) for group in groups), default=0) <= MAX_ITEMS, "has a group too large to be drawn")
    expected = {codes.expression_of(gene).value: values}
    if result.half_width is not None:
        expected[codes.INTERVAL_HALF_WIDTH.value] = result.half_width[:, index]
    complete = all(set(group.values) == set(expected) for group in groups)
    require(complete, f"has other quantities than it should for {gene.symbol}")
    outlines = [outline.ravel() for group in groups for outline in group.outlines]
    require(all(outline.shape == (12,) for outline in outlines), f"draws no rectangles for {gene.symbol}")
    require(len(outlines) == len(values), f"has another number of tiles for {gene.symbol}")
    stated = [np.concatenate([group.values[name] for group in groups]) for name in expected]
    corners = corners_to_slide_mm(source.plane, tile_corners_px(result.grid)).reshape(-1, 12)
    same = np.array_equal(
        _sorted(np.column_stack([np.array(outlines), *stated])), _sorted(np.column_stack([corners, *expected.values()]))
    )
    require(same, f"differs for {gene.symbol}")
    limits = np.quantile(values, [0.2, 0.4, 0.6, 0.8])
    for group in groups:
        fifths = np.unique(np.searchsorted(limits, group.values[codes.expression_of(gene).value]))
        right = len(fifths) == 1 and group.color == colors.to_cielab_value(colors.QUINTILES[int(fifths[0])])
        require(right, f"colors tiles of {gene.symbol} wrongly")


def _read(group: Dataset) -> _Group:
    """Read coordinates and values (PS3.3 C.37.1.2), by the standard rather than by how they were written."""
    require(group.GraphicType in _KINDS, f"draws {group.GraphicType}")
    flat = np.frombuffer(group.DoublePointCoordinatesData, dtype="<f8")
    n = int(group.NumberOfAnnotations)
    common = group.get("CommonZCoordinateValue")
    n_numbers = 3 if common is None else 2
    if group.GraphicType == "RECTANGLE":
        parts = np.split(flat, n)
    else:
        starts = np.frombuffer(group.LongPrimitivePointIndexList, dtype="<i4").astype(np.int64) - 1
        require(len(starts) == n and starts[0] == 0, "splits outlines wrongly")
        parts = np.split(flat, starts[1:])
    outlines = [part.reshape(-1, n_numbers) for part in parts]
    if common is not None:
        outlines = [np.column_stack([outline, np.full(len(outline), common)]) for outline in outlines]
    values = {}
    for item in group.get("MeasurementsSequence", ()):
        (name,) = item.ConceptNameCodeSequence
        (stored,) = item.MeasurementValuesSequence
        require("AnnotationIndexList" not in stored, "measures only some annotations")
        values[str(name.CodeValue)] = np.frombuffer(stored.FloatingPointValues, dtype="<f4")
        require(len(values[str(name.CodeValue)]) == n, "has another number of values than of annotations")
    return _Group(outlines, values, [int(part) for part in group.RecommendedDisplayCIELabValue])


def _equal(found: dict[str, NDArray[np.float32]], expected: dict[str, list[float]]) -> bool:
    return set(found) == set(expected) and all(
        np.array_equal(found[name], np.array(values, dtype=np.float32)) for name, values in expected.items()
    )


def _sorted(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    ordered: NDArray[np.float64] = rows[np.lexsort(rows.T)]
    return ordered
