import dataclasses

import highdicom as hd
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.encode.maps import encode_expression
from vst_dicom.domain.expression import ExpressionTable, Gene, GeneStatus
from vst_dicom.domain.forms import Encoding
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.encode.map_layers import unique_labels
from vst_dicom.encode.parametric_map import parametric_map_objects
from vst_dicom.encode.writing import write_dicom

ORIENTATIONS = [(1, 0, 0, 0, 1, 0), (0, -1, 0, -1, 0, 0), (0, 1, 0, 1, 0, 0), (0.6, 0.8, 0, -0.8, 0.6, 0)]


def decode(dataset, frame):
    item = dataset.PerFrameFunctionalGroupsSequence[frame].RealWorldValueMappingSequence[0]
    stored = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)[frame]
    values = stored * float(item.RealWorldValueSlope) + float(item.RealWorldValueIntercept)
    return np.where(stored == 0, np.nan, values)


@pytest.fixture
def written(tmp_path, make_source, make_result):
    def write(result=None, source=None):
        path = tmp_path / "parametric-map.dcm"
        write_dicom(encode_expression(source or make_source(), result or make_result()), path)
        return path

    return write


def test_a_file_decodes_to_the_values_within_half_a_step(written, make_result):
    result = make_result()
    dataset = pydicom.dcmread(written(result))

    rows, columns = result.grid.cells.T
    for gene in range(3):
        values = result.expression.values[:, gene]
        step = (values.max() - values.min()) / 65534
        assert np.abs(decode(dataset, gene)[rows, columns] - values).max() <= step / 2 * 1.000001


def test_cells_without_tile_are_stored_as_0_and_0_has_no_value(written, make_result):
    result = make_result()
    dataset = pydicom.dcmread(written(result))

    assert (dataset.pixel_array[:, ~result.grid.mask] == 0).all()
    assert (dataset.pixel_array[:, result.grid.mask] > 0).all()
    item = dataset.PerFrameFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert (item.RealWorldValueFirstValueMapped, item.RealWorldValueLastValueMapped) == (1, 65535)


def test_a_predicted_zero_stays_apart_from_background(written, make_result):
    result = make_result(values=np.zeros((18, 3)))
    dataset = pydicom.dcmread(written(result))

    assert decode(dataset, 0)[0, 0] == pytest.approx(0, abs=1e-9)
    assert np.isnan(decode(dataset, 0)[0, 1])


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("spacing", [PixelSpacing(0.0005, 0.0005), PixelSpacing(0.00025, 0.00046)])
def test_a_marked_tile_lies_where_its_pixels_lie(make_source, make_result, tmp_path, orientation, spacing):
    source = make_source(MatrixSize(501, 703), spacing, (12.25, 33.5, 0.0), orientation)
    values = np.zeros((18, 3))
    result = make_result(values=values)
    marked = 10
    values[marked, 0] = 2.0
    result = make_result(values=values)
    path = tmp_path / "map.dcm"
    write_dicom(encode_expression(source, result), path)

    dataset = pydicom.dcmread(path)
    row, column = np.argwhere(dataset.pixel_array[0] == dataset.pixel_array[0].max())[0]
    transformer = hd.spatial.PixelToReferenceTransformer.for_image(dataset, for_total_pixel_matrix=True)
    position_mm = transformer(np.array([[column, row]]))[0]

    assert (row, column) == tuple(result.grid.cells[marked])
    x_px = column * 103 + 51  # middle of a tile 103 columns wide
    y_px = row * 101 + 50
    along_row = np.array(orientation[:3]) * x_px * spacing.column_mm
    along_column = np.array(orientation[3:]) * y_px * spacing.row_mm
    assert position_mm == pytest.approx(np.array([12.25, 33.5, 0.0]) + along_row + along_column, abs=1e-9)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 300), st.integers(1, 300))
def test_map_spacing_is_the_tile_in_base_level_pixels(make_source, make_result, n_rows, n_columns, height, width):
    result = make_result(size=MatrixSize(n_rows, n_columns), tile_size=MatrixSize(height, width), with_hotspots=False)
    dataset = encode_expression(make_source(), result)

    row_mm, column_mm = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    assert float(row_mm) == pytest.approx(height * 0.0005, rel=1e-12)
    assert float(column_mm) == pytest.approx(width * 0.0004, rel=1e-12)
    assert (dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns) == (n_rows, n_columns)


