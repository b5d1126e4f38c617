"""Networks of timm: what may be asked of the library, with a stand-in for it, since it is an extra."""

import builtins
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vst_dicom.domain.errors import BundleError
from vst_dicom.predict.encoders import EFFICIENTNET_LITE0, build_encoder
from vst_dicom.predict.manifest_model import Encoder


class Network(nn.Module):
    """Four tokens of three features: class, register, two patches."""

    num_features = 3
    num_prefix_tokens = 2

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.pretrained_cfg = {"classifier": "head"}

    def forward_features(self, images: Tensor) -> Tensor:
        return torch.arange(12.0).reshape(1, 4, 3).expand(len(images), -1, -1) * self.scale

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_features(images)[:, 0]


class Library(ModuleType):
    """Stands in for timm, and keeps what it was asked for."""

    __version__ = "1.0.0"

    def __init__(self) -> None:
        super().__init__("timm")
        self.layers = SimpleNamespace(SwiGLUPacked="the gated layer")
        self.asked: tuple[str, dict[str, Any]] | None = None

    def create_model(self, name: str, **arguments: Any) -> nn.Module:
        self.asked = name, arguments
        if name == "unknown":
            raise RuntimeError("Unknown model (unknown)")
        return Network()


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    stand_in = Library()
    monkeypatch.setitem(sys.modules, "timm", stand_in)
    return stand_in


def spec(architecture: str = "vit", embed_dim: int = 3, pooling: str = "network", **arguments: object) -> Encoder:
    return Encoder.model_validate({
        **EFFICIENTNET_LITE0.model_dump(), "name": "mine", "library": "timm", "architecture": architecture,
        "embed_dim": embed_dim, "pooling": pooling, "arguments": arguments,
    })  # fmt: skip


WEIGHTS = {"scale": torch.tensor([1.0, 10.0, 100.0])}
IMAGES = torch.zeros(1, 3, 8, 8)


def test_only_the_architecture_is_asked_for_never_weights(library: Library) -> None:
    build_encoder(spec(img_size=224, mlp_layer="SwiGLUPacked"), WEIGHTS)

    assert library.asked == (
        "vit",
        {"pretrained": False, "num_classes": 0, "img_size": 224, "mlp_layer": "the gated layer"},
    )


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("network", [0, 10, 200]),
        ("class", [0, 10, 200]),
        ("mean", [7.5, 85, 950]),
        ("class+mean", [0, 10, 200, 7.5, 85, 950]),
    ],
)
def test_tokens_are_pooled_as_the_manifest_says(library: Library, pooling: str, expected: list[float]) -> None:
    encoder = build_encoder(spec(embed_dim=len(expected), pooling=pooling), WEIGHTS)

    assert encoder(IMAGES)[0].tolist() == pytest.approx(expected)


def test_a_published_classifier_is_left_out(library: Library) -> None:
    build_encoder(spec(), {**WEIGHTS, "head.weight": torch.zeros(1), "head.bias": torch.zeros(1)})


def test_any_other_tensor_too_many_is_refused(library: Library) -> None:
    with pytest.raises(BundleError, match="holds header, which mine does not have"):
        build_encoder(spec(), {**WEIGHTS, "header": torch.zeros(1)})


@pytest.mark.parametrize("name", ["hf-hub:owner/model", "../vit", "vit_base_patch16_224.augreg_in21k", "local-dir:vit"])
def test_a_name_that_points_at_weights_is_refused(library: Library, name: str) -> None:
    with pytest.raises(BundleError, match="is not the name of a timm architecture alone"):
        build_encoder(spec(name), WEIGHTS)
    assert library.asked is None


@pytest.mark.parametrize("key", ["pretrained", "checkpoint_path", "pretrained_cfg_overlay", "cache_dir"])
def test_an_argument_that_would_read_a_file_is_refused(library: Library, key: str) -> None:
    with pytest.raises(BundleError, match=f"the argument {key} is not allowed"):
        build_encoder(spec(**{key: "x"}), WEIGHTS)
    assert library.asked is None


def test_an_architecture_that_timm_does_not_know_is_said(library: Library) -> None:
    with pytest.raises(BundleError, match=r"timm 1\.0\.0 cannot build unknown: Unknown model"):
        build_encoder(spec("unknown"), WEIGHTS)


def test_pooling_by_a_class_token_that_is_not_there_is_refused(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Network, "num_prefix_tokens")

    with pytest.raises(BundleError, match="has no class token; use pooling 'network'"):
        build_encoder(spec(pooling="class"), WEIGHTS)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ImportError("No module named 'timm'"), r"needs the timm library: pip install 'vst-dicom\[timm\]'"),
        (RuntimeError("operator torchvision::nms does not exist"), "install both from the same index"),
    ],
)
def test_a_library_that_cannot_be_imported_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    original = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name == "timm":
            raise error
        return original(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)

    with pytest.raises(BundleError, match=message):
        build_encoder(spec(), WEIGHTS)
