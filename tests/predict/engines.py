"""Engines around networks that a test makes itself."""

from torch import nn

from vst_dicom.predict.ladder import LadderEngine, Rung
from vst_dicom.predict.manifest_model import Rgb
from vst_dicom.predict.torch_runner import TorchRunner


def torch_engine(network: nn.Module, mean: Rgb, std: Rgb, embed_dim: int, batch_size: int = 32) -> LadderEngine:
    """Compute with a network as it is, on the CPU."""
    rung = Rung("torch fp32 on cpu", lambda: [TorchRunner(network, mean, std)])
    return LadderEngine([rung], embed_dim, batch_size)
