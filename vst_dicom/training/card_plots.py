"""Pictures of the held-out figures for the card, as SVG."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.wording import UNIT
from vst_dicom.training.evaluate import FoldScore, Protocol
from vst_dicom.training.evidence import Row
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.gate import CALIBRATED, LEAST_DEPTH_ADJUSTED_R, LEAST_R, GeneEvidence
from vst_dicom.training.scores import FloatArray
from vst_dicom.training.yardsticks import BASELINE_NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE: Final = "#0b5c9e"
_ORANGE: Final = "#c75a00"
_GRAY: Final = "#6b7580"
_PALE: Final = "#b9c2cb"
_COLORS: Final = (_BLUE, _ORANGE, "#00795a", "#8a4f9e", "#7a6a00", "#a3324a", "#3b6f8f", "#555555")
"""Apart for readers of every color vision; shape or label tells the same."""

MOST_STRIPS: Final = 40
"""Genes in the strip plot."""

_MARKS: Final = (
    (Protocol.SECTION, "o", "its sections, one by one"),
    (Protocol.PATIENT, "D", "left out as a whole"),
    (Protocol.SITE, "s", "left out with the site"),
)

_N_BINS: Final = 10
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "card",
    "font.family": "sans-serif",
    "font.sans-serif": ["system-ui", "Segoe UI", "Helvetica", "Arial", "DejaVu Sans"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GRAY,
    "axes.labelcolor": "#1d2733",
    "xtick.color": "#3c4752",
    "ytick.color": "#3c4752",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e6eaee",
    "legend.frameon": False,
}


@contextmanager
def _drawing(n_columns: int, width: float, height: float, n_rows: int = 1) -> "Iterator[tuple[Figure, list[Axes]]]":
    """Open a figure that is the same on every machine; size in inches."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure, list(np.atleast_1d(figure.subplots(n_rows, n_columns)).reshape(-1))


def _svg(figure: "Figure") -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def main_rows(rows: Sequence[Row]) -> list[Row]:
    """Pick the lines that tell the story: means over sections of a patient, and patients or their mean."""
    sections = [row for row in rows if row.protocol == Protocol.SECTION and row.held_out.startswith("each of")]
    for protocol in (Protocol.SITE, Protocol.PATIENT):
        patients = [row for row in rows if row.protocol == protocol]
        if patients:
            return sections[:2] + (patients[:1] if patients[0].held_out.startswith("each patient") else patients[:2])
    return sections[:3]


def draw_baselines(rows: Sequence[Row]) -> str:
    """Model beside plain knowledge: r hollow, depth-adjusted r full, one panel per line of `main_rows`."""
    panels = main_rows(rows)
    names = list(panels[0].baselines)
    labels = ["this model", *(BASELINE_NAMES[name] for name in names)]
    with _drawing(len(panels), 3.3 * len(panels) + 0.4, 3.0) as (figure, axes):
        for axis, row in zip(axes, panels, strict=True):
            raw = [row.r, *(row.baselines[name] for name in names)]
            adjusted = [row.depth_adjusted_r, *(row.depth_adjusted_baselines[name] for name in names)]
            colors = [_BLUE, *[_GRAY] * len(names)]
            places = np.arange(len(labels))
            axis.hlines(places, raw, adjusted, color=colors, linewidth=1.5, alpha=0.5)
            axis.scatter(raw, places, facecolor="white", edgecolor=colors, linewidth=1.6, s=44, zorder=3, label="r")
            axis.scatter(adjusted, places, color=colors, s=44, zorder=3, label="depth-adjusted r")
            axis.axvline(0, color=_GRAY, linewidth=0.8)
            axis.set_yticks(places, labels if axis is axes[0] else [""] * len(labels))
            axis.invert_yaxis()
            axis.set_title(_wrapped(row.held_out), fontsize=10, loc="left")
            axis.set_xlabel("mean correlation over the panel")
        limits = [axis.get_xlim() for axis in axes]
        for axis in axes:
            axis.set_xlim(min(low for low, _ in limits), max(high for _, high in limits))
        handles, names_of = axes[-1].get_legend_handles_labels()
        figure.legend(handles, names_of, loc="outside lower right", ncols=2, fontsize=9)
        return _svg(figure)


