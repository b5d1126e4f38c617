"""Weights from a file or a folder: what is understood, and what is refused with a line that says what to do."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save_file

from tests.predict.vision_transformers import dinov2_shapes, noise, published_shapes, timm_shapes, vit_shapes
from vst_dicom.domain.errors import BundleError, MissingInputError, UsageError
from vst_dicom.predict.encoders import EFFICIENTNET_LITE0
from vst_dicom.predict.presets import PRESETS
from vst_dicom.training.weights import EncoderWeights, read_weights

PLAIN = timm_shapes(width=24, depth=2, fc1=48, fc2=48, positions=257, registers=0, patch=14)
"""A small vision transformer for 224 px."""

DESCRIPTION: dict[str, Any] = {
    **EFFICIENTNET_LITE0.model_dump(mode="json"),
    "name": "small",
    "license": "CC0",
    "source": "a test",
    "embed_dim": 24,
    "architecture": "vision_transformer",
    "arguments": {"image_px": 224, "patch_px": 14, "width": 24, "depth": 2, "n_heads": 3, "mlp_dim": 48},
    "pooling": "class",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "small"
    made.mkdir()
    save_file(noise(PLAIN), made / "model.safetensors")
    return made


def describe(folder: Path, name: str, value: dict[str, Any]) -> None:
    (folder / name).write_text(json.dumps(value), encoding="utf-8")


def test_without_a_file_the_weights_are_those_of_the_built_in_bundle() -> None:
    assert read_weights().spec == EFFICIENTNET_LITE0
    assert read_weights(preset="efficientnet_lite0").spec == EFFICIENTNET_LITE0


def test_a_file_alone_is_taken_for_efficientnet_lite0(folder: Path) -> None:
    with pytest.raises(BundleError, match=r"has no tensor stem\.conv\.weight.*--preset"):
        read_weights(folder / "model.safetensors").engine("cpu")


@pytest.mark.parametrize("name", ["phikon-v2", "uni"])
def test_a_preset_describes_a_file_or_the_folder_that_holds_it(folder: Path, name: str) -> None:
    save_file(noise(published_shapes(name, depth=1)), folder / "model.safetensors")

    assert read_weights(folder / "model.safetensors", name).spec == PRESETS[name].encoder
    assert read_weights(folder, name).spec == PRESETS[name].encoder


def test_a_file_that_does_not_belong_to_the_preset_says_what_to_take(folder: Path) -> None:
    with pytest.raises(BundleError, match=r"has shape .* not .*take the file that belongs to this encoder"):
        read_weights(folder / "model.safetensors", "uni").engine("cpu")


def test_a_preset_without_a_file_says_where_its_weights_are() -> None:
    with pytest.raises(
        MissingInputError, match=r"get pytorch_model\.bin from huggingface\.co/MahmoodLab/UNI .*--encoder"
    ):
        read_weights(preset="uni")


def test_an_unknown_preset_names_the_known_ones(folder: Path) -> None:
    with pytest.raises(UsageError, match="the presets are efficientnet_lite0, h-optimus-0"):
        read_weights(folder, "conch")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "uni.pth", "teacher.pt"])
def test_a_pickle_is_refused_unread_with_the_line_to_convert_it(tmp_path: Path, name: str) -> None:
    marker = tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> object:
            return (marker.touch, ())

    (tmp_path / name).write_bytes(pickle.dumps(Trap()))

    with pytest.raises(BundleError, match=rf"{name} is a pickled PyTorch file, which is never loaded.*save_file"):
        read_weights(tmp_path / name, "uni")
    assert not marker.exists()


def test_a_folder_with_nothing_but_a_pickle_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02")

    with pytest.raises(BundleError, match=r"pytorch_model\.bin is a pickled PyTorch file.*python -c"):
        read_weights(tmp_path, "uni")


def test_a_pickle_that_is_called_safetensors_is_never_loaded(folder: Path) -> None:
    torch.save({"norm.weight": torch.zeros(3)}, folder / "model.safetensors")
    describe(folder, "encoder.json", DESCRIPTION)

    with pytest.raises(BundleError, match="is a pickled PyTorch file, which is never loaded"):
        read_weights(folder).engine("cpu")


def test_the_line_to_convert_a_pickle_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"norm.weight": torch.ones(3, 3).T, "norm.bias": torch.zeros(3)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(BundleError) as refused:
        read_weights(tmp_path / "pytorch_model.bin", "uni")
    line = str(refused.value).split('python -c "')[1].removesuffix('"')

    monkeypatch.chdir(tmp_path)
    exec(line, {})  # noqa: S102

    assert set(load((tmp_path / "model.safetensors").read_bytes())) == {"norm.weight", "norm.bias"}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"weights .*nothing\.safetensors cannot be read"):
        read_weights(tmp_path / "nothing.safetensors")


def test_weights_in_shards_are_put_together(folder: Path) -> None:
    tensors = noise(PLAIN)
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {"model-1-of-2.safetensors": names[:9], "model-2-of-2.safetensors": names[9:]}
    for shard, held in shards.items():
        save_file({name: tensors[name] for name in held}, folder / shard)
    index = {name: shard for shard, held in shards.items() for name in held}
    describe(folder, "model.safetensors.index.json", {"weight_map": index})
    describe(folder, "encoder.json", DESCRIPTION)

    weights = read_weights(folder)

    assert {name: value.tolist() for name, value in load(weights.content).items()} == {
        name: value.tolist() for name, value in tensors.items()
    }


@pytest.mark.parametrize("shard", ["../model.safetensors", "model.bin"])
def test_an_index_that_leaves_the_folder_or_names_a_pickle_is_refused(folder: Path, shard: str) -> None:
    (folder / "model.safetensors").unlink()
    describe(folder, "model.safetensors.index.json", {"weight_map": {"norm.weight": shard}})

    with pytest.raises(BundleError, match="names no safetensors files beside it"):
        read_weights(folder, "uni")


def test_a_folder_may_describe_its_encoder_as_a_manifest_does(folder: Path) -> None:
    describe(folder, "encoder.json", DESCRIPTION)

    weights = read_weights(folder)

    assert (weights.spec.name, weights.spec.license) == ("small", "CC0")
    assert weights.engine("cpu").embed_dim == 24


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 1}, r"encoder\.json: temperature: Extra inputs"),
        ({"library": "keras"}, r"encoder\.json: library"),
        ({"license": ""}, r"encoder\.json: license"),
        ({"std": [0, 1, 1]}, r"encoder\.json: std"),
        ({"tile_px": 256}, "wants tiles of 256 px at 0.5 µm; this version samples 224 px at 0.5 µm"),
    ],
)
def test_a_wrong_description_is_refused_by_name(folder: Path, change: dict[str, Any], message: str) -> None:
    describe(folder, "encoder.json", {**DESCRIPTION, **change})

    with pytest.raises(BundleError, match=message):
        read_weights(folder)


def test_a_dinov2_folder_of_hugging_face_is_understood(folder: Path) -> None:
    save_file(
        noise(dinov2_shapes(width=24, depth=2, inner=64, gated=True, positions=26, patch=14)),
        folder / "model.safetensors",
    )
    describe(folder, "config.json", {
        "model_type": "dinov2", "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 70,
        "patch_size": 14, "mlp_ratio": 4, "use_swiglu_ffn": True,
    })  # fmt: skip
    describe(folder, "preprocessor_config.json", {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]})

    weights = read_weights(folder)

    assert weights.spec.mean == (0.1, 0.2, 0.3)
    assert weights.spec.std == (0.4, 0.5, 0.6)
    assert weights.spec.license == "not stated in its folder; ask where the weights come from"
    assert weights.engine("cpu").embed_dim == 24


def test_a_vit_folder_of_hugging_face_is_understood(folder: Path) -> None:
    save_file(noise(vit_shapes(width=24, depth=2, inner=40, positions=197, patch=16)), folder / "model.safetensors")
    describe(folder, "config.json", {
        "model_type": "vit", "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3,
        "intermediate_size": 40, "layer_norm_eps": 1e-12,
    })  # fmt: skip
    describe(folder, "preprocessor_config.json", {"image_mean": [0.5] * 3, "image_std": [0.5] * 3})

    assert read_weights(folder).engine("cpu").embed_dim == 24


def test_a_timm_folder_is_understood_with_its_licence(folder: Path) -> None:
    describe(folder, "config.json", {
        "architecture": "resnet18", "num_features": 512, "num_classes": 1000, "model_args": {"img_size": 224},
        "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "license": "apache-2.0"},
    })  # fmt: skip

    spec = read_weights(folder).spec

    assert (spec.library, spec.architecture, spec.license) == ("timm", "resnet18", "apache-2.0")
    assert spec.arguments == {"img_size": 224, "num_classes": 0}
    assert spec.embed_dim == 512


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "swin"}, r"model_type 'swin' is none of dinov2, dinov2_with_registers, vit.*encoder\.json"),
        ({"model_type": "vit", "hidden_act": "quick_gelu"}, "only gelu and biased attention"),
        ({"architecture": "resnet18"}, r"config\.json: embed_dim"),
    ],
)
def test_a_folder_that_is_not_understood_says_what_to_write(folder: Path, config: dict[str, Any], message: str) -> None:
    describe(folder, "config.json", config)

    with pytest.raises(BundleError, match=message):
        read_weights(folder)


def test_a_folder_without_a_description_says_so(folder: Path) -> None:
    with pytest.raises(MissingInputError, match=r"neither encoder\.json nor config\.json; or name one with --preset"):
        read_weights(folder)


def test_a_hugging_face_folder_without_its_colors_is_refused(folder: Path) -> None:
    describe(folder, "config.json", {"model_type": "dinov2"})

    with pytest.raises(MissingInputError, match=r"has no preprocessor_config\.json"):
        read_weights(folder)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_description_that_is_no_json_object_is_refused(folder: Path, text: str) -> None:
    (folder / "encoder.json").write_text(text)

    with pytest.raises(BundleError, match=r"encoder\.json is no JSON"):
        read_weights(folder)


@pytest.mark.parametrize(
    ("positions", "registers", "expected"),
    [(256, 4, "patches"), (261, 4, "all"), (257, 4, "class+patches"), (257, 0, "all")],
)
def test_what_is_unverified_about_a_preset_is_read_from_its_file(
    folder: Path, positions: int, registers: int, expected: str
) -> None:
    shapes = timm_shapes(width=8, depth=1, fc1=8, fc2=4, positions=positions, registers=registers, patch=14)
    save_file(noise(shapes), folder / "model.safetensors")

    arguments = read_weights(folder, "h0-mini").spec.arguments

    assert (arguments["n_registers"], arguments["positions"]) == (registers, expected)
    assert arguments["width"] == 768


def test_features_are_kept_apart_by_weights_and_by_pooling(folder: Path) -> None:
    describe(folder, "encoder.json", DESCRIPTION)
    weights = read_weights(folder)
    other_pooling = EncoderWeights(weights.content, weights.spec.model_copy(update={"pooling": "mean"}))
    other_weights = EncoderWeights(weights.content + b" ", weights.spec)

    assert len({weights.key, other_pooling.key, other_weights.key}) == 3
