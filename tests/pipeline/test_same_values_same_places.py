"""All files of one run state the same values at the same places, whatever the slide's geometry.

Slides are painted, processed by the whole main path with a stand-in for the model, and every file is read back with
code that is not ours (`tests.pipeline.stated`).
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from math import cos, pi, sin
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from shapely import Polygon, contains_xy

from tests.pipeline import stated
from tests.pipeline.brightness import BrightnessPredictor
from tests.results import make_gene
from tests.wsi_builder import Wsi, write_wsi
from vst_dicom.domain.expression import GeneStatus
from vst_dicom.domain.forms import Encoding
from vst_dicom.domain.signature import PanelSignature, ScoredGene, Scoring
from vst_dicom.domain.tiles import TileBatch, TileGrid
from vst_dicom.pipeline.process_slide import Choices, process_slide
from vst_dicom.predict.predictor import Prediction
from vst_dicom.slide.opening import open_slide

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GLASS, TISSUE, HOT = (240, 240, 240), (150, 85, 130), (205, 85, 130)
HOT_ROWS, HOT_COLUMNS, MASKED = slice(8, 14), slice(6, 12), (11, 9)
GENES = "RGB"


@dataclass(frozen=True)
class Geometry:
    """How a slide lies: spacing in mm, row then column; cosines; mm of the first pixel; its grid.

    `last` is the part of the last row and column of tiles that lies on the slide.
    """

    spacing_mm: tuple[float, float]
    orientation: tuple[float, float, float, float, float, float]
    origin_mm: tuple[float, float]
    n_rows: int
    n_columns: int
    last: tuple[float, float]

    @property
    def tile(self) -> tuple[int, int]:
        return round(0.112 / self.spacing_mm[0]), round(0.112 / self.spacing_mm[1])

    @property
    def size(self) -> tuple[int, int]:
        rows, columns = self.tile
        return round((self.n_rows - 1 + self.last[0]) * rows), round((self.n_columns - 1 + self.last[1]) * columns)


def turned(degrees: float) -> tuple[float, float, float, float, float, float]:
    """Cosines of a matrix turned on the glass, as decimal strings hold them."""
    x, y = round(cos(degrees * pi / 180), 12), round(sin(degrees * pi / 180), 12)
    return (x, y, 0, -y, x, 0)


GEOMETRIES = {
    "as scanners write it": Geometry((0.00095, 0.00095), (0, -1, 0, -1, 0, 0), (20.5, 41.25), 27, 25, (1, 1)),
    "x not y, quarter turn, cropped": Geometry((0.00099, 0.0008), turned(90), (3.25, 17.5), 25, 27, (0.9, 0.75)),
    "y not x, askew by 33 degrees": Geometry((0.00085, 0.000999), turned(33), (-7.125, 12.0625), 27, 25, (0.7, 1)),
    "mirrored, from the corner of the glass": Geometry(
        (0.0009, 0.00095), (1, 0, 0, 0, -1, 0), (0, 0), 24, 28, (1, 0.8)
    ),
}


class Model(BrightnessPredictor):
    """Predicts the mean color of a tile with intervals, classes, distances, and a signature; dark tiles are strange."""

    def __init__(self) -> None:
        super().__init__()
        self.bundle.manifest.distribution = SimpleNamespace(refuse_share=0.2)
        self.bundle.manifest.uncertainty = SimpleNamespace(describe=lambda: "90% intervals, nominal")
        genes = tuple(ScoredGene(make_gene(symbol).gene, 1.0, 100.0, 25.0) for symbol in GENES)
        self.bundle.signatures = (
            PanelSignature(
                "all", "All colors", Scoring.MEAN_Z, "none", "", 3, genes, GeneStatus.EXPLORATORY, "it holds"
            ),
        )

    def predict(self, batches: Iterable[TileBatch], grid: TileGrid, progress: Callable[[int, int], None]) -> Prediction:
        expression = super().predict(batches, grid, progress).expression
        blue = expression.values[:, 2]
        return Prediction(
            expression,
            np.where(blue < 100, 1.5, blue / 300).astype(np.float32),
            (5 + expression.values / 50).astype(np.float32),
            (grid.cells[:, 0] > grid.size.n_rows - 5).astype(np.int8),
        )


def paint(geometry: Geometry) -> np.ndarray:
    """Tissue that differs from tile to tile, glass at the top and the left, a hot square with a dark tile within."""
    random = np.random.default_rng(7)
    colors = TISSUE + random.normal(0, 4, (geometry.n_rows, geometry.n_columns, 3))
    colors[HOT_ROWS, HOT_COLUMNS] += np.subtract(HOT, TISSUE)
    colors[MASKED] /= 2
    colors[0], colors[:, 0], colors[-1, -1] = GLASS, GLASS, GLASS
    rows, columns = geometry.tile
    whole = np.repeat(np.repeat(colors, rows, axis=0), columns, axis=1)[: geometry.size[0], : geometry.size[1]]
    grain = random.normal(0, 12, (*geometry.size, 1))
    tissue = (whole != np.array(GLASS)).any(axis=2, keepdims=True)
    return np.clip(whole + grain * tissue, 0, 255).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Run:
    """A slide and the folder of its result."""

    geometry: Geometry
    image: np.ndarray
    slide: Dataset
    folder: Path

    @cached_property
    def table(self) -> stated.Table:
        return stated.read_table(self.folder / "expression.h5ad")

    @cached_property
    def geojson(self) -> tuple[dict[str, stated.Values], dict[str, list[np.ndarray]], dict[str, dict[str, float]]]:
        return stated.geojson(self.folder / "tiles.geojson", self.slide)

    @cached_property
    def annotations(self) -> Dataset:
        return self.one(stated.ANNOTATIONS)

    @cached_property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return found

    @cached_property
    def gene_maps(self) -> dict[str, tuple[stated.Values, float]]:
        return stated.map_values(pydicom.dcmread(self.folder / "parametric-map.dcm"))

    @cached_property
    def binary_segments(self) -> dict[str, stated.Values]:
        found = [one for one in stated.objects(self.folder, stated.SEGMENTATION) if one.SegmentationType == "BINARY"]
        (dataset,) = found
        return stated.segments(dataset)

    def one(self, sop_class_uid: str) -> Dataset:
        (dataset,) = stated.objects(self.folder, sop_class_uid)
        return dataset

    def in_summary(self, symbol: str) -> dict[str, Any]:
        return next(gene for gene in self.summary["genes"] if gene["symbol"] == symbol)

    def cells_mm(self, cells: np.ndarray) -> np.ndarray:
        """Centers of grid cells, from the slide's header."""
        rows, columns = self.geometry.tile
        return stated.to_mm(self.slide, (cells[:, 1] + 0.5) * columns - 0.5, (cells[:, 0] + 0.5) * rows - 0.5)


