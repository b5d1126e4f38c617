"""Every engine computes the same, for every architecture that is shipped."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.predict.small_encoders import lite, small_transformer
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.tiles import TileBatch, TileGrid
from vst_dicom.predict.bundle import load_bundle
from vst_dicom.predict.engine import embed
from vst_dicom.predict.engine_choice import EngineRequest, open_engine
from vst_dicom.predict.folding import fold_norms
from vst_dicom.predict.frozen_encoder import FrozenEncoder
from vst_dicom.predict.ladder import LadderEngine
from vst_dicom.predict.predictor import Predictor

ENCODERS: dict[str, Callable[[], FrozenEncoder]] = {
    "lite0": lite,
    "vision transformer": small_transformer,
}


def tissue(n_tiles: int) -> np.ndarray:
    """Soft colored noise, as a stain is, not white noise."""
    random = np.random.default_rng(0)
    coarse = random.integers(60, 240, (n_tiles, 28, 28, 3))
    return np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2).astype(np.uint8)


def opened(encoder: FrozenEncoder, engine: str, batch_size: int = 4) -> LadderEngine:
    asked = EngineRequest(engine, "cpu", "fp32", batch_size, threads=1)  # type: ignore[arg-type]
    return open_engine(encoder, asked, lambda _features: None)


@pytest.mark.parametrize("name", ENCODERS)
def test_openvino_and_folded_torch_agree_with_the_network_as_it_was_fitted(name: str) -> None:
    encoder, tiles = ENCODERS[name](), tissue(5)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (encoder.spec.mean, encoder.spec.std))
    with torch.inference_mode():
        truth = encoder.load()((torch.from_numpy(tiles).permute(0, 3, 1, 2) / 255 - mean) / std).double().numpy()

    for engine in ("torch", "openvino"):
        features = embed(opened(encoder, engine), [TileBatch(np.arange(5), tiles)], 5).astype(np.float64)
        lengths = np.linalg.norm(features, axis=1) * np.linalg.norm(truth, axis=1)
        assert ((features * truth).sum(axis=1) / lengths).min() > 0.99999
        assert np.abs(features - truth).max() < 1e-4 * np.abs(truth).max()


def test_both_engines_predict_the_same_expression() -> None:
    bundle, tiles = load_bundle(), tissue(6)
    grid = TileGrid(MatrixSize(224, 224), MatrixSize(2, 3), np.argwhere(np.ones((2, 3))).astype(np.int32))

    values = {
        engine: Predictor(bundle, engine=engine, device="cpu", threads=1)  # type: ignore[arg-type]
        .predict([TileBatch(np.arange(6), tiles)], grid)
        .expression.values
        for engine in ("torch", "openvino")
    }

    assert values["torch"].std() > 0.1
    assert np.abs(values["torch"] - values["openvino"]).max() < 1e-4


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_features_do_not_depend_on_what_else_is_in_the_batch(engine: str) -> None:
    encoder, tiles = small_transformer(), tissue(7)
    engines = [opened(encoder, engine, batch_size) for batch_size in (1, 3, 7)]

    alone, thirds, together = (embed(one, [TileBatch(np.arange(7), tiles)], 7) for one in engines)

    np.testing.assert_allclose(thirds, alone, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)


def test_folding_leaves_no_normalization_behind() -> None:
    folded = fold_norms(lite().load())

    assert not [module for module in folded.modules() if isinstance(module, torch.nn.BatchNorm2d)]


def test_folding_leaves_other_networks_as_they_are() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2)).eval()

    assert isinstance(fold_norms(network)[1], torch.nn.BatchNorm2d)  # type: ignore[index]


def test_several_batches_in_work_keep_their_places(tmp_path: Path) -> None:
    asked = EngineRequest("openvino", "cpu", "fp32", 2, threads=2, cache=tmp_path)
    engine, tiles = open_engine(small_transformer(), asked, lambda _features: None), tissue(11)
    order = np.random.default_rng(1).permutation(11)

    shuffled = embed(engine, (TileBatch(part, tiles[part]) for part in np.array_split(order, 4)), 11)

    np.testing.assert_allclose(shuffled, embed(engine, [TileBatch(np.arange(11), tiles)], 11), atol=1e-6)
