"""Layers, pixel types, compression, series per gene: every way in which maps may be written."""

import dataclasses
import itertools

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import generate_frames

from tests.encode.maps import with_layers
from vst_dicom.domain.forms import Encoding, MapCompression, MapLayer, MapPixels, ResultForm
from vst_dicom.encode.checks import check_result
from vst_dicom.encode.forms import result_objects, write_objects
from vst_dicom.encode.map_layers import unique_labels
from vst_dicom.encode.parametric_map import parametric_map_objects

EVERY_LAYER = frozenset(MapLayer)

SETTINGS = [
    Encoding(map_layers=EVERY_LAYER, map_pixels=pixels, map_compression=compression, map_series_per_gene=alone)
    for pixels, compression, alone in itertools.product(MapPixels, MapCompression, (False, True))
    if (pixels, compression) != (MapPixels.FLOAT32, MapCompression.JPEG_LS)
]


def name_of(encoding):
    alone = "-alone" if encoding.map_series_per_gene else ""
    return f"{encoding.map_pixels}-{encoding.map_compression}{alone}"


@pytest.fixture
def written(tmp_path, make_source, make_result):
    """Write, check and read back; by name of the object."""

    def write(encoding, result=None):
        source, result = make_source(), result or with_layers(make_result())
        objects = result_objects(source, result, frozenset({ResultForm.PARAMETRIC_MAP}), encoding)
        write_objects(objects, tmp_path)
        check_result(source, result, objects, tmp_path)
        return {made.kind.name: pydicom.dcmread(tmp_path / made.file_name) for made in objects}

    return write


def mapping_of(dataset, frame=0):
    return dataset.PerFrameFunctionalGroupsSequence[frame].RealWorldValueMappingSequence[0]


def meanings(dataset, frame=0):
    return [item.ConceptCodeSequence[0].CodeMeaning for item in mapping_of(dataset, frame).QuantityDefinitionSequence]


def values_of(dataset, frame=0):
    """Real world values, NaN where there is none."""
    item, stored = mapping_of(dataset, frame), dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)[frame]
    values = stored * item.RealWorldValueSlope + item.RealWorldValueIntercept
    first = item.get("RealWorldValueFirstValueMapped", item.get("DoubleFloatRealWorldValueFirstValueMapped"))
    return np.where(stored < first, np.nan, values)


@pytest.mark.parametrize("encoding", SETTINGS, ids=name_of)
def test_every_setting_passes_its_own_check(written, encoding):
    datasets = written(encoding)

    assert len(datasets) == (3 + 3 + 3 + 3 + 1 if encoding.map_series_per_gene else 5)
    assert len({dataset.SeriesInstanceUID for dataset in datasets.values()}) == len(datasets)
    assert len({dataset.SeriesNumber for dataset in datasets.values()}) == len(datasets)
    assert all("Research Use Only" in dataset.SeriesDescription for dataset in datasets.values())


@pytest.mark.parametrize("encoding", SETTINGS[::2], ids=name_of)
def test_the_same_result_gives_the_same_bytes(tmp_path, make_source, make_result, encoding):
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        write_objects(parametric_map_objects(make_source(), with_layers(make_result()), encoding), folder)

    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_only_layers_that_are_asked_for_are_written(written):
    assert list(written(Encoding(map_layers=frozenset()))) == ["parametric-map"]
    assert list(written(Encoding(map_layers=frozenset({MapLayer.GI_STAR})))) == [
        "parametric-map",
        "parametric-map-gi-star",
    ]


def test_only_layers_that_the_result_has_are_written(written, make_result):
    assert list(written(Encoding(map_layers=EVERY_LAYER), make_result())) == ["parametric-map"]


def test_a_half_width_says_that_it_is_no_expression_and_of_which_nominal_interval(written):
    dataset = written(Encoding())["parametric-map-half-width"]

    assert meanings(dataset) == [
        "Half width of the interval of predicted expression",
        "+/-, range of measurement uncertainty",
        "ERBB2",
        "Inferred from H&E morphology",
    ]
    assert mapping_of(dataset).LUTLabel == "ERBB2 +/-"
    assert mapping_of(dataset).LUTExplanation == "Half width, 90% intervals, nominal. For Research Use Only."
    assert mapping_of(dataset).MeasurementUnitsCodeSequence[0].CodeMeaning == "ln(1+CP10k)"
    derivation = dataset.SharedFunctionalGroupsSequence[0].DerivationImageSequence[0]
    assert derivation.DerivationDescription.endswith("8 patients can promise a new one 89% at most")
    assert dataset.SeriesDescription == "Half widths of prediction intervals, Research Use Only"


def test_gi_star_has_no_unit_and_no_value_where_no_hotspot_was_looked_for(written, make_result):
    result = with_layers(make_result())
    dataset = written(Encoding(map_layers=EVERY_LAYER), result)["parametric-map-gi-star"]

    row, column = result.grid.cells[1]
    assert dataset.pixel_array[0, row, column] == 0
    assert np.count_nonzero(dataset.pixel_array[0]) == len(result.grid) - 1
    assert mapping_of(dataset).MeasurementUnitsCodeSequence[0].CodeMeaning == "no units"
    assert meanings(dataset)[:3] == ["Gi* of predicted expression against similar tissue", "Z-score", "ERBB2"]