def draw_distribution(verdicts: Sequence[GeneEvidence]) -> str:
    """How r and depth-adjusted r spread over the genes of the panel."""
    r = [verdict.r for verdict in verdicts]
    adjusted = [verdict.depth_adjusted_r for verdict in verdicts]
    with _drawing(1, 8.6, 2.9) as (figure, (axis,)):
        low, high = min(*r, *adjusted, 0), max(*r, *adjusted, 0.35)
        bins = np.linspace(low, high, 40).tolist()
        axis.hist(r, bins, color=_BLUE, alpha=0.30)
        axis.hist(r, bins, color=_BLUE, histtype="step", linewidth=1.6, label="r")
        axis.hist(adjusted, bins, color=_ORANGE, histtype="step", linewidth=1.6, linestyle="--",
                  label="depth-adjusted r")  # fmt: skip
        axis.axvline(LEAST_R, color=_BLUE, linewidth=1)
        axis.axvline(LEAST_DEPTH_ADJUSTED_R, color=_ORANGE, linewidth=1, linestyle="--")
        axis.set_xlabel("median held-out correlation of a gene; lines: what the gate asks for")
        axis.set_ylabel("genes")
        axis.legend(loc="upper right")
        return _svg(figure)


def draw_strips(symbols: Sequence[str], verdicts: Sequence[GeneEvidence], scores: Sequence[FoldScore]) -> str:
    """Each gene's r on every piece of tissue that was left out, best genes first, shown genes before hidden ones."""
    order = sorted(range(len(symbols)), key=lambda gene: (verdicts[gene].status == "hidden", -verdicts[gene].r))
    order = order[:MOST_STRIPS]
    patients = list(dict.fromkeys(score.fold.patient for score in scores))
    places = np.arange(len(order))
    with _drawing(1, 8.6, 0.9 + 0.21 * len(order)) as (figure, (axis,)):
        axis.axvline(0, color=_GRAY, linewidth=0.8)
        axis.axvline(LEAST_R, color=_GRAY, linewidth=0.8, linestyle=":")
        for protocol, marker, what in _MARKS:
            for number, patient in enumerate(patients):
                color = _COLORS[number % len(_COLORS)]
                units = [s for s in scores if s.fold.protocol is protocol and s.fold.patient == patient]
                for place, score in enumerate(units):
                    axis.scatter(score.figures.r[order], places, s=20, marker=marker, linewidth=1.3, zorder=3,
                                 facecolor=color if protocol is Protocol.SECTION else "white", edgecolor=color,
                                 label=f"{patient}: {what}" if place == 0 else None)  # fmt: skip
        axis.vlines([verdicts[gene].r for gene in order], places - 0.38, places + 0.38, color="#1d2733", linewidth=2,
                    zorder=4, label="median that is judged")  # fmt: skip
        axis.set_yticks(places, [symbols[gene] for gene in order], fontsize=9)
        axis.set_ylim(len(order) - 0.4, -0.6)
        axis.set_xlabel("held-out r")
        figure.legend(loc="outside upper left", ncols=3, fontsize=9)
        return _svg(figure)


def draw_calibration(
    verdicts: Sequence[GeneEvidence], folds: Sequence[FoldScore], sections: Sequence[SectionSpots]
) -> str:
    """Measured against predicted differences of the shown genes, and the slopes of all genes."""
    shown = [gene for gene, verdict in enumerate(verdicts) if verdict.status != "hidden"] or list(range(len(verdicts)))
    by_id = {section.section_id: section for section in sections}
    predicted, measured = (np.concatenate(values) for values in zip(
        *((_centered(score.predicted[name][:, shown]), _centered(by_id[name].expression[:, shown]))
          for score in folds for name in score.predicted), strict=True,
    ))  # fmt: skip
    with _drawing(2, 8.6, 3.3) as (figure, (left, right)):
        curves = [_binned(predicted[:, gene], measured[:, gene]) for gene in range(len(shown))]
        for x, y in curves[:MOST_STRIPS]:
            left.plot(x, y, color=_PALE, linewidth=0.7)
        x, y = _binned(predicted.reshape(-1), measured.reshape(-1))
        left.plot(x, y, color=_BLUE, marker="o", markersize=5, linewidth=2, label="all of them together")
        ends = [min(left.get_xlim()[0], left.get_ylim()[0]), max(left.get_xlim()[1], left.get_ylim()[1])]
        left.plot(ends, ends, color=_ORANGE, linewidth=1, linestyle="--", label="perfect")
        left.set_xlabel(f"predicted difference from the section's mean\n{UNIT}", fontsize=9)
        left.set_ylabel("measured difference", fontsize=9)
        left.set_title(f"{len(shown)} genes, tenths of the spots", fontsize=10, loc="left")
        left.legend(loc="upper left", fontsize=9)
        slopes = np.clip([verdict.slope for verdict in verdicts], -1, 3)
        right.axvspan(*CALIBRATED, color="#dff0e8")
        bins = np.linspace(-1, 3, 41).tolist()
        right.hist(slopes, bins, color=_GRAY, alpha=0.35, label="all genes")
        right.hist(slopes[shown], bins, color=_BLUE, alpha=0.85, label="shown genes")
        right.axvline(1, color=_ORANGE, linewidth=1, linestyle="--")
        right.set_xlabel("calibration slope (band: values may be read as such)", fontsize=9)
        right.set_ylabel("genes", fontsize=9)
        right.set_title("slope of measured on predicted", fontsize=10, loc="left")
        right.legend(loc="upper right", fontsize=9)
        return _svg(figure)


