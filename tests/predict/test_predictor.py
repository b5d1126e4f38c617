from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from tests.predict.bundles import head_tensors, read_manifest, replace_file, rewrite_manifest, write_bundle
from vst_dicom.domain.errors import BundleError
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.tiles import TileBatch, TileGrid
from vst_dicom.predict.appearance import N_APPEARANCE, describe_appearance
from vst_dicom.predict.bundle import load_bundle
from vst_dicom.predict.efficientnet_lite import EfficientNetLite0
from vst_dicom.predict.encoders import EFFICIENTNET_LITE0, build_encoder
from vst_dicom.predict.engine import embed
from vst_dicom.predict.predictor import Predictor
from vst_dicom.predict.reference import check_reference, reference_tile, tile_sha256
from vst_dicom.predict.trust import Familiarity, Intervals, Trust

LAST_LAYER = EFFICIENTNET_LITE0.model_copy(update={"pooling": "network", "embed_dim": 1280})


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    torch.manual_seed(0)
    state = EfficientNetLite0().state_dict()
    return {name: value.numpy() for name, value in state.items() if not name.endswith("num_batches_tracked")}


def features_of(weights: dict[str, np.ndarray], tiles: np.ndarray) -> np.ndarray:
    network = build_encoder(LAST_LAYER, {name: torch.from_numpy(value) for name, value in weights.items()})
    with torch.inference_mode():
        return network((torch.from_numpy(tiles).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5).numpy()


@pytest.fixture
def folder(tmp_path: Path, weights: dict[str, np.ndarray]) -> Path:
    head = head_tensors()
    head["reference_embedding"] = features_of(weights, reference_tile(224)[None])[0]
    return write_bundle(tmp_path / "tiny", head, weights)


def test_prediction_is_encoder_then_context_then_head(folder: Path, weights: dict[str, np.ndarray]) -> None:
    bundle = load_bundle(folder)
    tiles = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    grid = TileGrid(MatrixSize(163, 163), MatrixSize(1, 9), np.array([[0, 0], [0, 1], [0, 8]], dtype=np.int32))

    table = Predictor(bundle, device="cpu").predict([TileBatch(np.array([2, 0, 1]), tiles[[2, 0, 1]])], grid).expression

    own = features_of(weights, tiles)
    pair = own[:2].mean(axis=0)
    expected = bundle.head.apply(np.concatenate([own, [pair, pair, own[2]]], axis=1).astype(np.float32))
    assert [gene.gene.symbol for gene in table.genes] == ["ERBB2", "IGKC"]
    np.testing.assert_allclose(table.values, expected, rtol=1e-4, atol=1e-5)


def test_trust_is_measured_on_the_way(folder: Path) -> None:
    bundle = load_bundle(folder)
    random = np.random.default_rng(0)
    familiarity = Familiarity(
        random.standard_normal(N_APPEARANCE).astype(np.float32),
        random.standard_normal((N_APPEARANCE, N_APPEARANCE)).astype(np.float32),
        np.zeros(1280, np.float32),
        random.standard_normal((1280, 4)).astype(np.float32),
    )
    trust = Trust(familiarity, Intervals(np.array([3, 0.5], np.float32), 2.0))
    predictor = Predictor(replace(bundle, trust=trust), device="cpu")
    tiles = random.integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    grid = TileGrid(MatrixSize(163, 163), MatrixSize(1, 9), np.array([[0, 0], [0, 1], [0, 8]], dtype=np.int32))

    prediction = predictor.predict(
        [TileBatch(np.array([2, 0]), tiles[[2, 0]]), TileBatch(np.array([1]), tiles[1:2])], grid
    )

    embeddings = embed(predictor.engine, [TileBatch(np.arange(3), tiles)], 3)
    expected = familiarity.distance(describe_appearance(tiles), embeddings)
    np.testing.assert_allclose(prediction.distance, expected, rtol=1e-4)
    assert prediction.half_width.tolist() == [[6, 1]] * 3


def test_an_older_bundle_says_nothing_of_trust(folder: Path) -> None:
    grid = TileGrid(MatrixSize(163, 163), MatrixSize(1, 1), np.zeros((1, 2), dtype=np.int32))
    tile = TileBatch(np.zeros(1, np.int64), np.zeros((1, 224, 224, 3), np.uint8))

    prediction = Predictor(load_bundle(folder), device="cpu").predict([tile], grid)

    assert prediction.distance is None
    assert prediction.half_width is None


def test_a_slide_without_tiles_gives_an_empty_table(folder: Path) -> None:
    grid = TileGrid(MatrixSize(163, 163), MatrixSize(1, 1), np.empty((0, 2), dtype=np.int32))

    assert Predictor(load_bundle(folder), device="cpu").predict([], grid).expression.values.shape == (0, 2)


def test_other_normalization_than_at_the_fit_is_found_by_the_reference_tile(folder: Path) -> None:
    value = read_manifest(folder)
    value["encoder"]["mean"] = [0.1, 0.9, 0.5]
    rewrite_manifest(folder, value)

    with pytest.raises(BundleError, match="does not answer as it did"):
        Predictor(load_bundle(folder), device="cpu")


def test_other_weights_than_at_the_fit_are_found_by_the_reference_tile(
    folder: Path, weights: dict[str, np.ndarray]
) -> None:
    torch.manual_seed(1)
    other = {name: value.numpy() for name, value in EfficientNetLite0().state_dict().items() if name in weights}
    replace_file(folder, "encoder.safetensors", safetensors.numpy.save(other))

    with pytest.raises(BundleError, match="does not answer as it did"):
        Predictor(load_bundle(folder), device="cpu")


@pytest.mark.parametrize(("factor", "accepted"), [(1.0, True), (1.01, True), (1.05, False), (-1.0, False)])
def test_the_reference_check_looks_at_angle_and_length(factor: float, accepted: bool) -> None:
    vector = np.array([3, 4], dtype=np.float32)

    if accepted:
        check_reference(vector * np.float32(factor), vector, 0.999)
    else:
        with pytest.raises(BundleError):
            check_reference(vector * np.float32(factor), vector, 0.999)


def test_features_that_are_not_numbers_fail_the_reference_check() -> None:
    with pytest.raises(BundleError):
        check_reference(np.array([np.nan, 1], np.float32), np.array([1, 1], np.float32), 0.999)


def test_the_reference_tile_never_changes() -> None:
    assert reference_tile(224)[1, 2].tolist() == [11, 16, 13]
    assert tile_sha256(reference_tile(224)) == "a6a4d170b29ac72150e86690888acee978f6fd14bdaa898f6f11acba75a66976"
