"""The held-out figures as a table for people and as JSON for programs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from vst_dicom.training.evaluate import FoldScore, Protocol
from vst_dicom.training.figures import N_DRAWS, Figures, average
from vst_dicom.training.gate import GeneEvidence, patient_figures
from vst_dicom.training.lattice import sign_flip_p
from vst_dicom.training.scores import bootstrap_medians

_SEED: Final = 0
"""Of the draws for the table."""


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
    interval
        95 % interval of `r` over patients, for the mean over enough of them; None elsewhere.
    r2
        Median over genes of the mean over units.
    p, depth_adjusted_p
        One-sided, of `r` and `depth_adjusted_r` against maps laid over at random; None where none were.
    baselines, depth_adjusted_baselines
        The same as `r` and `depth_adjusted_r` for each baseline.
    lead_p
        One-sided p that `depth_adjusted_r` is above that of each baseline, by flipping signs of blocks of spots.
    """

    protocol: str
    held_out: str
    trained_on: str
    n_spots: int
    r: float
    depth_adjusted_r: float
    rank_r: float
    interval: tuple[float, float] | None
    r2: float
    p: float | None
    depth_adjusted_p: float | None
    baselines: dict[str, float]
    depth_adjusted_baselines: dict[str, float]
    lead_p: dict[str, float]


def summarize(scores: Sequence[FoldScore]) -> list[Row]:
    """One row per fold; before the sections of a patient, and before all patients, one row with their mean."""
    rows = []
    for protocol in Protocol:
        of_protocol = [score for score in scores if score.fold.protocol is protocol]
        if protocol in (Protocol.PATIENT, Protocol.SITE) and len(of_protocol) > 2:
            rows.append(_mean_over_patients(of_protocol))
        for patient in dict.fromkeys(score.fold.patient for score in scores):
            units = [score for score in of_protocol if score.fold.patient == patient]
            if protocol in (Protocol.SECTION, Protocol.SECTION_ALL_PATIENTS) and units:
                trained = "the other sections" if protocol is Protocol.SECTION else "the other sections and patients"
                names = ", ".join(unit.fold.unit for unit in units)
                rows.append(_row(units, f"each of {names} (mean)", trained))
            if protocol is not Protocol.SECTION_ALL_PATIENTS:
                rows.extend(_row([u], _held_out_name(u), ", ".join(u.fold.train)) for u in units)
    return rows


def mean_row(scores: Sequence[FoldScore], protocol: Protocol) -> Row | None:
    """Average all folds of a protocol; None where there are none."""
    folds = [score for score in scores if score.fold.protocol is protocol]
    return _row(folds, f"each {protocol} (mean)", "the others") if folds else None


def as_json(
    symbols: Sequence[str], scores: Sequence[FoldScore], genes: Sequence[GeneEvidence], rows: Sequence[Row]
) -> dict[str, Any]:
    """Everything, rounded to four digits: table, folds with their figures per gene, verdicts."""
    return {
        "schema": "vst-evidence/2",
        "table": [_rounded(asdict(row)) for row in rows],
        "folds": [
            {
                "protocol": str(score.fold.protocol),
                "held_out": score.fold.unit,
                "train": list(score.fold.train),
                "test": list(score.fold.test),
                **_rounded(asdict(score.choice)),
                "n_spots": score.n_spots,
                **_listed_figures(score.figures),
            }
            for score in scores
        ],
        "genes": [
            {"symbol": symbol, **_rounded(asdict(gene)), "ranks_only": gene.ranks_only}
            for symbol, gene in zip(symbols, genes, strict=True)
        ],
        "null": {"n_maps": N_DRAWS, "kind": "measured map mirrored and shifted over the predicted one, on a torus"},
    }


def _listed_figures(figures: Figures) -> dict[str, Any]:
    return {
        "r": _rounded_value(figures.r),
        "depth_adjusted_r": _rounded_value(figures.depth_adjusted_r),
        "spearman": _rounded_value(figures.rank_r),
        "r2": _rounded_value(figures.r2),
        "mae": _rounded_value(figures.mae),
        "slope": _rounded_value(figures.slope),
        "moran_predicted": _rounded_value(figures.moran_predicted),
        "moran_measured": _rounded_value(figures.moran_measured),
        **{f"{name}_r": _rounded_value(values) for name, values in figures.baselines.items()},
    }


def _held_out_name(score: FoldScore) -> str:
    fold = score.fold
    if fold.protocol in (Protocol.PATIENT, Protocol.SITE):
        return f"{fold.protocol} {fold.unit} ({', '.join(fold.test)})"
    return fold.unit


def _mean_over_patients(scores: Sequence[FoldScore]) -> Row:
    by_patient = patient_figures(scores)
    what = "each patient" if scores[0].fold.protocol is Protocol.PATIENT else "each patient, with its site,"
    row = _row(scores, f"{what} (mean of {len(by_patient)})", "the others", list(by_patient.values()))
    ends = bootstrap_medians(np.array([[figures.r.mean()] for figures in by_patient.values()]), _SEED)
    if ends is None:
        return row
    return Row(**{**{name: getattr(row, name) for name in Row.__slots__}, "interval": (ends[0][0], ends[1][0])})


def _row(scores: Sequence[FoldScore], held_out: str, trained_on: str, units: Sequence[Figures] | None = None) -> Row:
    """Line of the mean over folds, or over `units` where these are not the folds."""
    mean = average(units or [score.figures for score in scores])
    random = np.random.default_rng(_SEED)
    return Row(
        protocol=str(scores[0].fold.protocol),
        held_out=held_out,
        trained_on=trained_on,
        n_spots=sum(score.n_spots for score in scores),
        r=float(mean.r.mean()),
        depth_adjusted_r=float(mean.depth_adjusted_r.mean()),
        rank_r=float(mean.rank_r.mean()),
        interval=None,
        r2=float(np.median(mean.r2)),
        p=_panel_p(mean.r, mean.null_r),
        depth_adjusted_p=_panel_p(mean.depth_adjusted_r, mean.null_depth_adjusted_r),
        baselines={name: float(values.mean()) for name, values in mean.baselines.items()},
        depth_adjusted_baselines={name: float(r.mean()) for name, r in mean.depth_adjusted_baselines.items()},
        lead_p={name: sign_flip_p(sums, N_DRAWS, random) for name, sums in mean.gains.items()},
    )


def _panel_p(observed: Any, null: Any) -> float | None:
    """One-sided p of the mean over the panel."""
    if not len(null):
        return None
    return float((1 + (null.mean(axis=1) >= observed.mean()).sum()) / (1 + len(null)))


def _rounded_value(value: Any) -> Any:
    """Floats to four digits, in lists, arrays and dictionaries too."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, tuple | list | np.ndarray):
        return [_rounded_value(one if isinstance(one, str) else float(one)) for one in value]
    return _rounded(value) if isinstance(value, dict) else value


def _rounded(facts: dict[str, Any]) -> dict[str, Any]:
    return {key: _rounded_value(value) for key, value in facts.items()}
