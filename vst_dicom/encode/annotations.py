"""Tiles and hotspots as Microscopy Bulk Simple Annotations (PS3.3 A.87)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from vst_dicom.dicom import codes
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.expression import PanelGene
from vst_dicom.domain.forms import Encoding
from vst_dicom.domain.result import Hotspot, SlideResult
from vst_dicom.encode import colors
from vst_dicom.encode.annotations_check import MAX_ITEMS, check_annotations
from vst_dicom.encode.colored_genes import choose_colored_genes
from vst_dicom.encode.objects import ResultObject
from vst_dicom.encode.outlines import corners_to_slide_mm, hotspots_by_gene, tile_corners_px
from vst_dicom.encode.provenance import (
    ANNOTATIONS,
    algorithm_identification,
    describe_content,
    leave_laterality_unknown,
    place_in_frame_of_reference,
    plain,
    reference,
    referenced_series,
    require_shown_genes,
    result_uid,
    start_object,
)


def annotation_objects(source: SourceSlide, result: SlideResult, encoding: Encoding) -> list[ResultObject]:
    """Bulk Annotations of a result; none where no gene is shown."""
    if not result.expression.genes:
        return []
    return [
        ResultObject(
            ANNOTATIONS,
            lambda: encode_annotations(source, result, encoding.colored_genes),
            lambda dataset: check_annotations(dataset, source, result, encoding.colored_genes),
        )
    ]


def encode_annotations(source: SourceSlide, result: SlideResult, genes: Sequence[str] | None = None) -> Dataset:
    """Encode tiles as colored rectangles, by quintile of predicted expression, and hotspots as polygons.

    Viewers color annotations by group, not by value; so each gene's tiles are split into quintiles, and these into
    groups of at most `MAX_ITEMS`. Every rectangle carries the predicted value of its gene and, where there are
    prediction intervals, the half width of that value's interval. Coordinates are three-dimensional, in millimeters
    in the slide's frame of reference: with two-dimensional ones ``dciodvfy`` reports an error in every group.

    Parameters
    ----------
    source
        The slide.
    result
        Its predictions.
    genes
        Symbols of the genes to color tiles by; by default the few with the best evidence.

    Returns
    -------
    Dataset
        Microscopy Bulk Simple Annotations without file meta information.

    Raises
    ------
    BundleError
        If the result has no gene to show.
    UsageError
        If a symbol names no shown gene.
    """
    require_shown_genes(result)
    dataset = start_object(source, result, ANNOTATIONS)
    place_in_frame_of_reference(dataset, source)
    leave_laterality_unknown(dataset)
    describe_content(dataset, "EXPRESSION")
    dataset.AnnotationCoordinateType = "3D"
    dataset.ReferencedImageSequence = [reference(instance) for instance in source.instances]
    dataset.ReferencedSeriesSequence = [referenced_series(source)]
    groups = []
    for index in choose_colored_genes(result, genes):
        groups += _tile_groups(source, result, index)
    for rank, (gene, hotspots) in enumerate(hotspots_by_gene(result)):
        groups.append(_hotspot_group(source, result, gene, hotspots, colors.HOTSPOTS[rank % len(colors.HOTSPOTS)]))
    for number, group in enumerate(groups, start=1):
        group.AnnotationGroupNumber = number
        group.AnnotationGroupUID = result_uid(source, result, ANNOTATIONS.name, "group", str(number))
    dataset.AnnotationGroupSequence = groups
    return dataset


def _tile_groups(source: SourceSlide, result: SlideResult, index: int) -> list[Dataset]:
    panel_gene, values = result.expression.genes[index], result.expression.values[:, index]
    symbol = panel_gene.gene.symbol
    corners = corners_to_slide_mm(source.plane, tile_corners_px(result.grid)).reshape(-1, 4, 3)
    groups = []
    for quintile, tiles in enumerate(quintiles(values), start=1):
        for start in range(0, len(tiles), MAX_ITEMS):
            part = tiles[start : start + MAX_ITEMS]
            least, most = values[tiles].min(), values[tiles].max()
            group = _group(
                result,
                f"{symbol} quintile {quintile}: {least:.3g} to {most:.3g}",
                codes.for_gene(codes.TILE_IN_RANGE, panel_gene.gene, f"Predicted {symbol} expression"),
                colors.QUINTILES[quintile - 1],
            )
            group.GraphicType = "RECTANGLE"
            _set_points(group, corners[part].reshape(-1, 3), len(part))
            unit = codes.UNIT_OF_EXPRESSION
            group.MeasurementsSequence = [_measurements(codes.expression_of(panel_gene.gene), unit, values[part])]
            if result.half_width is not None:
                half_width = result.half_width[part, index]
                group.MeasurementsSequence.append(_measurements(codes.INTERVAL_HALF_WIDTH, unit, half_width))
            groups.append(group)
    return groups


def quintiles(values: NDArray[np.float32]) -> list[NDArray[np.int64]]:
    """Split tiles into fifths by value, lowest first; tiles of equal value stay together, so a fifth may be missing.

    Parameters
    ----------
    values
        One per tile, shape ``(n_tiles,)``.

    Returns
    -------
    list
        Indices of the tiles of each fifth, in ascending order.
    """
    limits = np.quantile(values, [0.2, 0.4, 0.6, 0.8])
    fifth = np.searchsorted(limits, values, side="left")
    return [np.flatnonzero(fifth == number) for number in range(5)]


def _hotspot_group(
    source: SourceSlide, result: SlideResult, panel_gene: PanelGene, hotspots: list[Hotspot], color: colors.RGB
) -> Dataset:
    """Outer outlines of a gene's hotspots; holes are left to the segmentation, since these polygons have none."""
    gene = panel_gene.gene
    label = f"High predicted {gene.symbol} expression"
    group = _group(result, label, codes.for_gene(codes.HIGH_EXPRESSION_REGION, gene, label), color)
    group.GraphicType = "POLYGON"
    outlines = [corners_to_slide_mm(source.plane, hotspot.outlines_px[0]) for hotspot in hotspots]
    _set_points(group, np.concatenate(outlines), len(hotspots))
    numbers_per_point = 2 if "CommonZCoordinateValue" in group else 3
    lengths = [len(outline) * numbers_per_point for outline in outlines]
    group.LongPrimitivePointIndexList = (np.cumsum([0, *lengths[:-1]]) + 1).astype("<i4").tobytes()
    group.MeasurementsSequence = [
        _measurements(codes.AREA, codes.SQUARE_MILLIMETER, np.array([hotspot.area_mm2 for hotspot in hotspots])),
        _measurements(
            codes.expression_of(gene), codes.UNIT_OF_EXPRESSION, np.array([hotspot.mean for hotspot in hotspots])
        ),
        _measurements(codes.GI_STAR, codes.NO_UNITS, np.array([hotspot.z for hotspot in hotspots])),
    ]
    return group


