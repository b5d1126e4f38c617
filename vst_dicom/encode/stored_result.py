"""A result folder read back as a table, to write it in other forms without the slide."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
from anndata import AnnData, read_h5ad

from vst_dicom.domain.errors import MissingInputError, UsageError
from vst_dicom.domain.wording import RESEARCH_USE_ONLY, UNIT

TABLE_FILE: Final = "expression.h5ad"
SUMMARY_FILE: Final = "summary.json"
TILES_FILE: Final = "tiles.geojson"

_PLACE: Final = ("row", "column", "x_mm", "y_mm")


@dataclass(frozen=True, eq=False)
class StoredResult:
    """What a result folder holds, of the chosen genes.

    Parameters
    ----------
    folder
        Where it lies.
    table
        Tiles by genes, as `vst_dicom.encode.anndata_export.write_anndata` wrote it.
    summary
        Content of ``summary.json``.
    """

    folder: Path
    table: AnnData
    summary: Mapping[str, Any]

    @property
    def about(self) -> dict[str, str]:
        """What a reader of any form must know, as text."""
        bundle, slide = self.summary["bundle"], self.summary["slide"]
        return {
            "intended_use": RESEARCH_USE_ONLY,
            "quantity": "predicted mRNA expression, inferred from H&E morphology, not measured",
            "unit": UNIT,
            "intervals": self.summary["intervals"] or "none",
            "bundle": f"{bundle['id']} {bundle['version']}",
            "bundle_sha256": bundle["sha256"],
            "series_instance_uid": slide["series_instance_uid"],
            "frame_of_reference_uid": slide["frame_of_reference_uid"],
            "result_key": self.summary["result_key"],
            "created": self.summary["created"],
            "places": "x_mm, y_mm: tile centers in the slide's frame of reference",
        }

    def to_frame(self) -> pd.DataFrame:
        """Give one row per tile: place, then values of genes, then the halves of their intervals, then the rest.

        Half widths are named ``GENE +/-``.
        """
        table = self.table
        values = pd.DataFrame(table.X, index=table.obs_names, columns=table.var_names.astype(str))
        parts = [table.obs[list(_PLACE)], values]
        if "interval_half_width" in table.layers:
            names = [f"{symbol} +/-" for symbol in table.var_names]
            parts.append(pd.DataFrame(table.layers["interval_half_width"], index=table.obs_names, columns=names))
        parts.append(table.obs.drop(columns=list(_PLACE)))
        joined: pd.DataFrame = pd.concat(parts, axis=1)
        return joined


def read_stored_result(folder: Path, genes: Sequence[str] | None = None) -> StoredResult:
    """Read what a run wrote.

    Parameters
    ----------
    folder
        A result folder.
    genes
        Symbols to keep, in this order; all if None.

    Raises
    ------
    MissingInputError
        If the folder is no result, or has no table.
    UsageError
        If the result does not have a gene.
    """
    if not (folder / SUMMARY_FILE).is_file():
        msg = f"{folder} is no result folder: it has no {SUMMARY_FILE}; give a folder that predict or serve wrote"
        raise MissingInputError(msg)
    if not (folder / TABLE_FILE).is_file():
        msg = f"{folder} has no {TABLE_FILE}, from which other forms are made; predict again with h5ad among --formats"
        raise MissingInputError(msg)
    try:
        summary = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
        table = read_h5ad(folder / TABLE_FILE)
        stored = StoredResult(folder, table, summary)
        stored.about  # noqa: B018 - all that forms state must be there
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"the files of {folder} are damaged ({type(error).__name__}); predict again"
        raise MissingInputError(msg) from error
    if genes is None:
        return stored
    unknown = [symbol for symbol in genes if symbol not in table.var_names]
    if unknown:
        msg = f"the result has no values of {', '.join(unknown)}; it has {', '.join(table.var_names)}"
        raise UsageError(msg)
    return StoredResult(folder, table[:, list(dict.fromkeys(genes))].copy(), summary)
