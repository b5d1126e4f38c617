"""Ordered genes that a bundle predicts."""

import csv
import importlib.resources
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from vst_dicom.domain.errors import InputError, MissingInputError
from vst_dicom.domain.expression import Gene

DEFAULT_PANEL: Final = "her2st_top250"
"""The 250 genes of highest mean expression in seven patients (A, C to H) of HER2ST, in that order.

Symbols are those of the counts, some of them older than today's; HGNC identifiers were resolved through HGNC's own
table of approved and previous symbols (CC0) and left empty where it has none or several.
"""

DEFAULT_PANEL_TEXT: Final = (
    "the 250 genes of highest mean expression over 30 sections of seven HER2ST patients (A, C to H; Andersson et al. "
    "2021, CC BY 4.0); patient C is one of them, patient B is not"
)
"""For cards."""

_SYMBOL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_HGNC: Final = re.compile(r"HGNC:[0-9]+")


def read_panel(path: Path | None = None) -> tuple[Gene, ...]:
    """Read a panel, or the default one.

    Parameters
    ----------
    path
        One gene symbol per line; or tab-separated with a header and the columns ``symbol`` and ``hgnc``.

    Raises
    ------
    MissingInputError
        If there is no such file.
    InputError
        If a line is no gene, or a gene comes twice.
    """
    source = (
        importlib.resources.files("vst_dicom.training") / "panels" / f"{DEFAULT_PANEL}.tsv" if path is None else path
    )
    name = DEFAULT_PANEL if path is None else str(path)
    try:
        lines = [line for line in source.read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError as error:
        msg = f"there is no panel {name}"
        raise MissingInputError(msg) from error
    except (OSError, UnicodeDecodeError) as error:
        msg = f"the panel {name} is not a text file: {error}"
        raise InputError(msg) from error
    if lines and lines[0].split("\t")[0] != "symbol":
        lines = ["symbol", *lines]
    rows: Sequence[dict[str, str]] = list(csv.DictReader(lines, delimiter="\t"))
    genes = []
    for row in rows:
        symbol, hgnc = row["symbol"].strip(), (row.get("hgnc") or "").strip()
        if not _SYMBOL.fullmatch(symbol) or (hgnc and not _HGNC.fullmatch(hgnc)):
            msg = f"the panel {name}: {symbol!r}, {hgnc!r} is not a gene symbol and an HGNC identifier or nothing"
            raise InputError(msg)
        genes.append(Gene(symbol, hgnc or None))
    symbols = [gene.symbol for gene in genes]
    if not symbols or len(set(symbols)) < len(symbols):
        msg = f"the panel {name} is empty or names a gene twice"
        raise InputError(msg)
    return tuple(genes)