def test_each_frame_says_which_gene_by_registry_code(written):
    dataset = pydicom.dcmread(written())

    items = [groups.RealWorldValueMappingSequence[0] for groups in dataset.PerFrameFunctionalGroupsSequence]
    assert [item.LUTLabel for item in items] == ["ERBB2", "ESR1", "LOC1"]
    quantity, gene, method = items[0].QuantityDefinitionSequence
    assert quantity.ConceptCodeSequence[0].CodeMeaning == "Predicted mRNA expression (image-derived)"
    assert gene.ConceptNameCodeSequence[0].CodeValue == "48018-6"
    assert gene.ConceptCodeSequence[0].CodeValue == "HGNC:3430"
    assert method.ConceptCodeSequence[0].CodeMeaning == "Inferred from H&E morphology"
    assert "ln(1+CP10k)" in items[0].LUTExplanation
    assert items[0].MeasurementUnitsCodeSequence[0].CodeValue == "1"


def test_a_gene_without_registry_entry_is_not_called_one(written):
    dataset = pydicom.dcmread(written())

    gene = dataset.PerFrameFunctionalGroupsSequence[2].RealWorldValueMappingSequence[0].QuantityDefinitionSequence[1]
    assert gene.ConceptNameCodeSequence[0].CodingSchemeDesignator == "99VST"
    assert gene.ConceptCodeSequence[0].CodingSchemeDesignator == "99VST"


def test_long_symbols_get_labels_that_fit_and_differ():
    symbols = ["ABCDEFGHIJKLMNOPQ1", "ABCDEFGHIJKLMNOPQ2", "ABCDEFGHIJKLMNOPQ3"]

    assert unique_labels(symbols) == ["ABCDEFGHIJKLMNOP", "ABCDEFGHIJKLMN~2", "ABCDEFGHIJKLMN~3"]


def test_one_window_covers_all_stored_values_of_all_genes(written):
    dataset = pydicom.dcmread(written())

    window = dataset.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence[0]
    assert (window.WindowCenter, window.WindowWidth) == (32768, 65535)


def test_highdicom_reads_every_gene(written, make_result):
    result = make_result()
    image = hd.imread(written(result))

    assert image.number_of_frames == 3
    frame = image.get_stored_frame(2)
    assert frame.shape == (5, 7)
    assert (frame > 0).tolist() == result.grid.mask.tolist()


def test_a_single_gene_on_a_single_tile_works(written, make_result):
    result = make_result(values=np.array([[1.5]]), size=MatrixSize(1, 1), genes=(Gene("ERBB2", "HGNC:3430"),))
    dataset = pydicom.dcmread(written(result))

    assert dataset.NumberOfFrames == 1
    assert decode(dataset, 0)[0, 0] == pytest.approx(1.5)


def test_250_genes_make_250_frames(written, make_result):
    genes = tuple(Gene(f"GENE{i}", f"HGNC:{i}") for i in range(250))
    dataset = pydicom.dcmread(written(make_result(genes=genes)))

    assert dataset.NumberOfFrames == 250
    assert dataset.pixel_array.shape == (250, 5, 7)


def test_a_result_without_shown_genes_has_no_maps(make_source, make_result):
    result = dataclasses.replace(
        make_result(), expression=ExpressionTable((), np.zeros((18, 0), np.float32)), hotspots=()
    )

    assert parametric_map_objects(make_source(), result, Encoding()) == []


def test_a_hidden_gene_is_never_written(make_source, make_result):
    result = make_result(with_hotspots=False)
    hidden = dataclasses.replace(result.expression.genes[1], status=GeneStatus.HIDDEN)
    genes = (result.expression.genes[0], hidden, result.expression.genes[2])
    result = dataclasses.replace(result, expression=ExpressionTable(genes, result.expression.values))

    with pytest.raises(ValueError, match="ESR1"):
        encode_expression(make_source(), result)


def test_it_says_research_and_whose_image_it_derives_from(written):
    dataset = pydicom.dcmread(written())

    assert dataset.ContentQualification == "RESEARCH"
    assert dataset.ContentDescription == "For Research Use Only. Not for use in diagnostic procedures."
    derived = dataset.SharedFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    assert derived.ReferencedSOPInstanceUID == "2.25.11"
