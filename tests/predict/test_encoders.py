"""Published encoders: names, shapes, dimensions, and that wrong weights are refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.predict.engines import torch_engine
from tests.predict.vision_transformers import (
    dinov2_shapes,
    noise,
    published_shapes,
    shallow,
    timm_shapes,
    vit_shapes,
    waves,
)
from vst_dicom.domain.errors import BundleError, UsageError
from vst_dicom.domain.tiles import TileBatch
from vst_dicom.predict.encoders import EFFICIENTNET_LITE0, build_encoder, parse_form
from vst_dicom.predict.engine import embed
from vst_dicom.predict.manifest_model import Encoder
from vst_dicom.predict.presets import PRESETS, find_preset
from vst_dicom.predict.published_names import rename
from vst_dicom.predict.reference import reference_tile
from vst_dicom.predict.vision_transformer import VisionTransformer
from vst_dicom.predict.weights_file import CONVERT, read_tensors

DIMENSIONS = {
    "h-optimus-0": 1536,
    "midnight-12k": 3072,
    "uni": 1024,
    "uni2-h": 1536,
    "virchow2": 2560,
    "gigapath": 1536,
    "phikon-v2": 1024,
    "h0-mini": 1536,
}

IMAGE = torch.sin(torch.arange(3 * 28 * 28, dtype=torch.float64) * 0.11).float().reshape(1, 3, 28, 28)

SMALL = {"image_px": 28, "patch_px": 14, "width": 24, "depth": 2, "n_heads": 3, "mlp_dim": 48}


def small(pooling: str = "class", embed_dim: int = 24, **arguments: object) -> Encoder:
    return Encoder.model_validate({
        **EFFICIENTNET_LITE0.model_dump(), "name": "small", "architecture": "vision_transformer", "pooling": pooling,
        "embed_dim": embed_dim, "arguments": {**SMALL, **arguments},
    })  # fmt: skip


def tokens_of(spec: Encoder, tensors: dict[str, Tensor]) -> Tensor:
    encoder = build_encoder(spec, tensors)
    with torch.inference_mode():
        tokens: Tensor = encoder.network(IMAGE)[0]
    return tokens


def test_every_encoder_that_is_promised_has_a_preset() -> None:
    assert set(PRESETS) == {"efficientnet_lite0", *DIMENSIONS}


@pytest.mark.parametrize("name", DIMENSIONS)
def test_names_and_shapes_of_a_preset_are_those_of_its_published_file(name: str) -> None:
    published = {key: torch.empty(shape, device="meta") for key, shape in published_shapes(name).items()}
    form = parse_form(PRESETS[name].encoder)
    with torch.device("meta"):
        network = VisionTransformer(form)

    ours = rename(published, "file") if form.names == "huggingface" else published
    assert {key: value.shape for key, value in network.state_dict().items()} == {
        key: value.shape for key, value in ours.items()
    }
    assert sum(tensor.numel() for tensor in published.values()) == PRESETS[name].n_parameters


@pytest.mark.parametrize(("name", "dimension"), DIMENSIONS.items())
def test_the_whole_network_of_a_preset_gives_the_documented_number_of_features(name: str, dimension: int) -> None:
    spec = PRESETS[name].encoder
    with torch.device("meta"):
        tokens = VisionTransformer(parse_form(spec))(torch.empty(2, 3, spec.tile_px, spec.tile_px))

    assert spec.embed_dim == dimension
    assert tokens.shape[2] * (2 if spec.pooling == "class+mean" else 1) == dimension
    assert tokens.shape[1] == parse_form(spec).n_prefix + (spec.tile_px // parse_form(spec).patch_px) ** 2


@pytest.mark.parametrize(("name", "dimension"), DIMENSIONS.items())
def test_a_preset_runs_random_weights_saved_under_the_published_names(
    name: str, dimension: int, tmp_path: Path
) -> None:
    spec = shallow(name, depth=1)
    save_file(noise(published_shapes(name, depth=1)), tmp_path / "model.safetensors")
    encoder = build_encoder(spec, read_tensors(tmp_path / "model.safetensors", "model.safetensors"))

    engine = torch_engine(encoder, spec.mean, spec.std, spec.embed_dim)
    features = embed(engine, [TileBatch(np.zeros(1, dtype=np.int64), reference_tile(spec.tile_px)[None])], 1)

    assert features.shape == (1, dimension)
    assert np.isfinite(features).all()
    assert features.std() > 0.01


@pytest.mark.slow
def test_the_whole_h0_mini_loads_from_disk_and_runs(tmp_path: Path) -> None:
    save_file(noise(published_shapes("h0-mini")), tmp_path / "model.safetensors")
    spec = PRESETS["h0-mini"].encoder
    encoder = build_encoder(spec, read_tensors(tmp_path / "model.safetensors", "model.safetensors"))

    with torch.inference_mode():
        assert encoder(torch.zeros(1, 3, 224, 224)).shape == (1, 1536)


# First features of the class token and of the last patch, as timm 1.0.31 and transformers 5.23.0 gave them for the
# same weights and the same image; the libraries themselves are compared in test_encoder_peers.py.
@pytest.mark.parametrize(
    ("arguments", "shapes", "class_token", "last_patch"),
    [
        (
            {"gated": True, "n_registers": 2, "positions": "patches"},
            timm_shapes(width=24, depth=2, fc1=48, fc2=24, positions=4, registers=2, patch=14),
            [-0.59341, -0.16977, -0.48396],
            [-0.46325, -0.3654, -0.21598],
        ),
        (
            {"gated": True, "n_registers": 2, "positions": "all"},
            timm_shapes(width=24, depth=2, fc1=48, fc2=24, positions=7, registers=2, patch=14),
            [-0.62451, -0.23202, -0.49347],
            [-0.41388, -0.33007, -0.21021],
        ),
        (
            {},
            timm_shapes(width=24, depth=2, fc1=48, fc2=48, positions=5, registers=0, patch=14),
            [-0.27118, -0.07947, -0.51033],
            [-0.20068, -0.17581, -0.35619],
        ),
        (
            {"gated": True, "mlp_dim": 96, "image_px": 70, "positions": "class+patches", "names": "huggingface"},
            dinov2_shapes(width=24, depth=2, inner=48, gated=True, positions=26, patch=14),
            [0.51066, 0.04725, -0.00066],
            [0.5103, -0.05057, -0.23038],
        ),
        (
            {"positions": "class+patches", "names": "huggingface"},
            dinov2_shapes(width=24, depth=2, inner=48, gated=False, positions=5, patch=14),
            [0.56871, -0.00461, -0.18624],
            [0.55261, -0.116, -0.4047],
        ),
        (
            {"positions": "class+patches", "names": "huggingface", "n_registers": 2},
            {
                **dinov2_shapes(width=24, depth=2, inner=48, gated=False, positions=5, patch=14),
                "embeddings.register_tokens": (1, 2, 24),
            },
            [0.32729, -0.32768, -0.30829],
            [0.32474, -0.36892, -0.35335],
        ),
        (
            {"layer_scale": False, "norm_eps": 1e-12, "names": "huggingface"},
            vit_shapes(width=24, depth=2, inner=48, positions=5, patch=14),
            [-0.26821, -0.44791, -0.24899],
            [-0.15297, -0.50108, -0.24866],
        ),
    ],
    ids=["registers", "registers with positions", "plain", "dinov2 resampled", "dinov2", "dinov2 registers", "vit"],
)
def test_tokens_are_those_of_the_published_libraries(
    arguments: dict[str, object],
    shapes: dict[str, tuple[int, ...]],
    class_token: list[float],
    last_patch: list[float],
) -> None:
    tokens = tokens_of(small(**arguments), waves(shapes))

    assert tokens[0, :3].tolist() == pytest.approx(class_token, abs=2e-5)
    assert tokens[-1, :3].tolist() == pytest.approx(last_patch, abs=2e-5)


@pytest.mark.parametrize(("pooling", "embed_dim"), [("class", 24), ("class+mean", 48), ("mean", 24)])
def test_pooling_leaves_the_registers_out(pooling: str, embed_dim: int) -> None:
    shapes = timm_shapes(width=24, depth=2, fc1=48, fc2=48, positions=4, registers=3, patch=14)
    spec = small(pooling, embed_dim, n_registers=3, positions="patches")
    encoder = build_encoder(spec, waves(shapes))

    with torch.inference_mode():
        tokens, features = encoder.network(IMAGE)[0], encoder(IMAGE)[0]

    expected = {
        "class": tokens[0],
        "mean": tokens[4:].mean(dim=0),
        "class+mean": torch.cat([tokens[0], tokens[4:].mean(dim=0)]),
    }
    assert len(tokens) == 8
    torch.testing.assert_close(features, expected[pooling])


SHAPES = timm_shapes(width=24, depth=2, fc1=48, fc2=48, positions=5, registers=0, patch=14)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("norm.weight", None, r"has no tensor norm\.weight, which small needs"),
        ("head.weight", torch.zeros(1), r"holds head\.weight, which small does not have"),
        ("norm.weight", torch.zeros(7), r"norm\.weight has shape \(7,\), not \(24,\)"),
        ("norm.weight", torch.full((24,), torch.nan), r"norm\.weight holds numbers that are not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_what_to_do(key: str, value: Tensor | None, message: str) -> None:
    tensors = noise(SHAPES)
    if value is None:
        del tensors[key]
    else:
        tensors[key] = value

    with pytest.raises(BundleError, match=rf"encoder\.safetensors:? {message}; get the bundle again"):
        build_encoder(small(), tensors)


def test_a_file_of_another_preset_is_refused() -> None:
    with pytest.raises(BundleError, match=r"has shape .* not .*; get the bundle again"):
        build_encoder(shallow("uni", 1), noise(published_shapes("h-optimus-0", 1)))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("encoder.layer.0.lora.weight", r"encoder\.layer\.0\.lora\.weight, which no ViT or DINOv2"),
        ("classifier.weight", r"classifier\.weight, which no ViT or DINOv2"),
    ],
)
def test_an_unknown_name_of_hugging_face_is_refused(key: str, message: str) -> None:
    shapes = dinov2_shapes(width=24, depth=2, inner=48, gated=False, positions=5, patch=14)

    with pytest.raises(BundleError, match=message):
        rename({**waves(shapes), key: torch.zeros(1)}, "model.safetensors")


def test_a_query_without_its_key_is_refused() -> None:
    tensors = waves(dinov2_shapes(width=24, depth=1, inner=48, gated=False, positions=5, patch=14))
    del tensors["encoder.layer.0.attention.attention.key.weight"]

    with pytest.raises(BundleError, match=r"has blocks\.0\.attn\.query\.weight and no blocks\.0\.attn\.key\.weight"):
        rename(tensors, "model.safetensors")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (small(rope=True), "argument rope: Extra inputs are not permitted"),
        (small(depth=0), "argument depth"),
        (small(n_heads=5), "do not go together"),
        (small(patch_px=13), "do not go together"),
        (small(embed_dim=48), "gives 24 features, the manifest says 48"),
        (small("network"), "needs pooling class"),
        (small().model_copy(update={"architecture": "resnet"}), "runs efficientnet_lite0 and vision_transformer"),
    ],
)
def test_a_description_that_makes_no_network_is_refused(spec: Encoder, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        build_encoder(spec, noise(SHAPES))


def test_half_precision_weights_are_widened(tmp_path: Path) -> None:
    save_file({name: value.half() for name, value in noise(SHAPES).items()}, tmp_path / "model.safetensors")

    tensors = read_tensors(tmp_path / "model.safetensors", "model.safetensors")

    assert {value.dtype for value in tensors.values()} == {torch.float32}


def test_quantized_weights_are_refused(tmp_path: Path) -> None:
    save_file({"norm.weight": torch.zeros(3, dtype=torch.int8)}, tmp_path / "model.safetensors")

    with pytest.raises(BundleError, match=r"norm\.weight is int8, not float32.*not quantized"):
        read_tensors(tmp_path / "model.safetensors", "model.safetensors")


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no preset 'ctranspath'; the presets are efficientnet_lite0, h-optimus-0"):
        find_preset("ctranspath")


@pytest.mark.parametrize("name", ["uni", "uni2-h", "virchow2", "h0-mini"])
def test_a_licence_that_forbids_derived_models_says_so_in_words(name: str) -> None:
    text = PRESETS[name].encoder.license_text

    assert text.startswith("CC BY-NC-ND 4.0; ")
    for words in ("no commercial use", "counts as derived from it", "may not be passed on", "registered"):
        assert words in text


@pytest.mark.parametrize(("name", "text"), [("h-optimus-0", "Apache-2.0"), ("midnight-12k", "MIT")])
def test_a_permissive_licence_asks_nothing(name: str, text: str) -> None:
    assert PRESETS[name].encoder.license_text == text


@pytest.mark.parametrize("name", DIMENSIONS)
def test_the_page_about_encoders_says_what_the_presets_say(name: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "encoders.md").read_text(encoding="utf-8")
    encoder = PRESETS[name].encoder

    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1].startswith(encoder.license)
    assert cells[2] == ", ".join(encoder.terms).replace("-", " ") or cells[2] == "–"
    assert cells[3] == f"{encoder.embed_dim:,}"
    assert PRESETS[name].file in cells[5]


def test_the_page_about_encoders_gives_the_line_that_converts() -> None:
    assert CONVERT in (Path(__file__).parents[2] / "docs" / "encoders.md").read_text(encoding="utf-8").splitlines()