def test_only_shown_signatures_are_written_each_in_its_unit(written, make_result):
    result = with_layers(make_result())
    dataset = written(Encoding(), result)["parametric-map-signatures"]

    assert dataset.NumberOfFrames == 3
    assert [mapping_of(dataset, frame).LUTLabel for frame in range(3)] == [
        "antigen-presenta",
        "cytolytic-activi",
        "t-cell-inflamed",
    ]
    units = [mapping_of(dataset, frame).MeasurementUnitsCodeSequence[0] for frame in range(3)]
    assert [(unit.CodeValue, unit.CodeMeaning) for unit in units] == [
        ("1", "standard deviations of the training cohort"),
        ("10*-4", "CP10k"),
        ("1", "weighted log2(1+CP10k)"),
    ]
    assert meanings(dataset)[1] == "Antigen-presentation"
    assert mapping_of(dataset).LUTExplanation == "2 of 3 genes usable. For Research Use Only."
    rows, columns = result.grid.cells.T
    assert values_of(dataset, 2)[rows, columns] == pytest.approx(result.signatures[3].values, abs=1e-4)


def test_values_of_a_hidden_signature_are_refused(make_source, make_result):
    result = with_layers(make_result())
    hidden = dataclasses.replace(result.signatures[2], values=result.signatures[0].values)

    with pytest.raises(ValueError, match="hypoxia"):
        parametric_map_objects(make_source(), dataclasses.replace(result, signatures=(hidden,)), Encoding())


def test_the_distance_to_the_training_tissue_is_one_channel(written, make_result):
    result = with_layers(make_result())
    dataset = written(Encoding(), result)["parametric-map-distance"]

    assert dataset.NumberOfFrames == 1
    assert meanings(dataset) == ["Distance to the training tissue, 1 at its limit"]
    rows, columns = result.grid.cells.T
    assert values_of(dataset)[rows, columns] == pytest.approx(result.distance, abs=1e-5)


def test_floats_are_exact_and_their_background_lies_below_all_values(written, make_result):
    result = with_layers(make_result(values=np.linspace(-0.25, 3, 54).reshape(18, 3)))
    datasets = written(Encoding(map_layers=EVERY_LAYER, map_pixels=MapPixels.FLOAT32), result)

    dataset = datasets["parametric-map"]
    rows, columns = result.grid.cells.T
    assert (result.expression.values == dataset.pixel_array[:, rows, columns].T).all()
    assert dataset.FloatPixelPaddingValue == -2
    assert (dataset.pixel_array[:, ~result.grid.mask] == -2).all()
    assert mapping_of(dataset, 1).DoubleFloatRealWorldValueFirstValueMapped == result.expression.values[:, 1].min()
    assert mapping_of(dataset, 1).DoubleFloatRealWorldValueLastValueMapped == result.expression.values[:, 1].max()
    window = dataset.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence[0]
    assert (window.WindowCenter, window.WindowWidth) == (1.375, 3.25)
    assert not any(np.isnan(dataset.pixel_array).any() for dataset in datasets.values())


def test_a_window_is_never_narrower_than_1(written, make_result):
    dataset = written(Encoding(map_pixels=MapPixels.FLOAT32), make_result(values=np.full((18, 3), 0.5)))

    assert dataset["parametric-map"].SharedFunctionalGroupsSequence[0].FrameVOILUTSequence[0].WindowWidth == 1


def test_jpeg_ls_loses_nothing(written, make_result):
    plain = written(Encoding())["parametric-map"]
    dataset = written(Encoding(map_compression=MapCompression.JPEG_LS))["parametric-map"]

    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.80"
    frames = list(generate_frames(dataset.PixelData, number_of_frames=3))
    assert len(frames) == 3
    assert (np.stack([imagecodecs.jpegls_decode(frame) for frame in frames]) == plain.pixel_array).all()
    assert dataset.LossyImageCompression == "00"


def test_floats_cannot_be_compressed():
    with pytest.raises(ValueError, match="choose uint16 pixels"):
        Encoding(map_pixels=MapPixels.FLOAT32, map_compression=MapCompression.JPEG_LS)


def test_a_series_per_gene_is_named_by_number_and_described_by_symbol(written):
    datasets = written(Encoding(map_series_per_gene=True))

    assert list(datasets)[:4] == [
        "parametric-map-1",
        "parametric-map-2",
        "parametric-map-3",
        "parametric-map-half-width-1",
    ]
    assert datasets["parametric-map-2"].SeriesDescription == "Predicted ESR1 expression, Research Use Only"
    assert datasets["parametric-map-half-width-1"].SeriesDescription == "ERBB2 interval half width, Research Use Only"
    assert datasets["parametric-map-2"].SeriesNumber == 9001002
    assert mapping_of(datasets["parametric-map-2"]).LUTLabel == "ESR1"


def test_channels_whose_names_differ_in_their_ends_keep_what_they_are():
    assert unique_labels(["ABCDEFGHIJKLMNOP", "ABCDEFGHIJKLMNOQ"], " Gi*") == ["ABCDEFGHIJKL Gi*", "ABCDEFGHIJ~2 Gi*"]
