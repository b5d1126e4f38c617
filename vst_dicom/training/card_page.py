"""The card as one page for a browser: tables, plots and every gene, in a file that loads nothing from elsewhere."""

import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from vst_dicom.domain.expression import GeneStatus
from vst_dicom.domain.wording import RESEARCH_USE_ONLY, UNIT
from vst_dicom.predict.manifest import Manifest
from vst_dicom.training.card import (
    context_and_head,
    counted,
    gate_rules,
    limits,
    p_value,
    remarks,
    warns_of_few_patients,
)
from vst_dicom.training.card_chapter import Chapter
from vst_dicom.training.card_genes import gene_table
from vst_dicom.training.card_html import bullets, pairs, picture, table
from vst_dicom.training.card_plots import (
    draw_baselines,
    draw_calibration,
    draw_distribution,
    draw_null,
    draw_strips,
)
from vst_dicom.training.evaluate import FoldScore, Protocol
from vst_dicom.training.evidence import Row, mean_row
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.gate import CALIBRATED, MOST_FALSE, GeneEvidence, judged_folds
from vst_dicom.training.yardsticks import BASELINE_NAMES, BASELINES

_PICTURES: Final = {
    "distribution": (
        "Histogram of held-out r and depth-adjusted r over the genes",
        "How held-out r and depth-adjusted r spread over the genes of the panel.",
    ),
    "baselines": (
        "Model and baselines, r and depth-adjusted r; the numbers are in the next table",
        "Hollow: r. Full: depth-adjusted r. A model is worth its name where its full dot lies right of every gray one.",
    ),
    "null": (
        "Histograms of panel means of maps laid over at random, with lines where the model is; p are in the "
        "first table",
        "Thin: panel means that maps laid over at random reach. Thick line: what was found.",
    ),
    "calibration": (
        "Measured against predicted expression in tenths of the held-out spots, and a histogram of slopes",
        "Held-out spots, differences from the section's mean. Gray: one line per gene. Blue: all of them together.",
    ),
    "strips": (
        "Held-out r of the best genes on each piece of tissue; the numbers are in the next table",
        "The best genes, one dot per piece of tissue that was left out. Dotted line: what the median must reach.",
    ),
}
"""What each picture shows, for those who cannot see it, and its caption."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """All held-out evidence of a bundle.

    Parameters
    ----------
    sections, scores, verdicts, rows
        Data, folds, genes in the order of the panel, and the table.
    chapters
        What else was measured.
    """

    sections: Sequence[SectionSpots]
    scores: Sequence[FoldScore]
    verdicts: Sequence[GeneEvidence]
    rows: Sequence[Row]
    chapters: Sequence[Chapter] = ()


def write_page(manifest: Manifest, evidence: Evidence) -> str:
    """Compose the card, HTML."""
    style = importlib.resources.files("vst_dicom.training").joinpath("card.css").read_text(encoding="utf-8")
    chapters = [
        ("purpose", "Intended use", _purpose(manifest)),
        ("data", "Data", _data(manifest)),
        ("model", "Model", _model(manifest)),
        ("figures", "Held-out agreement", _figures(evidence)),
        ("null", "Could it be chance?", _null(evidence)),
        ("calibration", "Calibration", _calibration(manifest, evidence)),
        *((f"part-{place}", chapter.title, _chapter(chapter)) for place, chapter in enumerate(evidence.chapters)),
        ("gate", "Which genes are shown", _gate(manifest, evidence)),
        ("genes", "Every gene", gene_table(manifest.genes)),
        ("origin", "Make it again", _origin(manifest)),
    ]
    links = "".join(f'<a href="#{anchor}">{escape(title)}</a>' for anchor, title, _ in chapters)
    body = "\n".join(
        f'<section id="{anchor}" aria-labelledby="h-{anchor}"><h2 id="h-{anchor}">{escape(title)}</h2>\n{content}\n'
        "</section>"
        for anchor, title, content in chapters
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(manifest.id)} {escape(manifest.version)}: model card</title>
<style>
{style}</style>
</head>
<body>
<p class="rule" role="note">{escape(RESEARCH_USE_ONLY)}</p>
<main>
<header>
<h1>{escape(manifest.id)} <small>version {escape(manifest.version)}</small></h1>
<p>{escape(manifest.description)}</p>
</header>
{_at_a_glance(manifest, evidence)}
{_few_patients(manifest)}
<nav aria-label="Parts of this card">{links}</nav>
{body}
<footer>{escape(RESEARCH_USE_ONLY)}</footer>
</main>
</body>
</html>
"""


