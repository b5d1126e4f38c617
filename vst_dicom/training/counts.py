"""Raw counts of a section, whatever file they came from."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import InputError


@dataclass(frozen=True, eq=False)
class CountedSpots:
    """Spots with a place and at least one transcript.

    Parameters
    ----------
    keys
        Name of each spot.
    centers_px
        x, y in the image, shape ``(n_spots, 2)``.
    chosen
        Raw counts of the genes asked for, shape ``(n_spots, n_genes)``; 0 for one that the file does not list.
    total_counts
        Raw counts of all genes, shape ``(n_spots,)``.
    listed
        Genes asked for that the file lists.
    dropped
        How many rows of the files were left out.
    """

    keys: tuple[str, ...]
    centers_px: NDArray[np.float64]
    chosen: NDArray[np.float64]
    total_counts: NDArray[np.float64]
    listed: Collection[str]
    dropped: int


def check_counts(values: NDArray[np.floating], where: str) -> None:
    """Refuse numbers that are no raw counts.

    Raises
    ------
    InputError
        If a number is not finite, negative or broken.
    """
    if not np.isfinite(values).all():
        msg = f"{where}: a count is not finite; a missing count must be 0"
        raise InputError(msg)
    if (values < 0).any() or (values != np.rint(values)).any():
        msg = (
            f"{where}: there are numbers that are not counts (negative or broken); give raw counts, not normalized ones"
        )
        raise InputError(msg)