@pytest.fixture(scope="module", params=GEOMETRIES.values(), ids=GEOMETRIES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    geometry: Geometry = request.param
    folder, image = tmp_path_factory.mktemp("slide"), paint(geometry)

    def describe(dataset: Dataset) -> None:
        dataset.ImageOrientationSlide = list(geometry.orientation)
        dataset.SpecimenDescriptionSequence = [Dataset()]
        dataset.SpecimenDescriptionSequence[0].SpecimenIdentifier = "S1-A"
        dataset.SpecimenDescriptionSequence[0].SpecimenUID = "2.25.1001"
        dataset.SpecimenDescriptionSequence[0].IssuerOfTheSpecimenIdentifierSequence = []
        dataset.SpecimenDescriptionSequence[0].SpecimenPreparationSequence = []

    wsi = Wsi([image], tile=(512, 512), spacing_mm=geometry.spacing_mm, origin_mm=geometry.origin_mm, change=describe)
    path = write_wsi(folder / "slide.dcm", wsi)
    with open_slide([path]) as slide:
        choices = Choices(encoding=Encoding(label_map=True, colored_genes=tuple(GENES)))
        process_slide(slide, Model(), folder / "out", choices=choices, now=NOW, progress=lambda *_: None)
    return Run(geometry, image, pydicom.dcmread(path, stop_before_pixels=True), folder / "out")


def test_the_table_names_the_places_and_values_of_the_slides_own_pixels(run: Run) -> None:
    """What all others are compared with: tile centers from the slide's header, values from its pixels."""
    table, (rows, columns) = run.table, run.geometry.tile

    assert table.tile_size_px == (rows, columns)
    assert len(table.places) == (run.geometry.n_rows - 1) * (run.geometry.n_columns - 1) - 2
    np.testing.assert_allclose(table.places, run.cells_mm(table.cells), atol=stated.NEAR_MM)
    np.testing.assert_allclose(table.places, stated.to_mm(run.slide, *table.spatial_px.T), atol=stated.NEAR_MM)
    for row, column in table.cells[::5]:
        piece = run.image[row * rows : (row + 1) * rows, column * columns : (column + 1) * columns]
        if piece.shape[:2] == (rows, columns):
            found = [table.genes[gene][(table.cells == (row, column)).all(axis=1)][0] for gene in GENES]
            np.testing.assert_allclose(found, piece.mean(axis=(0, 1)), atol=1)


def test_the_last_tiles_lie_there_too_where_the_slide_is_cropped(run: Run) -> None:
    last = run.table.cells.max(axis=0)

    assert last.tolist() == [run.geometry.n_rows - 1, run.geometry.n_columns - 1]


def test_the_picture_in_the_table_shows_each_tile_at_its_coordinates(run: Run) -> None:
    """As scanpy and squidpy draw it: coordinates times one scale factor are pixels of the picture."""
    picture, factor = run.table.picture, run.table.picture_factor
    whole = (run.table.cells < run.table.cells.max(axis=0)).all(axis=1)
    x, y = np.rint(run.table.spatial_px[whole] * factor).astype(int).T

    shown = np.mean([picture[y + down, x + right] for down in (-2, 0, 2) for right in (-2, 0, 2)], axis=0)

    expected = np.stack([run.table.genes[gene][whole] for gene in GENES], axis=1)
    np.testing.assert_allclose(shown, expected, atol=9)
    assert np.abs(shown - expected).mean() < 2


@pytest.mark.parametrize("gene", GENES)
def test_the_parametric_map_states_them(run: Run, gene: str) -> None:
    values, half_step = run.gene_maps[gene]

    np.testing.assert_allclose(values.at(run.table.places), run.table.genes[gene], atol=half_step + 1e-6)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        ("half-width", lambda table: [table.half_widths[gene] for gene in GENES]),
        ("signatures", lambda table: [table.obs["signature_all"]]),
        ("distance", lambda table: [table.obs["distance"]]),
    ],
)
def test_the_other_parametric_maps_state_what_the_table_has(
    run: Run, layer: str, expected: Callable[[stated.Table], list[np.ndarray]]
) -> None:
    channels = stated.map_values(pydicom.dcmread(run.folder / f"parametric-map-{layer}.dcm"))

    for (values, half_step), wanted in zip(channels.values(), expected(run.table), strict=True):
        np.testing.assert_allclose(values.at(run.table.places), wanted, atol=half_step + 1e-6)


