"""Arrays that take long to compute, kept between runs."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from vst_dicom.files import whole_file


def read_arrays(cache_file: Path | None) -> dict[str, NDArray[np.floating]] | None:
    """Arrays of an earlier run; None where there are none that can be read."""
    if cache_file is None or not cache_file.is_file():
        return None
    try:
        return dict(safetensors.numpy.load_file(cache_file))
    except (safetensors.SafetensorError, OSError):
        return None


def write_arrays(cache_file: Path | None, arrays: Mapping[str, NDArray[np.floating]]) -> None:
    """Write whole or not at all; nothing where there is no file to write."""
    if cache_file is None:
        return
    cache_file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(cache_file) as temporary:
        temporary.write_bytes(safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in arrays.items()}))
