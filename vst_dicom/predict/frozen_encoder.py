"""An encoder that is known, and loaded when somebody needs it: a cached graph or choice makes do without torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vst_dicom.predict.manifest_model import Encoder

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, eq=False)
class FrozenEncoder:
    """An encoder and its weights.

    Parameters
    ----------
    spec
        What a manifest says about it.
    weights_sha256
        Hash of its file of weights.
    load
        Builds the network and puts the weights into it; every call gives another one.
    """

    spec: Encoder
    weights_sha256: str
    load: "Callable[[], nn.Module]"
