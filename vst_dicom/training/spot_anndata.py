"""Counts and places of spots from AnnData (.h5ad), as HEST and scanpy lay spatial data out.

AnnData's own reader is used; it reads numbers and text out of HDF5 and has no way to run what a file says.
"""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import InputError, MissingInputError
from vst_dicom.training.counts import CountedSpots, check_counts

_ENSEMBL: Final = re.compile(r"ENS[A-Z]*G\d{11}(\.\d+)?")

_SYMBOL_COLUMNS: Final = ("symbol", "gene_symbol", "gene_symbols", "gene_name", "gene_names", "feature_name", "SYMBOL")
"""Columns of ``var`` that hold symbols where the index holds Ensembl identifiers."""


def read_anndata(path: Path, genes: Sequence[str], section_id: str) -> CountedSpots:
    """Read raw counts and places.

    Parameters
    ----------
    path
        ``X`` holds raw counts, dense or sparse; the index of ``var`` gene symbols, or Ensembl identifiers with the
        symbols in a column beside it; ``obsm["spatial"]`` x, y of the spots in level-0 pixels. Where ``obs`` has a
        column ``in_tissue``, spots outside the tissue are left out. Counts of a symbol that occurs twice are added.
    genes
        Symbols wanted.
    section_id
        For messages.

    Raises
    ------
    MissingInputError
        If there is no such file.
    InputError
        If it has another form, or holds something else than counts.
    """
    table = _open(path)
    where = f"section {section_id}, {path.name}"
    counts = _counts(table, where)
    centers_px = _centers(table, where)
    keys = [str(name) for name in table.obs_names]
    _refuse_twice(keys, f"{where}: the spot", "give every spot a name of its own")
    total_counts = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    keep = _in_tissue(table, where) & (total_counts > 0)
    if not keep.any():
        msg = f"{where}: no spot in tissue has any count"
        raise InputError(msg)
    _refuse_twice([f"{x:g}, {y:g}" for x, y in centers_px[keep]], f"{where}: the place", "a place can have one spot")
    columns_of: dict[str, list[int]] = {}
    for column, symbol in enumerate(_symbols(table, where)):
        columns_of.setdefault(symbol, []).append(column)
    chosen = np.zeros((int(keep.sum()), len(genes)), dtype=np.float64)
    for position, symbol in enumerate(genes):
        if symbol in columns_of:
            chosen[:, position] = np.asarray(counts[:, columns_of[symbol]].sum(axis=1)).ravel()[keep]
    return CountedSpots(
        keys=tuple(key for key, kept in zip(keys, keep, strict=True) if kept),
        centers_px=centers_px[keep],
        chosen=chosen,
        total_counts=total_counts[keep],
        listed=columns_of.keys() & set(genes),
        dropped=int((~keep).sum()),
    )


def read_uns(path: Path, key: str) -> object | None:
    """Take one value of ``uns``; None where there is none.

    Raises
    ------
    MissingInputError
        If there is no such file.
    InputError
        If it is not an .h5ad file.
    """
    table = _open(path, backed="r")
    try:
        value: object | None = table.uns.get(key)
    finally:
        table.file.close()
    return value


def _open(path: Path, backed: str | None = None) -> Any:
    import anndata

    if not path.is_file():
        msg = f"there is no {path}; give the folder of the data with --data"
        raise MissingInputError(msg)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names that occur twice and old forms are this module's to judge
            return anndata.read_h5ad(path, backed=backed)
    except Exception as error:
        msg = f"{path} cannot be read as AnnData (.h5ad): {str(error).splitlines()[0] if str(error) else error!r}"
        raise InputError(msg) from error


def _counts(table: Any, where: str) -> Any:
    """Take the matrix of counts, shape ``(n_spots, n_genes)``; a sparse one stays sparse."""
    from scipy import sparse

    if table.X is None:
        msg = f"{where}: X is empty; put raw counts into X"
        raise InputError(msg)
    counts: Any = sparse.csr_matrix(table.X) if sparse.issparse(table.X) else np.asarray(table.X)
    values: NDArray[np.floating] = counts.data if sparse.issparse(counts) else counts
    if not np.issubdtype(values.dtype, np.number):
        msg = f"{where}: X holds {values.dtype}, not numbers; put raw counts into X"
        raise InputError(msg)
    check_counts(values, f"{where}, X (raw counts may lie in layers or in raw; copy them to X)")
    return counts


def _centers(table: Any, where: str) -> NDArray[np.float64]:
    if "spatial" not in table.obsm:
        msg = f"{where}: obsm has no 'spatial'; put x, y of the spots there, in pixels of the image at full resolution"
        raise InputError(msg)
    centers = np.asarray(table.obsm["spatial"])
    if centers.shape != (table.n_obs, 2) or not np.issubdtype(centers.dtype, np.number):
        msg = f"{where}: obsm['spatial'] must have two columns of numbers, x and y, not shape {centers.shape}"
        raise InputError(msg)
    centers = centers.astype(np.float64)
    if not np.isfinite(centers).all():
        msg = f"{where}: obsm['spatial'] holds a place that is not finite; leave such spots out"
        raise InputError(msg)
    return centers


def _in_tissue(table: Any, where: str) -> NDArray[np.bool_]:
    """Which spots lie in tissue; all where the file does not say."""
    if "in_tissue" not in table.obs:
        return np.ones(table.n_obs, dtype=bool)
    texts = table.obs["in_tissue"].astype(str).str.lower()
    unknown = set(texts) - {"1", "0", "1.0", "0.0", "true", "false"}
    if unknown:
        msg = f"{where}: obs['in_tissue'] holds {sorted(unknown)[0]!r}; it must hold 1 or 0"
        raise InputError(msg)
    inside: NDArray[np.bool_] = texts.isin(["1", "1.0", "true"]).to_numpy(dtype=bool)
    return inside


def _symbols(table: Any, where: str) -> list[str]:
    """Gene symbol of each column."""
    names = [str(name) for name in table.var_names]
    if not names or sum(bool(_ENSEMBL.fullmatch(name)) for name in names) <= len(names) / 2:
        return names
    for column in _SYMBOL_COLUMNS:
        if column in table.var:
            return [str(name) for name in table.var[column]]
    msg = (
        f"{where}: the index of var holds Ensembl identifiers; put the gene symbols into a column "
        f"{_SYMBOL_COLUMNS[0]!r} of var"
    )
    raise InputError(msg)


def _refuse_twice(names: Sequence[str], what: str, advice: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            msg = f"{what} {name} occurs twice; {advice}"
            raise InputError(msg)
        seen.add(name)
