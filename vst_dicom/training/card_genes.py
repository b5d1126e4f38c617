"""Every gene of the panel as a table that sorts without a script: each row carries its place in every order."""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Final

from vst_dicom.domain.expression import GeneStatus
from vst_dicom.domain.wording import UNIT
from vst_dicom.predict.manifest_evidence import GeneEntry
from vst_dicom.training.card import best_baseline, figures_of, number, p_value


def _last(value: float | None, key: Callable[[float], float]) -> float:
    """Sort what is missing to the end."""
    return math.inf if value is None else key(value)


_SORTS: Final[tuple[tuple[str, str, Callable[[GeneEntry], float | str]], ...]] = (
    ("r", "held-out r", lambda gene: -gene.held_out_r),
    ("adjusted", "depth-adjusted r", lambda gene: _last(gene.depth_adjusted_r, lambda r: -r)),
    ("other", "other patient", lambda gene: _last(gene.other_patient_r, lambda r: -r)),
    ("slope", "slope nearest 1", lambda gene: _last(gene.slope, lambda slope: abs(slope - 1))),
    ("symbol", "name", lambda gene: gene.symbol.casefold()),
)  # fmt: skip
"""Id, label and key of each order of the gene table."""


def gene_table(genes: Sequence[GeneEntry]) -> str:
    """Set every gene of the panel, sortable and with a choice of what to see."""
    places: dict[str, list[int]] = {}
    for name, _, key in _SORTS:
        order = sorted(range(len(genes)), key=lambda index, key=key: key(genes[index]))  # type: ignore[misc]
        places[name] = [0] * len(genes)
        for place, index in enumerate(order):
            places[name][index] = place
    sorts = "".join(
        f'<label><input type="radio" name="sort" id="by-{name}"{" checked" if name == "r" else ""}>{label}</label>'
        for name, label, _ in _SORTS
    )
    wanted = "".join(
        f'<label><input type="radio" name="only" id="only-{name}"{" checked" if name == "all" else ""}>{name}</label>'
        for name in ("all", "shown", "hidden")
    )
    head = ("gene", "status", "r", "95 % interval", "positive", "depth-adj.", "Spear&shy;man", "R²", "MAE", "slope",
            "q", "Moran ratio", "best baseline")  # fmt: skip
    by_r = sorted(range(len(genes)), key=lambda index: places["r"][index])
    body = "\n".join(_gene(genes[i], {name: at[i] for name, at in places.items()}) for i in by_r)
    cells = "".join(f'<th role="columnheader">{name}</th>' for name in head)
    return f"""<p>Medians over the pieces of tissue left out. MAE in {UNIT}. Moran ratio: spatial autocorrelation of
predicted by measured maps; measured ones carry counting noise, so it is mostly above 1.</p>
<div class="genes">
<fieldset><legend>Sort by</legend>{sorts}</fieldset> <fieldset><legend>Genes</legend>{wanted}</fieldset>
<div class="wide"><table role="table" aria-label="Every gene of the panel">
<thead role="rowgroup"><tr role="row">{cells}</tr></thead>
<tbody role="rowgroup">
{body}
</tbody></table></div></div>"""


def _gene(gene: GeneEntry, places: dict[str, int]) -> str:
    cells = (
        f'<span class="chip {gene.status}">{gene.status}</span>',
        f"<strong>{gene.held_out_r:.2f}</strong>",
        *figures_of(gene),
        number(gene.slope) + (" †" if gene.ranks_only else ""),
        p_value(gene.q),
        number(gene.moran_ratio),
        escape(best_baseline(gene)),
    )
    order = "".join(f"--by-{name}:{place};" for name, place in places.items())
    hidden = ' class="is-hidden"' if gene.status is GeneStatus.HIDDEN else ""
    symbol = (
        f'<td role="cell" class="symbol">{escape(gene.symbol)}<small>{escape(gene.hgnc or "no HGNC id")}</small></td>'
    )
    rest = "".join(f'<td role="cell">{cell}</td>' for cell in cells)
    why = f'<td role="cell" class="why">{escape(gene.reason)}</td>'
    return f'<tr role="row"{hidden} style="{order}">{symbol}{rest}{why}</tr>'
