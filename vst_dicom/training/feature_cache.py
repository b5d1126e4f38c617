"""Features kept on disk between runs, so that a run that was cut off goes on where it stopped."""

from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from vst_dicom.files import whole_file

Arrays = dict[str, NDArray[np.floating]]


class FeatureCache:
    """The cache file of one section, and those of its pieces while it is worked on.

    Parameters
    ----------
    folder
        Where the files lie; None keeps none.
    name
        Name of the section's file, without ending: it says everything that features depend on.
    """

    def __init__(self, folder: Path | None, name: str) -> None:
        self._folder = folder
        self._name = name

    def read(self, piece: int | None = None) -> Arrays | None:
        """Arrays of an earlier run, of the whole section or a piece; None where there are none that can be read."""
        path = self._path(piece)
        if path is None or not path.is_file():
            return None
        try:
            return dict(safetensors.numpy.load_file(path))
        except (safetensors.SafetensorError, OSError):
            return None

    def write(self, arrays: Arrays, piece: int | None = None) -> None:
        """Write the whole section or a piece, whole or not at all.

        Raises
        ------
        ResourceError
            If the disk is full.
        """
        path = self._path(piece)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            temporary.write_bytes(safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in arrays.items()}))

    def forget_pieces(self, n_pieces: int) -> None:
        """Remove the files of the pieces, once the section's own is written."""
        for piece in range(n_pieces):
            path = self._path(piece)
            if path is not None:
                path.unlink(missing_ok=True)

    def _path(self, piece: int | None) -> Path | None:
        if self._folder is None:
            return None
        return self._folder / f"{self._name}{'' if piece is None else f'-piece{piece}'}.safetensors"
