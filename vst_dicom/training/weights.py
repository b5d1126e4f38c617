"""Encoder weights for training: from a file or folder on this machine, or those of a bundle. Nothing is fetched."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import safetensors.torch
from torch import Tensor, nn

from vst_dicom.domain.errors import BundleError, MissingInputError
from vst_dicom.predict.bundle import Bundle, load_bundle
from vst_dicom.predict.encoders import EFFICIENTNET_LITE0, build_encoder
from vst_dicom.predict.engine import Device, Engine, EngineChoice
from vst_dicom.predict.engine_choice import EngineRequest, open_engine
from vst_dicom.predict.frozen_encoder import FrozenEncoder
from vst_dicom.predict.manifest_model import Encoder
from vst_dicom.predict.presets import Preset, find_preset
from vst_dicom.predict.published_names import rename
from vst_dicom.predict.weights_file import parse_tensors, pickle_refusal, read_tensors
from vst_dicom.tiles.grid import TILE_UM
from vst_dicom.tiles.sampler import TILE_PX
from vst_dicom.training.encoder_folder import WEIGHTS_FILE, read_description, shard_names

_ADVICE: Final = "take the file that belongs to this encoder, or name another with --preset"
_NEW_SETTINGS: Final = {"library", "architecture", "arguments", "pooling"}
_PICKLES: Final = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


@dataclass(frozen=True, eq=False)
class EncoderWeights:
    """A file of weights and what it holds.

    Parameters
    ----------
    content
        Safetensors, under the published names.
    spec
        Encoder and the pixels that it wants.
    """

    content: bytes
    spec: Encoder

    @property
    def key(self) -> str:
        """What tells the features of this encoder from those of every other."""
        numbers = (self.spec.name, self.spec.tile_px, self.spec.spacing_um, self.spec.mean, self.spec.std)
        network = self.spec.model_dump(include=_NEW_SETTINGS, exclude_defaults=True)
        return f"{hashlib.sha256(self.content).hexdigest()} {numbers!r}{f' {network!r}' if network else ''}"

    def engine(self, device: Device, threads: int | None = None, engine: EngineChoice = "torch") -> Engine:
        """Put it on a device, in fp32; heads are fitted on what torch computes.

        Raises
        ------
        BundleError
            If the weights do not fit the encoder.
        UsageError
            If engine or device cannot be had.
        """

        def load() -> nn.Module:
            return build_encoder(self.spec, parse_tensors(self.content, "the encoder's weights"), _ADVICE)

        encoder = FrozenEncoder(self.spec, hashlib.sha256(self.content).hexdigest(), load)
        asked = EngineRequest(engine, device, "fp32", threads=threads)
        return open_engine(encoder, asked, check=lambda _features: None)


def read_weights(path: Path | None = None, preset: str | None = None) -> EncoderWeights:
    """Weights from a file or a folder, or of the built-in bundle.

    Parameters
    ----------
    path
        A safetensors file, or a folder with ``model.safetensors``, whole or in shards with their index; None takes
        the built-in bundle's.
    preset
        Published encoder that they belong to, see `vst_dicom.predict.presets`; None takes the folder's own
        description, or EfficientNet-Lite0 for a file.

    Raises
    ------
    UsageError
        If there is no such preset.
    MissingInputError
        If there is no such file, or a preset is named without one.
    BundleError
        If the file is a pickle, the folder's description is not understood, or the built-in bundle is damaged.
    """
    known = None if preset is None else find_preset(preset)
    if path is None:
        if known is not None and known.encoder != EFFICIENTNET_LITE0:
            msg = (
                f"the weights of {preset} do not come with this product: get {known.file} from "
                f"{known.encoder.source} and give it with --encoder"
            )
            raise MissingInputError(msg)
        return EncoderWeights(weights_of(load_bundle()).content, EFFICIENTNET_LITE0)
    if known is None:
        spec = read_description(path) if path.is_dir() else EFFICIENTNET_LITE0
        _check_tiles(spec)
        return EncoderWeights(_read(path), spec)
    content = _read(path)
    return EncoderWeights(content, _complete(known, content) if known.from_file else known.encoder)


def weights_of(bundle: Bundle) -> EncoderWeights:
    """Weights of a loaded bundle."""
    return EncoderWeights(bundle.encoder_file.read_bytes(), bundle.manifest.encoder)


def _check_tiles(spec: Encoder) -> None:
    """Refuse an encoder that wants other tiles than are sampled."""
    if (spec.tile_px, spec.spacing_um) != (TILE_PX, TILE_UM / TILE_PX):
        msg = (
            f"encoder {spec.name!r} wants tiles of {spec.tile_px} px at {spec.spacing_um:g} µm; this version samples "
            f"{TILE_PX} px at {TILE_UM / TILE_PX:g} µm: describe it so, positions are resampled"
        )
        raise BundleError(msg)


def _read(path: Path) -> bytes:
    """Content of one safetensors file; shards are put together."""
    if not path.is_dir():
        return _content(path)
    names = shard_names(path)
    if len(names) == 1:
        return _content(path / names[0])
    tensors: dict[str, Tensor] = {}
    for name in names:
        if not (path / name).is_file():
            msg = f"{path} has no {name}, which its index names; get the whole folder"
            raise MissingInputError(msg)
        tensors |= read_tensors(path / name, name)
    return safetensors.torch.save(tensors)


def _content(path: Path) -> bytes:
    """Bytes of a file that is not called a pickle."""
    pickles = [found.name for found in sorted(path.parent.glob("*")) if found.suffix in _PICKLES]
    if path.suffix in _PICKLES or (path.name == WEIGHTS_FILE and not path.exists() and pickles):
        raise pickle_refusal(path.name if path.exists() else pickles[0])
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"the encoder's weights {path} cannot be read: {error.strerror}"
        raise MissingInputError(msg) from error


def _complete(preset: Preset, content: bytes) -> Encoder:
    """Read from the shapes what could not be verified about a preset."""
    spec = preset.encoder
    tensors = parse_tensors(content, "the encoder's weights")
    if spec.arguments.get("names") == "huggingface":
        tensors = rename(tensors, "the encoder's weights")
    registers, positions = tensors.get("reg_token"), tensors.get("pos_embed")
    if positions is None:
        return spec
    n_registers = 0 if registers is None else registers.shape[1]
    n_patches = (int(spec.arguments["image_px"]) // int(spec.arguments["patch_px"])) ** 2
    found = {0: "patches", 1: "class+patches", 1 + n_registers: "all"}.get(positions.shape[1] - n_patches)
    arguments = {**spec.arguments, "n_registers": n_registers, "positions": found or spec.arguments["positions"]}
    return spec.model_copy(update={"arguments": arguments})