def _at_a_glance(manifest: Manifest, evidence: Evidence) -> str:
    entries = manifest.genes
    shown = [gene for gene in entries if gene.status is not GeneStatus.HIDDEN]
    supported = sum(gene.status is GeneStatus.SUPPORTED for gene in entries)
    cohorts = manifest.training.cohorts
    n_patients = sum(len(cohort.patients) + len(cohort.held_out_patients) for cohort in cohorts)
    n_spots = sum(len(section.expression) for section in evidence.sections)
    facts = [
        (
            "Genes shown",
            f"{len(shown)} of {len(entries)}",
            f"{supported} supported, {len(shown) - supported} exploratory",
        ),
        ("Patients", str(n_patients), f"{counted(len(evidence.sections), 'section')}, {n_spots:,} spots"),
    ]
    for protocol, name in ((Protocol.SECTION, "r, a section left out"), (Protocol.PATIENT, "r, a patient left out")):
        row = mean_row(evidence.scores, protocol)
        if row is not None:
            facts.append((name, f"{row.r:.3f}", f"{row.depth_adjusted_r:.3f} depth-adjusted; mean over the panel"))
    facts.append(("Encoder", manifest.encoder.name, manifest.encoder.license))
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(more)}</small></dd></div>"
        for name, value, more in facts
    )
    return f'<dl class="facts">{items}</dl>'


def _few_patients(manifest: Manifest) -> str:
    warning = warns_of_few_patients(manifest)
    return (
        f'<div class="notice" role="note"><p><strong>A demonstration.</strong> {escape(warning)}</p></div>'
        if warning
        else ""
    )


def _purpose(manifest: Manifest) -> str:
    return (
        f"<p><strong>{escape(RESEARCH_USE_ONLY)}</strong> It predicts relative mRNA expression from the look of the "
        "tissue. It measures nothing, and it knows nothing of DNA.</p><p>Not to be used:</p>"
        + bullets(limits(manifest))
    )  # fmt: skip


def _data(manifest: Manifest) -> str:
    parts = []
    for cohort in manifest.training.cohorts:
        apart = ", ".join(cohort.held_out_patients) or "none"
        parts.append(
            pairs(
                ("Cohort", cohort.name),
                ("doi", cohort.doi),
                ("Licence", f"{cohort.license}; the head is a work derived from it and carries this attribution"),
                ("Source", cohort.source),
                ("Fitted on", f"{cohort.n_spots} spots of patients {', '.join(cohort.patients)}; sections "
                              f"{', '.join(cohort.sections)}"),
                ("Only tested on", apart),
            )
        )  # fmt: skip
    target = manifest.target
    parts.append(
        pairs(
            ("Target", f"{target.quantity}, {UNIT}: {target.normalisation}"),
            ("Measured by", f"{target.library}, spots of {target.spot_um:g} µm"),
            ("Panel", manifest.training.panel),
        )
    )
    return "".join(parts)


def _model(manifest: Manifest) -> str:
    encoder = manifest.encoder
    return pairs(
        ("Encoder", f"{encoder.name}, frozen; {encoder.embed_dim} features per tile"),
        ("Encoder's licence", encoder.license_text),
        ("Encoder's source", encoder.source),
    ) + bullets(context_and_head(manifest))


def _figures(evidence: Evidence) -> str:
    rows = evidence.rows
    lines = [
        (
            row.held_out, row.trained_on, str(row.n_spots), _with_interval(row), p_value(row.p),
            f"{row.depth_adjusted_r:.3f}", p_value(row.depth_adjusted_p), f"{row.rank_r:.3f}", f"{row.r2:.3f}",
        )
        for row in rows
    ]  # fmt: skip
    head = ("held out", "trained on", "spots", "r", "p", "depth-adjusted r", "p", "Spearman", "R², median gene")
    names = list(rows[0].baselines)
    against = [
        (row.held_out, f"{row.r:.3f}, {row.depth_adjusted_r:.3f}", *(
            f"{row.baselines[name]:.3f}, {row.depth_adjusted_baselines[name]:.3f}"
            + ("*" if row.lead_p[name] <= MOST_FALSE else "") for name in names
        ))
        for row in rows
    ]  # fmt: skip
    means = [row.held_out.endswith(")") and "mean" in row.held_out for row in rows]
    said = "".join(f'<div class="notice"><p>{_bold(remark)}</p></div>' for row in rows for remark in remarks(row))
    return f"""<p>Means over the whole panel, shown and hidden genes alike, of correlations within a section. Every line
was fitted anew without the tissue that it tests. <em>Depth-adjusted</em>: the logarithm of the spot's total counts is
partialled out of both sides, since cellular tissue yields more transcripts of nearly every gene.</p>
{table(head, lines, means, n_text=2)}
{said}
<p>Sections of one patient are close relatives: figures with a section left out say how well the model carries on within
a patient, not how it does on another.</p>
{_drawn("distribution", draw_distribution(evidence.verdicts))}
<h3>Against plain knowledge</h3>
<p>The same tissue predicted by {escape("; ".join(BASELINES.values()))}.</p>
{_drawn("baselines", draw_baselines(rows))}
{table(("held out", "this model", *(BASELINE_NAMES[name] for name in names)), against, means, n_text=1)}
<p>In each cell r, then depth-adjusted r. A star: the model's depth-adjusted r is higher with p ≤ {MOST_FALSE:g}
(one-sided, flipping the signs of blocks of 4 × 4 spots).</p>"""


