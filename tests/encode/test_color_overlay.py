import dataclasses

import cv2
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.pixels import pixel_array

from vst_dicom.domain.errors import EncodingError, UsageError
from vst_dicom.domain.expression import ExpressionTable
from vst_dicom.domain.forms import Encoding, ResultForm
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.pixels import Thumbnail
from vst_dicom.encode.checks import check_result
from vst_dicom.encode.color_overlay import color_overlay_objects
from vst_dicom.encode.forms import result_objects, write_objects
from vst_dicom.encode.overlay_picture import count_levels, make_levels, paint_gene
from vst_dicom.study.completeness import find_missing
from vst_dicom.study.facts import read_facts
from vst_dicom.study.loop_guard import recognise_own

BASE_PX = (4.0, 5.0)
"""Along x and along y."""

DARK, BRIGHT = (68, 1, 84), (253, 231, 37)
"""Ends of viridis."""


@pytest.fixture
def source(make_source):
    """A slide whose grid of 5 x 7 tiles of 500 x 400 pixels it fits."""
    return make_source(MatrixSize(2500, 2800), PixelSpacing(0.0004, 0.0005))


@pytest.fixture
def result(make_result):
    return make_result(tile_size=MatrixSize(500, 400))


@pytest.fixture
def picture(source):
    """Make a smooth slide of 700 x 500 pixels, a tile of 100 x 100 pixels."""
    waves = 128 + 100 * np.sin(np.add.outer(np.arange(500) / 40, np.arange(700) / 60))
    image = np.stack([waves, waves * 0.5, 255 - waves], axis=2).astype(np.uint8)
    return Thumbnail(image, BASE_PX, source.plane.spacing.scaled(BASE_PX[1], BASE_PX[0]))


@pytest.fixture
def written(tmp_path, source, result, picture):
    """Every level, the largest first."""
    objects = color_overlay_objects(source, result, "ERBB2", picture)
    write_objects(objects, tmp_path)
    return [pydicom.dcmread(tmp_path / made.file_name) for made in objects]


