"""The whole main path on slides whose answer is known, with a stand-in for the model."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import anndata
import numpy as np
import pydicom
import pytest
from PIL import Image

from tests.dicom.test_specimen import STAINING, header, step
from tests.pipeline.brightness import BrightnessPredictor
from tests.programs import dcentvfy_errors, dciodvfy_errors, needs_dcentvfy, needs_dciodvfy
from tests.wsi_builder import Wsi, write_wsi
from vst_dicom.domain.errors import PixelSpacingError, StainError, TissueError, UnfamiliarTissueError, UsageError
from vst_dicom.domain.forms import Encoding, ResultForm
from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.domain.tiles import TileBatch, TileGrid
from vst_dicom.pipeline.process_slide import Choices, Outcome, process_slide
from vst_dicom.predict.predictor import Prediction
from vst_dicom.slide.description import SlideDescription
from vst_dicom.slide.opening import open_slide
from vst_dicom.slide.vendor import open_vendor_slide
from vst_dicom.slide.writing import write_planned_pyramid

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PINK, DARK, GLASS = (220, 140, 190), (90, 50, 130), (240, 240, 240)
DICOM_FORMS = frozenset({ResultForm.PARAMETRIC_MAP, ResultForm.SEGMENTATION, ResultForm.ANNOTATIONS, ResultForm.REPORT})
EVERYTHING = {
    "annotations.dcm",
    "expression.h5ad",
    "gene-segmentation.dcm",
    "overview.png",
    "parametric-map.dcm",
    "report.dcm",
    "segmentation.dcm",
    "summary.json",
    "tiles.geojson",
}


def paint_slide(n_rows: int, n_columns: int) -> np.ndarray:
    """Pink tissue with a margin of glass."""
    image = np.full((n_rows, n_columns, 3), GLASS, dtype=np.uint8)
    image[n_rows // 8 : -n_rows // 8, n_columns // 8 : -n_columns // 8] = PINK
    return image


def run(slide_path: Path, out: Path, choices: Choices = Choices()) -> Outcome:  # noqa: B008 - frozen
    with open_slide([slide_path]) as slide:
        return process_slide(slide, BrightnessPredictor(), out, choices=choices, now=NOW, progress=lambda *_: None)


def decode_maps(path: Path) -> dict[str, np.ndarray]:
    """Maps by gene from a Parametric Map, as any reader of the standard would; NaN where nothing is stated."""
    dataset = pydicom.dcmread(path)
    maps = {}
    frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    for stored, item in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        mapping = item.RealWorldValueMappingSequence[0]
        values = mapping.RealWorldValueIntercept + mapping.RealWorldValueSlope * stored.astype(np.float64)
        maps[mapping.LUTLabel] = np.where(stored >= mapping.RealWorldValueFirstValueMapped, values, np.nan)
    return maps


def slide_mm(dataset: pydicom.Dataset, x: float, y: float) -> np.ndarray:
    """Position of a pixel center from DICOM attributes alone (PS3.3 C.7.6.2.1.1)."""
    origin = dataset.TotalPixelMatrixOriginSequence[0]
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    row_mm, column_mm = map(float, measures.PixelSpacing)
    cosines = np.array(dataset.ImageOrientationSlide, dtype=float)
    start = np.array([origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem], dtype=float)
    return start + x * column_mm * cosines[:2] + y * row_mm * cosines[3:5]


@pytest.fixture(scope="module")
def plain_slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A proper slide of 2500 x 2000 pixels, as the product itself writes it."""
    folder = tmp_path_factory.mktemp("slide")
    Image.fromarray(paint_slide(2000, 2500)).save(folder / "photo.png")
    description = SlideDescription(patient_id="MRN7734", patient_name="Geheim^Greta", acquired=NOW)
    spacing = PixelSpacing.from_um(0.5)
    with open_vendor_slide(folder / "photo.png", pixel_spacing=spacing, description=description, now=NOW) as photo:
        write_planned_pyramid(photo, photo.plan, folder / "dicom")
    return folder / "dicom"


