"""What the files of a result state, read with pydicom, h5py, json and the standard's formulas: none of our own code.

Places are x, y in millimeters in the slide's frame of reference, shape ``(n, 2)``.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy.spatial import cKDTree

PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
ANNOTATIONS = "1.2.840.10008.5.1.4.1.1.91.1"
REPORT = "1.2.840.10008.5.1.4.1.1.88.34"

NEAR_MM = 2e-6
"""Two nanometers: what decimal strings of 16 characters may lose over a slide, twice."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Values:
    """Values at places, shape ``(n,)``."""

    places: Array
    values: Array

    def at(self, places: Array) -> Array:
        """Values at the same places in another order; fails where one is missing or too many."""
        distance, index = cKDTree(self.places).query(places)
        assert len(places) == len(self.places)
        assert len(set(index.tolist())) == len(places)
        assert distance.max() < NEAR_MM, distance.max()
        return self.values[index]


def objects(folder: Path, sop_class_uid: str) -> list[Dataset]:
    """DICOM objects of one class."""
    found = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
    return [dataset for dataset in found if dataset.SOPClassUID == sop_class_uid]


def to_mm(dataset: Dataset, x: Array, y: Array) -> Array:
    """Positions of pixel centers, counted from 0, of a total pixel matrix (PS3.3 C.7.6.2.1.1, C.8.12.4)."""
    origin = dataset.TotalPixelMatrixOriginSequence[0]
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    row_mm, column_mm = (float(distance) for distance in measures.PixelSpacing)
    along_row, along_column = np.array(dataset.ImageOrientationSlide, dtype=float).reshape(2, 3)
    start = np.array([origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem], dtype=float)
    steps = np.outer(x, along_row[:2] * column_mm) + np.outer(y, along_column[:2] * row_mm)
    return np.asarray(start + steps, dtype=float)


def frames(dataset: Dataset) -> Iterator[tuple[Dataset, Array, NDArray[np.generic]]]:
    """Functional groups, places of all pixels of the total pixel matrix, and their stored values, frame by frame."""
    stored = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    for groups, pixels in zip(dataset.PerFrameFunctionalGroupsSequence, stored, strict=True):
        position = groups.PlanePositionSlideSequence[0]
        top = position.RowPositionInTotalImagePixelMatrix - 1
        left = position.ColumnPositionInTotalImagePixelMatrix - 1
        rows, columns = np.mgrid[: dataset.Rows, : dataset.Columns]
        inside = (rows + top < dataset.TotalPixelMatrixRows) & (columns + left < dataset.TotalPixelMatrixColumns)
        assert not pixels[~inside].any()
        places = to_mm(dataset, (columns + left)[inside], (rows + top)[inside])
        corner = [position.XOffsetInSlideCoordinateSystem, position.YOffsetInSlideCoordinateSystem]
        np.testing.assert_allclose(places[0], np.array(corner, dtype=float), atol=NEAR_MM)
        yield groups, places, pixels[inside]


def map_values(dataset: Dataset) -> dict[str, tuple[Values, float]]:
    """Real world values of each channel of a Parametric Map by its label, and half of a step of the stored values."""
    maps = {}
    for groups, places, stored in frames(dataset):
        (mapping,) = groups.RealWorldValueMappingSequence
        first, last = mapping.RealWorldValueFirstValueMapped, mapping.RealWorldValueLastValueMapped
        mapped = (stored >= first) & (stored <= last)
        values = stored[mapped] * float(mapping.RealWorldValueSlope) + float(mapping.RealWorldValueIntercept)
        maps[str(mapping.LUTLabel)] = Values(places[mapped], values), float(mapping.RealWorldValueSlope) / 2
    return maps


def segments(dataset: Dataset) -> dict[str, Values]:
    """Stored values above 0 of each segment, by its label."""
    labels = {segment.SegmentNumber: str(segment.SegmentLabel) for segment in dataset.SegmentSequence}
    found = {}
    for groups, places, stored in frames(dataset):
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        found[labels[number]] = Values(places[stored > 0], stored[stored > 0].astype(float))
    assert len(found) == len(labels)
    return found


def label_map(dataset: Dataset) -> dict[str, Array]:
    """Places of each segment of a label map, by its label."""
    labels = {segment.SegmentNumber: str(segment.SegmentLabel) for segment in dataset.SegmentSequence}
    ((_, places, stored),) = frames(dataset)
    assert set(np.unique(stored).tolist()) - {0} == set(labels)
    return {label: places[stored == number] for number, label in labels.items()}


@dataclass(frozen=True, eq=False)
class Annotation:
    """One annotation: its corners and its measurements by name."""

    points: Array
    numbers: dict[str, float]


