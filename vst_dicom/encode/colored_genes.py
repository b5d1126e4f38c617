"""Which genes are drawn in colors: as annotations, as fractional segments."""

from collections.abc import Sequence
from typing import Final

from vst_dicom.domain.errors import UsageError
from vst_dicom.domain.result import SlideResult

N_DEFAULT_GENES: Final = 3


def choose_colored_genes(result: SlideResult, symbols: Sequence[str] | None) -> list[int]:
    """Choose columns of the expression table.

    Parameters
    ----------
    result
        The predictions.
    symbols
        Of the genes to draw; the `N_DEFAULT_GENES` with the best evidence if None.

    Returns
    -------
    list of int
        Indices of columns, each once, in the order of the symbols or of the evidence.

    Raises
    ------
    UsageError
        If a symbol names no shown gene.
    """
    genes = result.expression.genes
    if symbols is None:
        return sorted(range(len(genes)), key=lambda index: -genes[index].held_out_r)[:N_DEFAULT_GENES]
    columns = {panel_gene.gene.symbol: index for index, panel_gene in enumerate(genes)}
    unknown = [symbol for symbol in symbols if symbol not in columns]
    if unknown:
        msg = f"no map is shown for {', '.join(unknown)}; choose from the genes of the result"
        raise UsageError(msg)
    return [columns[symbol] for symbol in dict.fromkeys(symbols)]
