"""The held-out figures as a table for people and as JSON for programs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vst_dicom.training.evaluate import NUCLEI, NUCLEI_FITTED, STAIN, TOTAL_COUNTS, FoldScore, Protocol
from vst_dicom.training.gate import GeneEvidence


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: mean over the panel of the held-out figures of some units.

    Parameters
    ----------
    protocol, held_out, trained_on
        What was kept apart, and what trained.
    n_spots
        Tested spots.
    r, depth_adjusted_r, rank_r
        Means over genes and units.
    r2
        Median over genes of the mean over units.
    nuclei_r, nuclei_fitted_r, stain_r, total_counts_r
        The same as `r` for the baselines.
    """

    protocol: str
    held_out: str
    trained_on: str
    n_spots: int
    r: float
    depth_adjusted_r: float
    rank_r: float
    r2: float
    nuclei_r: float
    nuclei_fitted_r: float
    stain_r: float
    total_counts_r: float


def summarize(scores: Sequence[FoldScore]) -> list[Row]:
    """One row per fold, and before the sections of a patient one row with their mean."""
    rows = []
    for protocol in Protocol:
        for patient in dict.fromkeys(score.fold.patient for score in scores):
            units = [s for s in scores if s.fold.protocol is protocol and s.fold.patient == patient]
            if protocol is not Protocol.PATIENT and units:
                trained = "the other sections" if protocol is Protocol.SECTION else "the other sections and patients"
                names = ", ".join(unit.fold.unit for unit in units)
                rows.append(_row(units, f"each of {names} (mean)", trained))
            if protocol is not Protocol.SECTION_ALL_PATIENTS:
                rows.extend(_row([u], _held_out_name(u), ", ".join(u.fold.train)) for u in units)
    return rows


def as_json(
    symbols: Sequence[str], scores: Sequence[FoldScore], genes: Sequence[GeneEvidence], rows: Sequence[Row]
) -> dict[str, Any]:
    """Everything, rounded to four digits: table, folds with their figures per gene, verdicts."""
    return {
        "schema": "vst-evidence/1",
        "table": [_rounded(asdict(row)) for row in rows],
        "folds": [
            {
                "protocol": str(score.fold.protocol),
                "held_out": score.fold.unit,
                "train": list(score.fold.train),
                "test": list(score.fold.test),
                "alpha": score.choice.alpha,
                "rank": score.choice.rank,
                "n_spots": score.n_spots,
                "r": _listed(score.r),
                "depth_adjusted_r": _listed(score.depth_adjusted_r),
                "spearman": _listed(score.rank_r),
                "r2": _listed(score.r2),
                **{f"{name}_r": _listed(values) for name, values in score.baselines.items()},
            }
            for score in scores
        ],
        "genes": [{"symbol": symbol, **_rounded(asdict(gene))} for symbol, gene in zip(symbols, genes, strict=True)],
    }


def _held_out_name(score: FoldScore) -> str:
    fold = score.fold
    return f"patient {fold.unit} ({', '.join(fold.test)})" if fold.protocol is Protocol.PATIENT else fold.unit


def _row(units: Sequence[FoldScore], held_out: str, trained_on: str) -> Row:
    def mean(values: Sequence[Any]) -> float:
        return float(np.mean(values))

    return Row(
        protocol=str(units[0].fold.protocol),
        held_out=held_out,
        trained_on=trained_on,
        n_spots=sum(unit.n_spots for unit in units),
        r=mean([unit.r for unit in units]),
        depth_adjusted_r=mean([unit.depth_adjusted_r for unit in units]),
        rank_r=mean([unit.rank_r for unit in units]),
        r2=float(np.median(np.mean([unit.r2 for unit in units], axis=0))),
        nuclei_r=mean([unit.baselines[NUCLEI] for unit in units]),
        nuclei_fitted_r=mean([unit.baselines[NUCLEI_FITTED] for unit in units]),
        stain_r=mean([unit.baselines[STAIN] for unit in units]),
        total_counts_r=mean([unit.baselines[TOTAL_COUNTS] for unit in units]),
    )


def _listed(values: Any) -> list[float]:
    return [round(float(value), 4) for value in values]


def _rounded(facts: dict[str, Any]) -> dict[str, Any]:
    """Floats to four digits, pairs of them too."""
    return {
        key: round(value, 4) if isinstance(value, float) else _listed(value) if isinstance(value, tuple) else value
        for key, value in facts.items()
    }