def annotations(dataset: Dataset, graphic_type: str) -> dict[str, list[Annotation]]:
    """Annotations of one graphic type by the meaning of their property type (PS3.3 C.37.1.2)."""
    assert dataset.AnnotationCoordinateType == "3D"
    found: dict[str, list[Annotation]] = {}
    for group in dataset.AnnotationGroupSequence:
        if group.GraphicType != graphic_type:
            continue
        n_axes = 2 if "CommonZCoordinateValue" in group else 3
        numbers = np.frombuffer(group.DoublePointCoordinatesData, dtype="<f8")
        starts = [4 * n_axes * index for index in range(group.NumberOfAnnotations)]
        if graphic_type == "POLYGON":
            starts = (np.frombuffer(group.LongPrimitivePointIndexList, dtype="<i4") - 1).tolist()
        measured = {
            str(item.ConceptNameCodeSequence[0].CodeMeaning): np.frombuffer(
                item.MeasurementValuesSequence[0].FloatingPointValues, dtype="<f4"
            )
            for item in group.MeasurementsSequence
        }
        of_kind = found.setdefault(str(group.AnnotationPropertyTypeCodeSequence[0].CodeMeaning), [])
        for index, part in enumerate(np.split(numbers, starts[1:])):
            own = {name: float(values[index]) for name, values in measured.items()}
            of_kind.append(Annotation(part.reshape(-1, n_axes)[:, :2], own))
    return found


def report_regions(dataset: Dataset) -> dict[str, tuple[Array, dict[str, float]]]:
    """Polygon and numbers of each measurement group of a report, by its tracking identifier (TID 1410)."""
    found = {}
    for group in _items(dataset, "Measurement Group"):
        (tracking,) = (str(item.TextValue) for item in _items(group, "Tracking Identifier"))
        (region,) = (item for item in group.ContentSequence if item.ValueType == "SCOORD3D")
        assert region.GraphicType == "POLYGON"
        numbers = {
            str(item.ConceptNameCodeSequence[0].CodeMeaning): float(item.MeasuredValueSequence[0].NumericValue)
            for item in group.ContentSequence
            if item.ValueType == "NUM"
        }
        found[tracking] = np.array(region.GraphicData, dtype=float).reshape(-1, 3)[:, :2], numbers
    return found


def _items(item: Dataset, meaning: str) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", ()):
        if child.get("ConceptNameCodeSequence") and child.ConceptNameCodeSequence[0].CodeMeaning == meaning:
            yield child
        else:
            yield from _items(child, meaning)


def geojson(
    path: Path, slide: Dataset
) -> tuple[dict[str, Values], dict[str, list[Array]], dict[str, dict[str, float]]]:
    """Measurements of tiles by name, rings of each annotation in millimeters, and its numbers, by its name."""
    centers, measured, rings, numbers = [], [], {}, {}
    for feature in json.loads(path.read_text())["features"]:
        properties = feature["properties"]
        corners = [np.array(ring, dtype=float)[:-1] for ring in feature["geometry"]["coordinates"]]
        if properties["objectType"] == "tile":
            assert corners[0].shape == (4, 2)
            centers.append(corners[0].mean(axis=0) - 0.5)
            measured.append(properties["measurements"])
        else:
            rings[properties["name"]] = [to_mm(slide, *(ring - 0.5).T) for ring in corners]
            numbers[properties["name"]] = properties["measurements"]
    places = to_mm(slide, *np.array(centers).T)
    tiles = {name: Values(places, np.array([one[name] for one in measured])) for name in measured[0]}
    return tiles, rings, numbers


@dataclass(frozen=True, eq=False)
class Table:
    """An AnnData file: columns by gene, in the order of the tiles."""

    places: Array
    spatial_px: Array
    cells: NDArray[np.int64]
    genes: dict[str, Array]
    half_widths: dict[str, Array]
    obs: dict[str, NDArray[np.generic]]
    masked_cells: NDArray[np.int64]
    tile_size_px: tuple[int, int]
    picture: NDArray[np.uint8]
    picture_factor: float


def read_table(path: Path) -> Table:
    """Read an AnnData file as plain HDF5."""
    with h5py.File(path) as file:
        symbols = [name.decode() for name in file["var"][file["var"].attrs["_index"]][()]]
        obs = {name: _column(file["obs"][name]) for name in file["obs"] if name != file["obs"].attrs["_index"]}
        (library,) = file["uns/spatial"].values()
        half_widths = file["layers"]["interval_half_width"][()]
        rows, columns = file["uns/vst_dicom/tile_size_px"][()].tolist()
        return Table(
            places=np.stack([obs["x_mm"], obs["y_mm"]], axis=1).astype(float),
            spatial_px=file["obsm/spatial"][()],
            cells=np.stack([obs["row"], obs["column"]], axis=1).astype(np.int64),
            genes=dict(zip(symbols, file["X"][()].astype(float).T, strict=True)),
            half_widths=dict(zip(symbols, half_widths.astype(float).T, strict=True)),
            obs=obs,
            masked_cells=file["uns/vst_dicom/masked_cells"][()],
            tile_size_px=(rows, columns),
            picture=library["images/hires"][()],
            picture_factor=float(library["scalefactors/tissue_hires_scalef"][()]),
        )


def _column(stored: h5py.Dataset | h5py.Group) -> NDArray[np.generic]:
    if isinstance(stored, h5py.Group):
        names = np.array([name.decode() for name in stored["categories"][()]])
        return np.asarray(names[stored["codes"][()]])
    return np.asarray(stored[()])
