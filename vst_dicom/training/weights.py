"""Encoder weights for training: from a file, or those of a bundle."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.numpy

from vst_dicom.domain.errors import BundleError, MissingInputError
from vst_dicom.predict.bundle import Bundle, load_bundle
from vst_dicom.predict.encoders import EFFICIENTNET_LITE0, build_encoder
from vst_dicom.predict.engine import Device, TorchEngine
from vst_dicom.predict.manifest import ENCODER_FILE, Encoder


@dataclass(frozen=True, eq=False)
class EncoderWeights:
    """A file of weights and what it holds.

    Parameters
    ----------
    content
        Safetensors.
    spec
        Encoder and the pixels that it wants.
    """

    content: bytes
    spec: Encoder

    @property
    def key(self) -> str:
        """What tells the features of this encoder from those of every other."""
        numbers = (self.spec.name, self.spec.tile_px, self.spec.spacing_um, self.spec.mean, self.spec.std)
        return f"{hashlib.sha256(self.content).hexdigest()} {numbers!r}"

    def engine(self, device: Device, threads: int | None = None) -> TorchEngine:
        """Put it on a device.

        Raises
        ------
        BundleError
            If the weights do not fit the encoder.
        """
        try:
            tensors = safetensors.numpy.load(self.content)
        except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
            raise BundleError("the encoder's weights are not a safetensors file; convert them first") from error
        spec = self.spec
        return TorchEngine(
            build_encoder(spec.name, tensors), spec.mean, spec.std, spec.embed_dim, device=device, threads=threads
        )


def read_weights(path: Path | None = None) -> EncoderWeights:
    """Weights of EfficientNet-Lite0 from a file, or of the built-in bundle.

    Raises
    ------
    MissingInputError
        If there is no such file.
    BundleError
        If the built-in bundle is damaged.
    """
    if path is None:
        return weights_of(load_bundle())
    try:
        return EncoderWeights(path.read_bytes(), EFFICIENTNET_LITE0)
    except OSError as error:
        msg = f"the encoder's weights {path} cannot be read: {error.strerror}"
        raise MissingInputError(msg) from error


def weights_of(bundle: Bundle) -> EncoderWeights:
    """Weights of a loaded bundle."""
    return EncoderWeights((bundle.folder / ENCODER_FILE).read_bytes(), bundle.manifest.encoder)
