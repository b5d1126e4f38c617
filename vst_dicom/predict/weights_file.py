"""Files of an encoder's weights: safetensors only, since reading a pickle runs whatever its author put in."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import safetensors

from vst_dicom.domain.errors import BundleError, MissingInputError

if TYPE_CHECKING:
    from torch import Tensor

CONVERT: Final = (
    "python -c \"import torch, safetensors.torch as s; w = torch.load('pytorch_model.bin', map_location='cpu', "
    "weights_only=True); s.save_file({k: v.contiguous().clone() for k, v in w.items()}, 'model.safetensors')\""
)
"""Turns a published PyTorch file into safetensors, for the operator to run where its source is trusted."""

_DTYPES: Final = ("float32", "float16", "bfloat16")
"""Numbers that weights are published in; the network computes in float32."""

_PICKLE_STARTS: Final = (b"\x80", b"PK")
"""First bytes of a bare pickle, and of the zip archive that torch.save makes."""


def check_header(path: Path, name: str) -> None:
    """Look whether a file is safetensors, without reading its tensors.

    Parameters
    ----------
    path, name
        The file, and what messages call it.

    Raises
    ------
    BundleError
        If it is something else.
    MissingInputError
        If it cannot be read.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as opened:
            opened.keys()
    except safetensors.SafetensorError as error:
        raise _not_safetensors(_first_bytes(path), name) from error
    except OSError as error:
        msg = f"the encoder's weights {path} cannot be read: {error.strerror or error}"
        raise MissingInputError(msg) from error


def read_tensors(path: Path, name: str) -> dict[str, "Tensor"]:
    """Tensors of a file by name, float32; parameters and errors as of `check_header`."""
    import safetensors.torch

    check_header(path, name)
    return as_float32(safetensors.torch.load_file(path), name)


def parse_tensors(content: bytes, name: str) -> dict[str, "Tensor"]:
    """Tensors of a file's content by name, float32.

    Raises
    ------
    BundleError
        If it is not safetensors, or holds something else than real numbers.
    """
    import safetensors.torch

    try:
        tensors = safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _not_safetensors(content[:2], name) from error
    return as_float32(tensors, name)


def as_float32(tensors: dict[str, "Tensor"], name: str) -> dict[str, "Tensor"]:
    """Widen half precisions; counters of training steps are whole numbers and are left out.

    Raises
    ------
    BundleError
        If a tensor holds something else than real numbers.
    """
    kept = {key: tensor for key, tensor in tensors.items() if not key.endswith("num_batches_tracked")}
    for key, tensor in kept.items():
        kind = str(tensor.dtype).removeprefix("torch.")
        if kind not in _DTYPES:
            msg = f"{name}: {key} is {kind}, not float32, float16 or bfloat16; take weights that are not quantized"
            raise BundleError(msg)
    return {key: tensor.float() for key, tensor in kept.items()}


def pickle_refusal(name: str) -> BundleError:
    """Say that a file is a pickle, and how to convert it."""
    msg = (
        f"{name} is a pickled PyTorch file, which is never loaded: reading it would run code. Convert it where you "
        f"trust its source: {CONVERT}"
    )
    return BundleError(msg)


def _not_safetensors(start: bytes, name: str) -> BundleError:
    """Say what a file is by its first bytes, and how to get what is wanted."""
    if start.startswith(_PICKLE_STARTS):
        return pickle_refusal(name)
    return BundleError(f"{name} is not a safetensors file, or is cut short; get it again")


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(2)