@pytest.mark.parametrize("gene", GENES)
def test_the_annotations_state_them(run: Run, gene: str) -> None:
    tiles = stated.annotations(run.annotations, "RECTANGLE")[f"Predicted {gene} expression"]
    places = np.array([tile.points.mean(axis=0) for tile in tiles])
    for name, expected in (
        (f"Predicted {gene} mRNA expression", run.table.genes[gene]),
        ("Half width of the interval of predicted expression", run.table.half_widths[gene]),
    ):
        values = np.array([tile.numbers[name] for tile in tiles])
        np.testing.assert_array_equal(stated.Values(places, values).at(run.table.places), expected)


def test_the_rectangles_of_annotations_are_the_tiles_corner_by_corner(run: Run) -> None:
    tiles = stated.annotations(run.annotations, "RECTANGLE")["Predicted G expression"]
    rows, columns = run.geometry.tile
    found = np.concatenate([tile.points for tile in tiles])
    around = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]]) - 0.5
    corners = (run.table.cells[:, None, ::-1] * (columns, rows) + around).reshape(-1, 2)
    expected = stated.to_mm(run.slide, *corners.T)

    assert found.shape == expected.shape
    order = stated.cKDTree(np.array([tile.points.mean(axis=0) for tile in tiles])).query(run.table.places)[1]
    np.testing.assert_allclose(found.reshape(-1, 4, 2)[order].reshape(-1, 2), expected, atol=stated.NEAR_MM)


@pytest.mark.parametrize("gene", GENES)
def test_the_geojson_states_them_with_their_intervals(run: Run, gene: str) -> None:
    tiles, _, _ = run.geojson

    np.testing.assert_allclose(tiles[gene].at(run.table.places), run.table.genes[gene], atol=5.1e-5)
    np.testing.assert_allclose(tiles[f"{gene} +/-"].at(run.table.places), run.table.half_widths[gene], atol=5.1e-5)


def test_the_geojson_states_signature_and_distance_as_the_table_does(run: Run) -> None:
    tiles, _, _ = run.geojson
    expected = np.mean([(run.table.genes[gene] - 100) / 25 for gene in GENES], axis=0)

    np.testing.assert_allclose(run.table.obs["signature_all"], expected, atol=1e-5)
    np.testing.assert_allclose(tiles["signature: All colors"].at(run.table.places), expected, atol=6e-5)
    distance = tiles["distance to training tissue"].at(run.table.places)
    np.testing.assert_allclose(distance, run.table.obs["distance"], atol=5.1e-5)