def draw_null(scores: Sequence[FoldScore]) -> str:
    """Panel means that maps laid over at random reach, and what was found, one panel per patient or section group."""
    from vst_dicom.training.figures import average

    groups: list[tuple[str, list[FoldScore]]] = []
    for protocol in (Protocol.SECTION, Protocol.PATIENT, Protocol.SITE):
        of_protocol = [score for score in scores if score.fold.protocol is protocol]
        for patient in dict.fromkeys(score.fold.patient for score in of_protocol):
            units = [score for score in of_protocol if score.fold.patient == patient]
            what = "sections of" if protocol is Protocol.SECTION else "left out:"
            groups.append((f"{what} {patient}", units))
    groups = [group for group in groups if len(group[1][0].figures.null_r)][:6]
    with _drawing(min(3, len(groups)), 8.6, 2.5 * -(-len(groups) // 3), -(-len(groups) // 3)) as (figure, axes):
        for axis in axes[len(groups) :]:
            axis.set_visible(False)
        for axis, (name, units) in zip(axes, groups, strict=False):
            mean = average([unit.figures for unit in units])
            for null, observed, color, style, label in (
                (mean.null_r, mean.r, _BLUE, "-", "r"),
                (mean.null_depth_adjusted_r, mean.depth_adjusted_r, _ORANGE, "--", "depth-adjusted r"),
            ):
                axis.hist(null.mean(axis=1), 30, color=color, histtype="step", linestyle=style, linewidth=1.2)
                axis.axvline(float(observed.mean()), color=color, linestyle=style, linewidth=2.2, label=label)
            axis.set_title(name, fontsize=10, loc="left")
            axis.set_xlabel("panel mean", fontsize=9)
            axis.set_yticks([])
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, [f"found: {label}" for label in labels], loc="outside lower right", ncols=2, fontsize=9)
        return _svg(figure)


def draw_shares(shares: Mapping[str, float], goal: float, band: tuple[float, float], what: str) -> str:
    """Mark a share for each name, beside what is asked for."""
    with _drawing(1, 8.6, 0.9 + 0.26 * len(shares)) as (figure, (axis,)):
        places = np.arange(len(shares))
        axis.axvspan(*band, color="#dff0e8")
        axis.axvline(goal, color=_ORANGE, linewidth=1.2, linestyle="--")
        axis.scatter(list(shares.values()), places, color=_BLUE, s=40, zorder=3)
        axis.set_yticks(places, list(shares), fontsize=9)
        axis.set_ylim(len(shares) - 0.5, -0.5)
        axis.set_xlim(min(0.5, *shares.values()) - 0.02, 1.01)
        axis.set_xlabel(what)
        return _svg(figure)


def _centered(values: NDArray[np.floating]) -> FloatArray:
    centered: FloatArray = values - values.mean(axis=0, dtype=np.float64)
    return centered


def _binned(predicted: FloatArray, measured: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Means of both in tenths of the spots by prediction."""
    parts = np.array_split(np.argsort(predicted, kind="stable"), _N_BINS)
    parts = [part for part in parts if len(part)]
    return np.array([predicted[part].mean() for part in parts]), np.array([measured[part].mean() for part in parts])


def _wrapped(text: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, 34)[:2])
