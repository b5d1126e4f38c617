"""The size of maps is known before they are made, and kept under a limit."""

import itertools
import tracemalloc

import numpy as np
import pydicom
import pytest

from tests.encode.maps import with_layers
from vst_dicom.domain.errors import EncodingError, UsageError
from vst_dicom.domain.expression import Gene
from vst_dicom.domain.forms import Encoding, MapCompression, MapLayer, MapPixels, ResultForm
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.encode import map_object
from vst_dicom.encode.checks import check_result
from vst_dicom.encode.forms import result_objects, write_objects
from vst_dicom.encode.map_layers import expression_layer, further_layer
from vst_dicom.encode.map_size import predict_size
from vst_dicom.encode.parametric_map import parametric_map_objects

WAYS = [
    Encoding(map_layers=frozenset(MapLayer), map_pixels=pixels, map_compression=compression)
    for pixels, compression in itertools.product(MapPixels, MapCompression)
    if (pixels, compression) != (MapPixels.FLOAT32, MapCompression.JPEG_LS)
]
FORMS = frozenset({ResultForm.PARAMETRIC_MAP})


@pytest.fixture
def noise(make_result):
    """A result that cannot be compressed: 12 genes on 160 x 150 tiles."""
    size = MatrixSize(160, 150)
    genes = tuple(Gene(f"GENE{number}", f"HGNC:{number}") for number in range(12))
    values = np.random.default_rng(0).uniform(0, 3, (160 * 150 // 2, 12))
    return with_layers(make_result(values, size, genes=genes, with_hotspots=False))


@pytest.mark.parametrize("encoding", WAYS, ids=lambda way: f"{way.map_pixels}-{way.map_compression}")
def test_the_predicted_size_is_an_upper_bound_and_close(tmp_path, make_source, noise, encoding):
    source = make_source()
    objects = parametric_map_objects(source, noise, encoding)
    write_objects(objects, tmp_path)

    layers = [expression_layer(noise), *(further_layer(layer, noise) for layer in MapLayer)]
    for layer, written in zip(layers, objects, strict=True):
        real = (tmp_path / written.file_name).stat().st_size
        predicted = predict_size(source, noise, layer, encoding).of(len(layer.channels))
        assert real <= predicted
        if encoding.map_compression is MapCompression.NONE:
            assert predicted <= real * 1.03


def test_the_bound_for_jpeg_ls_holds_for_noise_in_every_cell_of_grids_of_any_size(tmp_path, make_source, make_result):
    encoding = Encoding(map_compression=MapCompression.JPEG_LS)
    rng = np.random.default_rng(1)
    for side in (1, 2, 7, 16, 64, 200):
        result = make_result(rng.uniform(0, 3, ((side * side + 1) // 2, 3)), MatrixSize(side, side))
        (written,) = parametric_map_objects(make_source(), result, encoding)
        write_objects([written], tmp_path)

        predicted = predict_size(make_source(), result, expression_layer(result), encoding).of(3)
        assert (tmp_path / written.file_name).stat().st_size <= predicted


def test_channels_that_do_not_fit_are_split_over_series_each_as_many_as_fit(tmp_path, make_source, noise):
    source = make_source()
    size = predict_size(source, noise, expression_layer(noise), Encoding())
    encoding = Encoding(map_layers=frozenset(), largest_object_bytes=size.of(5))

    objects = result_objects(source, noise, FORMS, encoding)
    write_objects(objects, tmp_path)
    check_result(source, noise, objects, tmp_path)

    parts = [pydicom.dcmread(tmp_path / written.file_name) for written in objects]
    assert [part.NumberOfFrames for part in parts] == [5, 5, 2]
    assert [written.genes for written in objects][2] == ("GENE10", "GENE11")
    assert parts[1].SeriesDescription == "Predicted gene expression maps, part 2 of 3, Research Use Only"
    assert len({part.SeriesInstanceUID for part in parts}) == 3
    assert all((tmp_path / written.file_name).stat().st_size <= size.of(5) for written in objects)
    assert [
        frames.RealWorldValueMappingSequence[0].LUTLabel for frames in parts[2].PerFrameFunctionalGroupsSequence
    ] == [
        "GENE10",
        "GENE11",
    ]


def test_a_single_map_that_does_not_fit_is_refused_before_anything_is_made(make_source, noise, monkeypatch):
    monkeypatch.setattr(map_object, "store_whole_numbers", None)

    with pytest.raises(UsageError, match="largest_object_bytes"):
        parametric_map_objects(make_source(), noise, Encoding(largest_object_bytes=40_000))


def test_an_object_never_exceeds_what_an_element_can_hold(make_source, make_result):
    huge = make_result(np.zeros((1, 2)), MatrixSize(1, 1), genes=(Gene("A"), Gene("B")), with_hotspots=False)
    object.__setattr__(huge.grid, "size", MatrixSize(40_000, 40_000))

    objects = parametric_map_objects(make_source(), huge, Encoding(largest_object_bytes=1 << 40))

    assert [written.file_name for written in objects] == ["parametric-map-1.dcm", "parametric-map-2.dcm"]


@pytest.mark.parametrize(("pixels", "pixel_bytes"), [(MapPixels.UINT16, 2), (MapPixels.FLOAT32, 4)])
def test_making_and_writing_a_map_needs_little_more_memory_than_its_pixels(
    tmp_path, make_source, make_result, pixels, pixel_bytes
):
    values = np.random.default_rng(2).uniform(0, 3, (400 * 400 // 2, 20))
    genes = tuple(Gene(f"GENE{number}") for number in range(20))
    result = make_result(values, MatrixSize(400, 400), genes=genes, with_hotspots=False)
    (written,) = parametric_map_objects(make_source(), result, Encoding(map_pixels=pixels))
    tracemalloc.start()
    write_objects([written], tmp_path)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak_bytes < 1.5 * 20 * 400 * 400 * pixel_bytes


def test_a_frame_that_compression_makes_much_larger_is_refused(make_source, noise, monkeypatch):
    monkeypatch.setattr(map_object, "compressed_bytes", lambda raw_bytes: raw_bytes // 2)
    (written,) = parametric_map_objects(
        make_source(), noise, Encoding(map_layers=frozenset(), map_compression=MapCompression.JPEG_LS)
    )

    with pytest.raises(EncodingError, match="choose map_compression none"):
        written.encode()
