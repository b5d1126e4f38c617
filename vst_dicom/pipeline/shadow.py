"""What a shadow's result says beside the one that is used: how far two bundles agree on one slide."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from vst_dicom.domain.forms import ResultForm
from vst_dicom.files import whole_file
from vst_dicom.pipeline.writing import ANNDATA_FILE, SUMMARY_FILE

SHADOW_FORMS: Final = frozenset({ResultForm.ANNDATA})
"""A shadow makes no DICOM object, so there is none that could be sent."""


def compare_with_main(main: Path, shadow: Path, main_key: str) -> dict[str, Any]:
    """Compare a shadow's maps with those of the result beside which it was made, and write it into its summary.

    Parameters
    ----------
    main, shadow
        Result folders.
    main_key
        Job of the first.

    Returns
    -------
    dict[str, Any]
        Number of common tiles and genes, per common gene the correlation over tiles and the mean difference, and the
        genes that only one of the bundles shows; or why there is nothing to compare.
    """
    figures = {"of": main_key, **_compare(main / ANNDATA_FILE, shadow / ANNDATA_FILE)}
    path = shadow / SUMMARY_FILE
    summary = json.loads(path.read_text(encoding="utf-8"))
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps({**summary, "shadow": figures}, indent=1) + "\n", encoding="utf-8")
    return figures


def read_figures(shadow: Path) -> dict[str, Any]:
    """Read what `compare_with_main` wrote."""
    figures: dict[str, Any] = json.loads((shadow / SUMMARY_FILE).read_text(encoding="utf-8"))["shadow"]
    return figures


def _compare(main: Path, shadow: Path) -> dict[str, Any]:
    import anndata

    for path, whose in ((main, "result that is used"), (shadow, "shadow's result")):
        if not path.is_file():
            return {"problem": f"the {whose} has no table of genes"}
    used, beside = anndata.read_h5ad(main), anndata.read_h5ad(shadow)
    tiles = used.obs_names.intersection(beside.obs_names)
    genes = used.var_names.intersection(beside.var_names)
    first, second = (
        np.asarray(table[tiles, genes].X, dtype=np.float64) for table in (used, beside)
    )  # fmt: skip
    per_gene = {
        gene: {"r": _correlation(a, b), "mean_difference": round(float((b - a).mean()), 4)}
        for gene, a, b in zip(genes, first.T, second.T, strict=True)
    } if len(tiles) else {}  # fmt: skip
    correlations = [value["r"] for value in per_gene.values() if value["r"] is not None]
    return {
        "n_tiles": len(tiles),
        "n_genes": len(genes),
        "median_r": round(float(np.median(correlations)), 4) if correlations else None,
        "genes": per_gene,
        "only_used": sorted(set(used.var_names) - set(genes)),
        "only_shadow": sorted(set(beside.var_names) - set(genes)),
    }


def _correlation(first: Any, second: Any) -> float | None:
    """Pearson over tiles; None where one of them does not vary."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return round(float(np.corrcoef(first, second)[0, 1]), 4)