def assemble(dataset: pydicom.Dataset) -> np.ndarray:
    """Put the frames of a fully tiled image side by side."""
    n_rows, n_columns = dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns
    across = -(-n_columns // dataset.Columns)
    frames = pixel_array(dataset).reshape(-1, across, dataset.Rows, dataset.Columns, 3)
    image = frames.transpose(0, 2, 1, 3, 4).reshape(-1, across * dataset.Columns, 3)
    return image[:n_rows, :n_columns]


def test_tiles_get_the_color_of_their_value_over_the_slide_in_gray(result) -> None:
    white = Thumbnail(np.full((500, 700, 3), 255, np.uint8), BASE_PX, PixelSpacing(0.002, 0.002))
    painted = paint_gene(result, 0, white)

    np.testing.assert_allclose(painted[50, 50], 0.4 * 255 + 0.6 * np.array(DARK), atol=1)
    np.testing.assert_allclose(painted[450, 650], 0.4 * 255 + 0.6 * np.array(BRIGHT), atol=1)
    assert (painted[:100, 200:300] == painted[50, 250]).all()


def test_what_has_no_value_keeps_the_pixels_of_the_slide(result, picture) -> None:
    painted = paint_gene(result, 0, picture)

    untouched = np.kron(~result.grid.mask, np.ones((100, 100))).astype(bool)
    assert untouched.any()
    assert (painted[untouched] == picture.image[untouched]).all()
    assert (painted[~untouched] != picture.image[~untouched]).any(axis=1).mean() > 0.99


def test_a_picture_that_ends_within_a_tile_is_painted_to_its_end(result) -> None:
    small = Thumbnail(np.full((3, 5, 3), 255, np.uint8), (700.0, 900.0), PixelSpacing(0.36, 0.35))
    painted = paint_gene(result, 0, small)

    cells = [[0, 2, 4, 6, 6], [2, 2, 2, 2, 2]]  # columns and rows of the grid below the middles of the pixels
    rows = [0, 2, 4]
    expected = [[result.grid.mask[row, column] for column in cells[0]] for row in rows]
    assert (painted != 255).any(axis=2).tolist() == expected


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 90), st.integers(1, 90), st.floats(1, 900), st.floats(1, 900))
def test_exactly_the_pixels_whose_middle_lies_in_a_tile_are_painted(result, n_rows, n_columns, x_px, y_px) -> None:
    """On a grid of 5 x 7 tiles of 500 x 400 pixels, whose last row and column hold what reaches beyond it."""
    glass = Thumbnail(np.full((n_rows, n_columns, 3), 255, np.uint8), (x_px, y_px), PixelSpacing(0.001, 0.001))
    painted = (paint_gene(result, 0, glass) != 255).any(axis=2)

    for row in {0, n_rows // 2, n_rows - 1}:
        for column in {0, n_columns // 2, n_columns - 1}:
            cell = min(int((row + 0.5) * y_px // 500), 4), min(int((column + 0.5) * x_px // 400), 6)
            assert painted[row, column] == result.grid.mask[cell]


@pytest.mark.parametrize(("shape", "n_levels"), [((256, 256), 1), ((256, 257), 2), ((1000, 600), 3), ((9000, 100), 4)])
def test_levels_halve_until_one_frame_holds_them_or_four_are_made(shape, n_levels) -> None:
    image = np.zeros((*shape, 3), np.uint8)

    assert count_levels(image, 256, 4) == len(make_levels(image, 256, 4)) == n_levels


def test_each_level_is_an_instance_of_one_series_that_names_gene_and_use(written, source) -> None:
    assert [(d.TotalPixelMatrixRows, d.TotalPixelMatrixColumns) for d in written] == [
        (500, 700),
        (250, 350),
        (125, 175),
    ]
    assert [d.InstanceNumber for d in written] == [1, 2, 3]
    assert len({d.SeriesInstanceUID for d in written}) == len({d.PyramidUID for d in written}) == 1
    assert len({d.SOPInstanceUID for d in written}) == 3
    for dataset in written:
        assert dataset.SeriesDescription == "Predicted ERBB2 as colors, Research Use Only"
        assert dataset.ImageType == ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
        assert dataset.FrameOfReferenceUID == source.frame_of_reference_uid
        assert dataset.ContainerIdentifier == source.header.ContainerIdentifier
        assert dataset.SeriesInstanceUID != source.series_instance_uid
        assert dataset.BurnedInAnnotation == "NO"
        for words in (
            "Predicted ERBB2 mRNA expression in viridis colors, from 0 (dark) to 2.887 (bright) ln(1+CP10k)",
            "not measured",
            "For Research Use Only. Not for use in diagnostic procedures.",
        ):
            assert words in dataset.ImageComments


def test_pixels_read_back_are_those_of_the_painted_slide(written, result, picture) -> None:
    image = paint_gene(result, 0, picture)
    for dataset, expected in zip(written, make_levels(image, 256, 4), strict=True):
        difference = np.abs(assemble(dataset).astype(int) - expected)
        assert difference.mean() < 4
        glass = np.kron(~result.grid.mask, np.ones((100, 100)))
        glass = cv2.resize(glass, expected.shape[1::-1], interpolation=cv2.INTER_AREA)
        inner = cv2.erode((glass == 1).astype(np.uint8), np.ones((17, 17))).astype(bool)
        assert inner.any()
        slide = cv2.resize(picture.image, expected.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(assemble(dataset).astype(int) - slide)[inner].mean() < 2


def test_a_tile_lies_where_the_slide_has_it(written, source) -> None:
    """The middle of the tile in row 4, column 6, from DICOM attributes alone."""
    largest = written[0]
    origin = largest.TotalPixelMatrixOriginSequence[0]
    row_mm, column_mm = map(float, largest.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing)
    cosines = np.array(largest.ImageOrientationSlide, dtype=float)
    start = np.array([origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem], dtype=float)
    found = start + 649.5 * column_mm * cosines[:2] + 449.5 * row_mm * cosines[3:5]

    np.testing.assert_allclose(found, source.plane.to_slide_mm(6 * 400 + 199.5, 4 * 500 + 249.5)[0, :2], atol=1e-9)


def test_earlier_lossy_compression_is_not_forgotten(tmp_path, source, result, picture) -> None:
    source.header.LossyImageCompression = "01"
    source.header.LossyImageCompressionRatio, source.header.LossyImageCompressionMethod = "20", "ISO_15444_1"
    dataset = color_overlay_objects(source, result, "ERBB2", picture)[0].encode()

    assert dataset.LossyImageCompression == "01"
    assert list(dataset.LossyImageCompressionMethod) == ["ISO_15444_1", "ISO_10918_1"]
    assert float(dataset.LossyImageCompressionRatio[0]) == 20
    assert float(dataset.LossyImageCompressionRatio[1]) > 5


def test_the_optical_path_that_was_read_is_taken_over(source, result, picture, silent_source) -> None:
    second = pydicom.Dataset()
    second.OpticalPathIdentifier, second.ICCProfile = "2", b"\1" * 128
    source.header.OpticalPathSequence.append(second)
    chosen = dataclasses.replace(source, optical_path="2")

    (path,) = color_overlay_objects(chosen, result, "ERBB2", picture)[0].encode().OpticalPathSequence
    assert (path.OpticalPathIdentifier, path.ICCProfile) == ("2", b"\1" * 128)
    assert "IlluminationTypeCodeSequence" not in second
    (path,) = color_overlay_objects(silent_source, result, "ERBB2", picture)[0].encode().OpticalPathSequence
    assert path.ICCProfile[36:40] == b"acsp"


def test_other_values_another_place_and_lost_pixels_are_found(written, source, result, picture, make_source) -> None:
    values = result.expression.values[:, ::-1].copy()
    values[:9] = values[9:]
    other = dataclasses.replace(result, expression=ExpressionTable(result.expression.genes, values))
    elsewhere = make_source(MatrixSize(2500, 2800), PixelSpacing(0.0004, 0.0005), origin_mm=(20.5, 41.2501, 0.0))

    for number, dataset in enumerate(written):
        color_overlay_objects(source, result, "ERBB2", picture)[number].check(dataset)
        with pytest.raises(EncodingError, match="other colors"):
            color_overlay_objects(source, other, "ERBB2", picture)[number].check(dataset)
        with pytest.raises(EncodingError, match="elsewhere"):
            color_overlay_objects(elsewhere, result, "ERBB2", picture)[number].check(dataset)


def test_it_is_written_only_where_it_is_asked_for_and_the_report_refers_to_every_level(
    tmp_path, source, result, picture
) -> None:
    def objects(**encoding):
        return result_objects(source, result, frozenset(ResultForm), Encoding(**encoding), picture)

    assert not [made for made in objects() if "overlay" in made.kind.name]
    chosen = objects(color_overlay_gene="ESR1")
    write_objects(chosen, tmp_path)
    check_result(source, result, chosen, tmp_path)
    report = pydicom.dcmread(tmp_path / "report.dcm")
    referenced = {
        item.ReferencedSOPInstanceUID
        for series in report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    levels = [made.instance_uid(source, result) for made in chosen if "overlay" in made.kind.name]
    assert len(levels) == 3
    assert set(levels) <= referenced


def test_a_gene_without_a_map_is_not_painted(source, make_result, result, picture) -> None:
    without = dataclasses.replace(
        make_result(with_hotspots=False), expression=ExpressionTable((), np.empty((18, 0), np.float32))
    )

    assert color_overlay_objects(source, without, "TP53", picture) == []
    with pytest.raises(UsageError, match="TP53"):
        color_overlay_objects(source, result, "TP53", picture)
    with pytest.raises(ValueError, match="picture"):
        result_objects(source, result, frozenset(), Encoding(color_overlay_gene="ERBB2"))


def test_it_is_never_taken_for_a_slide_whichever_models_are_installed(written) -> None:
    for dataset in written:
        facts = read_facts(dataset)
        assert "processed it" in recognise_own(facts, frozenset(), in_ledger=False)
    assert "base level did not come" in find_missing([read_facts(dataset) for dataset in written], asked=False)