def _null(evidence: Evidence) -> str:
    n_draws = max(len(score.figures.null_r) for score in evidence.scores)
    if not n_draws:
        return "<p>No maps were laid over at random.</p>"
    return f"""<p>Two smooth maps agree more often than independent spots would. So each measured map was mirrored and
shifted over the predicted one on a torus {n_draws} times: both stay as smooth as they are, only their match is lost.
The false discovery rate of each gene (Benjamini and Hochberg over the panel) rests on the larger of the p of r and of
depth-adjusted r.</p>
{_drawn("null", draw_null(evidence.scores))}"""


def _calibration(manifest: Manifest, evidence: Evidence) -> str:
    fitted = [patient for cohort in manifest.training.cohorts for patient in cohort.patients]
    folds, _ = judged_folds(evidence.scores, fitted)
    picture = draw_calibration(evidence.verdicts, folds, evidence.sections)
    n_ranks = sum(gene.ranks_only and gene.status is not GeneStatus.HIDDEN for gene in manifest.genes)
    low, high = CALIBRATED
    said = (
        f"{counted(n_ranks, 'shown gene')} must be read as ranks, since the slope is not within {low:g} and {high:g}."
        if n_ranks
        else f"The slope of every shown gene is within {low:g} and {high:g}."
    )
    return f"""<p>Where the slope of measured on predicted expression is near 1, a predicted difference may be read as a
difference of expression. {said}</p>
{_drawn("calibration", picture)}"""


def _gate(manifest: Manifest, evidence: Evidence) -> str:
    symbols = [gene.symbol for gene in manifest.genes]
    shown = sorted((g for g in manifest.genes if g.status is not GeneStatus.HIDDEN), key=lambda gene: -gene.held_out_r)
    names = ", ".join(gene.symbol for gene in shown) or "none"
    strips = draw_strips(symbols, evidence.verdicts, evidence.scores)
    return f"""<p>A gene is shown when:</p>{bullets(gate_rules())}
<p>Hidden genes are never written. Genes were selected by the same figures that are printed here, so those of shown
genes are somewhat too good; the means over the panel above are not selected.</p>
<p><strong>{len(shown)} of {len(symbols)} survive:</strong> {escape(names)}.</p>
{_drawn("strips", strips)}"""


def _origin(manifest: Manifest) -> str:
    made = manifest.provenance
    files = pairs(*((name, digest) for name, digest in manifest.files.items() if set(digest) != {"0"}))
    return (
        f"<pre><code>{escape(made.command)}</code></pre>"
        + pairs(
            ("Made on", f"{made.built.isoformat()} by vst_dicom {made.code_version}, seed {manifest.training.seed}"),
            ("SHA-256 over the inputs", made.data_sha256),
            ("Protocol", manifest.training.protocol),
        )
        + files
    )


def _chapter(chapter: Chapter) -> str:
    text = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in chapter.paragraphs)
    rows = (
        table(chapter.head, chapter.rows, [False] * len(chapter.rows), n_text=len(chapter.head)) if chapter.head else ""
    )
    drawn = picture(chapter.picture, chapter.picture_says, chapter.picture_says) if chapter.picture else ""
    return text + drawn + rows


def _drawn(name: str, svg: str) -> str:
    alt, caption = _PICTURES[name]
    return picture(svg, alt, caption)


def _bold(text: str) -> str:
    """Escape text; two stars on both ends make it bold."""
    inner = escape(text.strip("*"))
    return f"<strong>{inner}</strong>" if text.startswith("**") else inner


def _with_interval(row: Row) -> str:
    return f"{row.r:.3f}" + ("" if row.interval is None else f" ({row.interval[0]:.3f} to {row.interval[1]:.3f})")