def _group(result: SlideResult, label: str, kind: codes.Code, color: colors.RGB) -> Dataset:
    group = Dataset()
    group.AnnotationGroupLabel = plain(label)
    group.AnnotationGroupGenerationType = "AUTOMATIC"
    group.AnnotationGroupAlgorithmIdentificationSequence = [algorithm_identification(result.bundle)]
    group.AnnotationPropertyCategoryCodeSequence = [codes.SPATIAL_CONCEPT.to_item()]
    group.AnnotationPropertyTypeCodeSequence = [kind.to_item()]
    group.AnnotationAppliesToAllOpticalPaths = "YES"
    group.AnnotationAppliesToAllZPlanes = "NO"
    group.RecommendedDisplayCIELabValue = colors.to_cielab_value(color)
    return group


def _set_points(group: Dataset, points: NDArray[np.float64], n_annotations: int) -> None:
    """Add coordinates; z once, where all points lie in one plane parallel to the slide (PS3.3 C.37.1.2)."""
    group.NumberOfAnnotations = n_annotations
    if (points[:, 2] == points[0, 2]).all():
        group.CommonZCoordinateValue = float(points[0, 2])
        points = points[:, :2]
    group.DoublePointCoordinatesData = points.astype("<f8").tobytes()


def _measurements(name: codes.Code, unit: codes.Code, values: NDArray[np.floating]) -> Dataset:
    """One value per annotation of the group."""
    stored, item = Dataset(), Dataset()
    stored.FloatingPointValues = values.astype("<f4").tobytes()
    item.ConceptNameCodeSequence = [name.to_item()]
    item.MeasurementUnitsCodeSequence = [unit.to_item()]
    item.MeasurementValuesSequence = [stored]
    return item
