"""The libraries in which encoders are published, where they are installed: same names, same features, bit by bit."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from tests.predict.vision_transformers import noise, published_shapes, shallow
from vst_dicom.predict.encoders import build_encoder, parse_form
from vst_dicom.predict.presets import PRESETS
from vst_dicom.predict.vision_transformer import VisionTransformer
from vst_dicom.predict.weights_file import parse_tensors
from vst_dicom.training.weights import read_weights


@pytest.fixture(scope="module")
def timm() -> Any:
    try:
        return importlib.import_module("timm")
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"timm is not installed, or its torchvision does not fit torch: {error}")


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers", reason="transformers is not installed")


def timm_network(timm: Any, preset: str, **more: Any) -> Any:
    """As the presets' authors and TRIDENT build it."""
    gated = {"mlp_layer": timm.layers.SwiGLUPacked, "act_layer": torch.nn.SiLU}
    name, arguments = {
        "h-optimus-0": ("vit_giant_patch14_reg4_dinov2", {}),
        "uni": ("vit_large_patch16_224", {}),
        "uni2-h": (
            "vit_giant_patch14_224",
            {"depth": 24, "num_heads": 24, "embed_dim": 1536, "mlp_ratio": 2.66667 * 2, "no_embed_class": True,
             "reg_tokens": 8, **gated},
        ),
        "virchow2": ("vit_huge_patch14_224", {"reg_tokens": 4, "mlp_ratio": 5.3375, "global_pool": "", **gated}),
        "gigapath": ("vit_giant_patch14_dinov2", {"patch_size": 16, "mlp_ratio": 5.33334}),
        "h0-mini": ("vit_base_patch14_reg4_dinov2", {"mlp_ratio": 5.33334, "global_pool": "", **gated}),
    }[preset]  # fmt: skip
    whole = {"img_size": 224, "init_values": 1e-5, "num_classes": 0, **arguments, **more}
    return timm.create_model(name, pretrained=False, **whole)


TIMM_PRESETS = ["h-optimus-0", "uni", "uni2-h", "virchow2", "gigapath", "h0-mini"]


@pytest.mark.parametrize("name", TIMM_PRESETS)
def test_the_whole_network_has_the_names_and_shapes_of_timm(timm: Any, name: str) -> None:
    with torch.device("meta"):
        peer, ours = timm_network(timm, name), VisionTransformer(parse_form(PRESETS[name].encoder))

    assert {key: value.shape for key, value in peer.state_dict().items()} == {
        key: value.shape for key, value in ours.state_dict().items()
    }


@pytest.mark.parametrize("name", TIMM_PRESETS)
def test_tokens_equal_those_of_timm(timm: Any, name: str) -> None:
    tensors = noise(published_shapes(name, depth=2))
    peer = timm_network(timm, name, depth=2).eval()
    peer.load_state_dict(tensors, strict=True)
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))

    with torch.inference_mode():
        torch.testing.assert_close(
            build_encoder(shallow(name), tensors).network(images), peer.forward_features(images), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize(
    ("config", "model", "settings"),
    [
        ("Dinov2Config", "Dinov2Model", {"image_size": 518, "patch_size": 14, "use_swiglu_ffn": True}),
        ("Dinov2Config", "Dinov2Model", {"image_size": 224, "patch_size": 16}),
        ("Dinov2WithRegistersConfig", "Dinov2WithRegistersModel", {"image_size": 224, "patch_size": 14}),
        ("ViTConfig", "ViTModel", {"intermediate_size": 200}),
    ],
)
def test_a_folder_saved_by_transformers_gives_its_features(
    transformers: Any, config: str, model: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    peer = getattr(transformers, model)(
        getattr(transformers, config)(hidden_size=96, num_hidden_layers=2, num_attention_heads=3, **settings)
    ).eval()
    generator = torch.Generator().manual_seed(2)
    for parameter in peer.parameters():
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    peer.save_pretrained(tmp_path / "vit")
    (tmp_path / "vit" / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    )
    weights = read_weights(tmp_path / "vit")
    images = torch.randn(2, 3, 224, 224, generator=generator)

    with torch.inference_mode():
        ours = build_encoder(weights.spec, parse_tensors(weights.content, "file"))(images)
        torch.testing.assert_close(ours, peer(images).last_hidden_state[:, 0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["midnight-12k", "phikon-v2"])
def test_the_whole_network_has_as_many_parameters_as_that_of_transformers(transformers: Any, name: str) -> None:
    arguments = PRESETS[name].encoder.arguments
    with torch.device("meta"):
        peer = transformers.Dinov2Model(
            transformers.Dinov2Config(
                hidden_size=arguments["width"],
                num_hidden_layers=arguments["depth"],
                num_attention_heads=arguments["n_heads"],
                image_size=arguments["image_px"],
                patch_size=arguments["patch_px"],
                use_swiglu_ffn=arguments.get("gated", False),
            )
        )

    assert sum(parameter.numel() for parameter in peer.parameters()) == PRESETS[name].n_parameters


def test_a_network_that_only_timm_has_runs_with_weights_from_a_file(timm: Any) -> None:
    spec = PRESETS["efficientnet_lite0"].encoder.model_copy(
        update={"name": "r18", "library": "timm", "architecture": "resnet18", "embed_dim": 512}
    )
    published = timm.create_model("resnet18", pretrained=False).eval()
    tensors = parse_tensors(save(published.state_dict()), "file")
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(3))

    with torch.inference_mode():
        ours = build_encoder(spec, tensors)(images)
        torch.testing.assert_close(ours, published.forward_head(published.forward_features(images), pre_logits=True))