@pytest.mark.parametrize("gene", GENES)
def test_the_fractional_segments_show_them_scaled(run: Run, gene: str) -> None:
    found = [one for one in stated.objects(run.folder, stated.SEGMENTATION) if one.SegmentationType == "FRACTIONAL"]
    (dataset,) = found
    least, most = run.table.genes[gene].min(), run.table.genes[gene].max()

    shown = stated.segments(dataset)[f"Predicted {gene} expression"].at(run.table.places)

    values = least + (shown - 1) / (dataset.MaximumFractionalValue - 1) * (most - least)
    np.testing.assert_allclose(values, run.table.genes[gene], atol=(most - least) / 254 / 2 * 1.001)


@pytest.mark.parametrize("gene", GENES)
def test_the_summary_states_the_mean_and_the_95th_percentile_of_the_parametric_map(run: Run, gene: str) -> None:
    values, half_step = run.gene_maps[gene]
    entry = run.in_summary(gene)

    assert entry["mean"] == pytest.approx(values.values.mean(), abs=half_step + 1e-4)
    assert entry["p95"] == pytest.approx(np.percentile(values.values, 95), abs=half_step + 1e-4)
    assert run.summary["n_tiles"] == len(values.values) == len(run.table.places)


def test_masked_tissue_is_tissue_without_values(run: Run) -> None:
    tissue, masked = run.binary_segments["Tissue"], run.cells_mm(np.array([MASKED]))

    assert run.table.masked_cells.tolist() == [list(MASKED)]
    assert run.summary["tiles"]["n_masked"] == 1
    tissue.at(np.concatenate([run.table.places, masked]))
    for gene in GENES:
        assert stated.cKDTree(run.gene_maps[gene][0].places).query(masked)[0] > 0.05


def test_tissue_classes_lie_where_the_table_has_them_in_segments_label_map_and_summary(run: Run) -> None:
    labels = stated.label_map(run.one(stated.LABEL_MAP))
    classes = run.table.obs["tissue_class"]

    for name in np.unique(classes):
        own = run.table.places[classes == name]
        (label,) = (label for label in labels if label.casefold().startswith(name.split()[0].casefold()))
        run.binary_segments[label].at(own)
        stated.Values(labels[label], np.zeros(len(labels[label]))).at(own)
        assert run.summary["tissue_classes"][name] == len(own)


def test_a_hotspot_has_the_same_outline_in_annotations_report_and_geojson(run: Run) -> None:
    _, rings, _ = run.geojson
    polygons = stated.annotations(run.annotations, "POLYGON")["High predicted R expression"]
    regions = stated.report_regions(run.one(stated.REPORT))

    assert list(rings) == list(regions) == ["R hotspot 1"]
    (polygon,) = polygons
    outline, closed = rings["R hotspot 1"][0], regions["R hotspot 1"][0]
    np.testing.assert_allclose(polygon.points, outline, atol=stated.NEAR_MM)
    np.testing.assert_allclose(closed, np.concatenate([outline, outline[:1]]), atol=1e-5)  # single precision


def test_a_hotspot_holds_the_same_tiles_and_hole_in_segments_and_geojson_and_states_their_mean(run: Run) -> None:
    _, rings, numbers = run.geojson
    outer, *holes = rings["R hotspot 1"]
    shape = Polygon(outer, holes)
    inside = contains_xy(shape, *run.table.places.T)
    (hotspot,) = run.summary["hotspots"]
    (polygon,) = stated.annotations(run.annotations, "POLYGON")["High predicted R expression"]
    _, reported = stated.report_regions(run.one(stated.REPORT))["R hotspot 1"]
    mean = run.table.genes["R"][inside].mean()

    run.binary_segments["High predicted R expression"].at(run.table.places[inside])
    assert len(holes) == 1
    assert Polygon(holes[0]).contains(Polygon(outer).intersection(Polygon(holes[0])).centroid)
    assert contains_xy(Polygon(holes[0]), *run.cells_mm(np.array([MASKED])).T).all()
    assert inside.sum() == hotspot["n_tiles"]
    for area in (
        hotspot["area_mm2"],
        numbers["R hotspot 1"]["Area mm^2"],
        polygon.numbers["Area"],
        reported["Area"],
    ):
        assert area == pytest.approx(shape.area, abs=1e-4)
    expression = "Predicted R mRNA expression"
    for stated_mean in (
        hotspot["mean"],
        numbers["R hotspot 1"]["Mean R"],
        polygon.numbers[expression],
        reported[expression],
    ):
        assert stated_mean == pytest.approx(mean, abs=1e-3)
