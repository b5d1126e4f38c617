"""Bundles whose encoder is a vision transformer, and bundles of the time when there was one encoder only."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from torch import Tensor

from tests.predict.bundles import head_tensors, read_manifest, replace_file, rewrite_manifest, write_bundle
from tests.predict.vision_transformers import noise, timm_shapes
from vst_dicom.domain.errors import BundleError
from vst_dicom.predict.bundle import load_bundle
from vst_dicom.predict.encoders import build_encoder
from vst_dicom.predict.manifest_model import Encoder
from vst_dicom.predict.predictor import Predictor
from vst_dicom.predict.reference import reference_tile

SHAPES = timm_shapes(width=24, depth=2, fc1=48, fc2=24, positions=256, registers=4, patch=14)

ARCHITECTURE: dict[str, Any] = {
    "name": "small",
    "license": "CC BY-NC-ND 4.0",
    "embed_dim": 48,
    "library": "vst_dicom",
    "architecture": "vision_transformer",
    "arguments": {
        "image_px": 224, "patch_px": 14, "width": 24, "depth": 2, "n_heads": 3, "mlp_dim": 48, "gated": True,
        "n_registers": 4, "positions": "patches",
    },
    "pooling": "class+mean",
    "terms": ["non-commercial", "no-derivatives"],
}  # fmt: skip


def features_of(spec: dict[str, Any], tensors: dict[str, Tensor]) -> np.ndarray:
    pixels = torch.from_numpy(reference_tile(224)[None]).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        return build_encoder(Encoder.model_validate(spec), tensors)((pixels - 0.5) / 0.5)[0].numpy()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a bundle whose encoder was saved under the published names."""
    tensors = noise(SHAPES)
    folder = write_bundle(tmp_path / "tiny")
    value = read_manifest(folder)
    value["encoder"] |= ARCHITECTURE
    rewrite_manifest(folder, value)
    n_features = len(value["encoder"]["context"]) * 48
    head = head_tensors() | {
        "mean": np.zeros(n_features, dtype=np.float32),
        "components": np.ones((3, n_features), dtype=np.float32),
        "reference_embedding": features_of(value["encoder"], tensors),
    }
    replace_file(folder, "head.safetensors", safetensors.numpy.save(head))
    replace_file(folder, "encoder.safetensors", safetensors.torch.save(tensors))
    return folder


def test_a_vision_transformer_in_a_bundle_answers_as_it_did_when_it_was_fitted(folder: Path) -> None:
    predictor = Predictor(load_bundle(folder), device="cpu")

    assert predictor.engine.embed_dim == 48


def test_other_weights_of_the_same_shapes_are_found_by_the_reference_tile(folder: Path) -> None:
    replace_file(folder, "encoder.safetensors", safetensors.torch.save(noise(SHAPES, seed=1)))

    with pytest.raises(BundleError, match="does not answer as it did when the bundle was fitted"):
        Predictor(load_bundle(folder), device="cpu")


def test_another_pooling_than_at_the_fit_is_found(folder: Path) -> None:
    value = read_manifest(folder)
    value["encoder"]["pooling"] = "class"
    rewrite_manifest(folder, value)

    with pytest.raises(BundleError, match="gives 24 features, the manifest says 48; get the bundle again"):
        Predictor(load_bundle(folder), device="cpu")


def test_weights_changed_after_the_fit_are_refused_by_their_hash(folder: Path) -> None:
    (folder / "encoder.safetensors").write_bytes(safetensors.torch.save(noise(SHAPES, seed=1)))

    with pytest.raises(BundleError, match=r"encoder\.safetensors in bundle tiny has SHA-256"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("library", "keras", r"encoder\.library"),
        ("terms", ["free"], r"encoder\.terms"),
        ("pooling", "max", r"encoder\.pooling"),
        ("arguments", {"layers": [1]}, r"encoder\.arguments\.layers"),
        ("checkpoint", "weights.pt", r"encoder\.checkpoint"),
    ],
)
def test_an_unknown_word_in_the_encoder_is_refused_by_name(folder: Path, key: str, value: object, named: str) -> None:
    whole = read_manifest(folder)
    whole["encoder"][key] = value
    rewrite_manifest(folder, whole)

    with pytest.raises(BundleError, match=named):
        load_bundle(folder)


def test_an_unknown_argument_of_the_network_is_refused_by_name(folder: Path) -> None:
    value = read_manifest(folder)
    value["encoder"]["arguments"]["rope"] = True
    rewrite_manifest(folder, value)

    with pytest.raises(BundleError, match="argument rope"):
        Predictor(load_bundle(folder), device="cpu")


def test_a_manifest_that_names_no_library_means_efficientnet_lite0(tmp_path: Path) -> None:
    encoder = load_bundle(write_bundle(tmp_path / "tiny")).manifest.encoder

    assert "library" not in read_manifest(tmp_path / "tiny")["encoder"]
    assert (encoder.library, encoder.architecture, encoder.pooling) == ("vst_dicom", "efficientnet_lite0", "network")
    assert encoder.terms == ()
    assert encoder.license_text == "none"


def test_the_built_in_bundle_loads_and_runs() -> None:
    assert Predictor(load_bundle(), device="cpu").engine.embed_dim == 2064