@pytest.fixture(scope="module")
def plain_outcome(plain_slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Its results; tests leave them as they are."""
    return run(plain_slide, tmp_path_factory.mktemp("results") / "out")


@pytest.mark.parametrize(
    ("spacing_mm", "origin_mm", "size"),
    [
        ((0.0005, 0.0005), (20.0, 40.0), (2000, 2500)),
        ((0.0004, 0.0007), (3.25, 17.5), (2301, 1707)),
        ((0.000499, 0.000252), (0.0, 0.0), (1999, 3001)),
    ],
    ids=["plain", "x is not y, odd size", "finer x, odd size"],
)
def test_a_marked_tile_lies_at_its_place_on_the_slide(
    tmp_path: Path, spacing_mm: tuple[float, float], origin_mm: tuple[float, float], size: tuple[int, int]
) -> None:
    tile_rows, tile_columns = round(0.112 / spacing_mm[0]), round(0.112 / spacing_mm[1])
    image = paint_slide(*size)
    row, column = 4, 3
    image[row * tile_rows : (row + 1) * tile_rows, column * tile_columns : (column + 1) * tile_columns] = DARK
    path = write_wsi(tmp_path / "slide.dcm", Wsi([image], tile=(256, 256), spacing_mm=spacing_mm, origin_mm=origin_mm))

    run(path, tmp_path / "out", Choices(forms=frozenset({ResultForm.PARAMETRIC_MAP})))

    maps = decode_maps(tmp_path / "out" / "parametric-map.dcm")
    found = np.unravel_index(np.nanargmin(maps["G"]), maps["G"].shape)
    assert found == (row, column)
    assert maps["G"][found] == pytest.approx(DARK[1], abs=0.5)
    source = pydicom.dcmread(path)
    result = pydicom.dcmread(tmp_path / "out" / "parametric-map.dcm")
    marked_center = slide_mm(source, (column + 0.5) * tile_columns - 0.5, (row + 0.5) * tile_rows - 0.5)
    np.testing.assert_allclose(slide_mm(result, column, row), marked_center, atol=1e-6)


def test_every_form_of_the_contract_is_written(plain_outcome: Outcome) -> None:
    assert {path.name for path in plain_outcome.folder.iterdir()} == EVERYTHING
    assert set(plain_outcome.summary["files"]) == EVERYTHING


def test_map_annotations_table_and_summary_state_the_same_values(plain_outcome: Outcome) -> None:
    folder, result = plain_outcome.folder, plain_outcome.result
    table = anndata.read_h5ad(folder / "expression.h5ad")
    features = json.loads((folder / "tiles.geojson").read_text())["features"]
    tiles = [feature for feature in features if feature["properties"]["objectType"] == "tile"]
    maps = decode_maps(folder / "parametric-map.dcm")

    for column, gene in enumerate("RGB"):
        model = result.expression.values[:, column]
        step = (model.max() - model.min()) / 65534
        np.testing.assert_array_equal(table[:, gene].X.ravel(), model)
        in_map = maps[gene][result.grid.cells[:, 0], result.grid.cells[:, 1]]
        np.testing.assert_allclose(in_map, model, atol=max(step, 1e-4))
        stated = [tile["properties"]["measurements"][gene] for tile in tiles]
        np.testing.assert_allclose(stated, model, rtol=1e-5)
        mean = next(entry["mean"] for entry in plain_outcome.summary["genes"] if entry["symbol"] == gene)
        assert mean == pytest.approx(model.mean(), abs=1e-3)
    assert len(tiles) == len(result.grid)


def test_a_hidden_gene_appears_in_no_file_but_its_reason_in_the_summary(plain_outcome: Outcome) -> None:
    for path in plain_outcome.folder.iterdir():
        assert (b"HIDDEN" in path.read_bytes()) == (path.name == "summary.json"), path.name
    hidden = plain_outcome.summary["genes"][3]
    assert (hidden["shown"], hidden["mean"]) == (False, None)


def test_no_patient_data_in_anything_but_dicom(plain_slide: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    outcome = run(plain_slide, tmp_path / "out")

    printed = "".join(capfd.readouterr())
    assert not any(secret in printed for secret in ("Geheim", "MRN7734"))
    for path in outcome.folder.iterdir():
        content = path.read_bytes()
        if path.suffix == ".dcm":
            assert b"Geheim^Greta" in content
            assert b"MRN7734" in content
        else:
            assert not any(secret in content for secret in (b"Geheim", b"MRN7734")), path.name


def test_the_same_work_names_its_objects_alike(plain_slide: Path, plain_outcome: Outcome, tmp_path: Path) -> None:
    again = run(plain_slide, tmp_path / "again", Choices(forms=DICOM_FORMS))

    assert again.result.key == plain_outcome.result.key
    for name in ("parametric-map.dcm", "segmentation.dcm", "annotations.dcm", "report.dcm"):
        assert (again.folder / name).read_bytes() == (plain_outcome.folder / name).read_bytes(), name


def test_other_genes_are_other_objects(plain_slide: Path, plain_outcome: Outcome, tmp_path: Path) -> None:
    fewer = run(plain_slide, tmp_path / "fewer", Choices(genes=("G",), forms=DICOM_FORMS))

    assert fewer.result.key != plain_outcome.result.key
    assert list(decode_maps(fewer.folder / "parametric-map.dcm")) == ["G"]


def test_only_chosen_forms_are_written(plain_slide: Path, tmp_path: Path) -> None:
    outcome = run(plain_slide, tmp_path / "out", Choices(forms=frozenset({ResultForm.GEOJSON})))

    assert {path.name for path in outcome.folder.iterdir()} == {"tiles.geojson", "summary.json"}


def test_tiles_of_geojson_carry_only_the_genes_that_were_asked_for(plain_slide: Path, tmp_path: Path) -> None:
    forms = frozenset({ResultForm.GEOJSON})
    outcome = run(plain_slide, tmp_path / "out", Choices(forms=forms, encoding=Encoding(geojson_genes=("R",))))

    features = json.loads((outcome.folder / "tiles.geojson").read_text())["features"]
    tiles = [feature["properties"] for feature in features if feature["properties"]["objectType"] == "tile"]
    assert tiles
    assert all("R" in tile["measurements"] and "G" not in tile["measurements"] for tile in tiles)


@needs_dciodvfy
@needs_dcentvfy
def test_validators_find_no_error_in_any_object_nor_between_them_and_the_slide(
    plain_slide: Path, plain_outcome: Outcome
) -> None:
    objects = sorted(plain_outcome.folder.glob("*.dcm"))

    assert len(objects) == 5
    assert {path.name: errors for path in objects if (errors := dciodvfy_errors(path))} == {}
    assert dcentvfy_errors([*sorted(plain_slide.iterdir()), *objects]) == []


def test_an_unknown_gene_is_refused_by_name(plain_slide: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="NOSUCH"):
        run(plain_slide, tmp_path / "out", Choices(genes=("NOSUCH",)))
    assert not (tmp_path / "out").exists()


def test_a_hidden_gene_cannot_be_asked_for(plain_slide: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="HIDDEN is not shown: because"):
        run(plain_slide, tmp_path / "out", Choices(genes=("HIDDEN",)))


def test_earlier_results_stay_unless_replacing_is_asked_for(plain_slide: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(plain_slide, out, Choices(forms=DICOM_FORMS))
    before = (out / "summary.json").read_bytes()
    with pytest.raises(UsageError, match="not an empty folder"):
        run(plain_slide, out)
    assert (out / "summary.json").read_bytes() == before

    run(plain_slide, out, Choices(genes=("R",), forms=DICOM_FORMS, overwrite=True))

    assert list(decode_maps(out / "parametric-map.dcm")) == ["R"]


@pytest.mark.parametrize(
    ("color", "spacing", "error"),
    [
        (GLASS, 0.0005, TissueError),
        ((70, 130, 210), 0.0005, StainError),
        ((150, 100, 40), 0.0005, StainError),
        (PINK, 0.0011, PixelSpacingError),
    ],
    ids=["bare glass", "blue stain", "brown stain", "too coarse"],
)
def test_an_unfit_slide_is_refused_and_nothing_is_written(
    tmp_path: Path, color: tuple[int, int, int], spacing: float, error: type[Exception]
) -> None:
    image = np.full((1200, 1200, 3), GLASS, dtype=np.uint8)
    image[200:1000, 200:1000] = color
    path = write_wsi(tmp_path / "slide.dcm", Wsi([image], tile=(256, 256), spacing_mm=(spacing, spacing)))

    with pytest.raises(error):
        run(path, tmp_path / "out")

    assert [entry.name for entry in tmp_path.iterdir()] == ["slide.dcm"]


def test_a_slide_that_says_another_stain_is_refused(tmp_path: Path) -> None:
    cd8 = ("33732-9", "LN", "CD8 cells")
    specimen = header(step(STAINING, cd8))

    def stain_otherwise(dataset: pydicom.Dataset) -> None:
        dataset.SpecimenDescriptionSequence = specimen.SpecimenDescriptionSequence

    image = paint_slide(1500, 1500)
    path = write_wsi(tmp_path / "slide.dcm", Wsi([image], tile=(256, 256), change=stain_otherwise))

    with pytest.raises(StainError, match="says that it is stained"):
        run(path, tmp_path / "out")


class WaryPredictor(BrightnessPredictor):
    """Finds dark tiles unfamiliar; half widths are a tenth of the values."""

    def __init__(self) -> None:
        super().__init__()
        self.bundle.manifest.distribution = SimpleNamespace(refuse_share=0.2)
        self.bundle.manifest.uncertainty = SimpleNamespace(describe=lambda: "90% intervals, nominal")

    def predict(self, batches: Iterable[TileBatch], grid: TileGrid, progress: Callable[[int, int], None]) -> Prediction:
        expression = super().predict(batches, grid, progress).expression
        dark = expression.values[:, 1] < 120
        return Prediction(expression, np.where(dark, 1.5, 0.5).astype(np.float32), expression.values / 10)


def run_wary(tmp_path: Path, dark_tiles: Sequence[tuple[int, int]]) -> Outcome:
    random = np.random.default_rng(0)
    image = paint_slide(2000, 2500)
    tissue = (image != np.array(GLASS)).any(axis=2)
    image[tissue] = np.clip(image[tissue] + random.normal(0, 12, (int(tissue.sum()), 3)), 0, 255)
    for row, column in dark_tiles:
        image[row * 224 : (row + 1) * 224, column * 224 : (column + 1) * 224] //= 2
    path = write_wsi(tmp_path / "slide.dcm", Wsi([image], tile=(256, 256), spacing_mm=(0.0005, 0.0005)))
    with open_slide([path]) as slide:
        return process_slide(
            slide, WaryPredictor(), tmp_path / "out", choices=Choices(genes=("G",)), now=NOW, progress=lambda *_: None
        )


def test_unfamiliar_tissue_has_no_values_in_any_form_and_stays_tissue(tmp_path: Path) -> None:
    outcome = run_wary(tmp_path, [(3, 4), (5, 6)])
    folder, result, summary = outcome.folder, outcome.result, outcome.summary

    masked = [[3, 4], [5, 6]]
    assert result.masked_cells.tolist() == masked
    maps = decode_maps(folder / "parametric-map.dcm")
    segments = pydicom.dcmread(folder / "segmentation.dcm").pixel_array.reshape(-1, 9, 16)
    table = anndata.read_h5ad(folder / "expression.h5ad")
    features = json.loads((folder / "tiles.geojson").read_text())["features"]
    n_tiles = len(result.grid)
    for row, column in masked:
        assert np.isnan(maps["G"][row, column])
        assert segments[0, row, column] == 1
        assert f"{row}x{column}" not in table.obs_names
    assert np.isfinite(maps["G"]).sum() == n_tiles == segments[0].sum() - 2 == len(table) == summary["n_tiles"]
    assert sum(feature["properties"]["objectType"] == "tile" for feature in features) == n_tiles
    assert summary["tiles"]["n_masked"] == 2
    assert f"2 of {n_tiles + 2} tiles have no values" in " ".join(summary["warnings"])
    np.testing.assert_allclose(table.layers["interval_half_width"], table.X / 10)
    assert summary["genes"][1]["interval_half_width"] == pytest.approx(np.median(table.X) / 10, abs=1e-4)
    assert summary["intervals"] == "90% intervals, nominal"


def test_a_slide_with_too_much_unfamiliar_tissue_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(UnfamiliarTissueError, match="cannot be trusted"):
        run_wary(tmp_path, [(row, column) for row in range(2, 6) for column in range(2, 7)])

    assert [entry.name for entry in tmp_path.iterdir()] == ["slide.dcm"]


def test_a_bundle_that_cannot_tell_says_so(plain_outcome: Outcome) -> None:
    assert "this bundle cannot tell unfamiliar tissue" in " ".join(plain_outcome.summary["warnings"])
