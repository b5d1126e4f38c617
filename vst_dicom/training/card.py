"""The card of a bundle: what it is, what it may not be used for, and its held-out figures, for people."""

from collections.abc import Sequence
from typing import Final

from vst_dicom.domain.expression import GeneStatus
from vst_dicom.domain.wording import RESEARCH_USE_ONLY, UNIT
from vst_dicom.predict.manifest import Manifest
from vst_dicom.predict.manifest_evidence import GeneEntry
from vst_dicom.predict.manifest_model import Encoder, HeadForm, RidgeForm
from vst_dicom.training.card_chapter import Chapter
from vst_dicom.training.evaluate import Protocol
from vst_dicom.training.evidence import Row
from vst_dicom.training.fit import RECIPE_NOTE
from vst_dicom.training.gate import (
    CALIBRATED,
    LEAST_DEPTH_ADJUSTED_R,
    LEAST_GAIN,
    LEAST_POSITIVE,
    LEAST_R,
    MOST_FALSE,
)
from vst_dicom.training.scores import LEAST_UNITS_FOR_INTERVAL
from vst_dicom.training.yardsticks import BASELINE_NAMES, BASELINES, NUCLEI, NUCLEI_FITTED


def write_card(manifest: Manifest, rows: Sequence[Row], chapters: Sequence[Chapter] = ()) -> str:
    """Compose the card, Markdown.

    Parameters
    ----------
    manifest
        Of the bundle; its hashes are not used.
    rows
        Held-out figures.
    chapters
        What else was measured.
    """
    further = (chapter.as_markdown() for chapter in chapters)
    sections = (_purpose(manifest), _data(manifest), _model(manifest), _figures(rows), *further,
                _genes(manifest.genes), _origin(manifest))  # fmt: skip
    return "\n\n".join(sections) + "\n"


def warns_of_few_patients(manifest: Manifest) -> str:
    """Say what few patients cannot show; empty where there are enough."""
    n_patients = sum(len(cohort.patients) for cohort in manifest.training.cohorts)
    n_all = n_patients + sum(len(cohort.held_out_patients) for cohort in manifest.training.cohorts)
    if n_all >= LEAST_UNITS_FOR_INTERVAL:
        return ""
    return (
        f"The cohort has {counted(n_all, 'patient')}, and {counted(n_patients, 'patient')} trained the head. "
        f"{_COUNTS[n_all]} nothing general. "
        f"No gene can be called supported from that: {LEAST_UNITS_FOR_INTERVAL} patients are the fewest at which an "
        "interval over patients says anything. What it shows on a slide of another patient is a guess by likeness; the "
        "figures on patients left out as a whole say how good a guess."
    )


_COUNTS: Final = {
    1: "One patient proves",
    2: "Two patients prove",
    3: "Three patients prove",
    4: "Four patients prove",
    5: "Five patients prove",
}


def limits(manifest: Manifest) -> list[str]:
    """Say what the bundle must not be used for."""
    scope = manifest.scope
    return [
        "for any decision about a patient, for grading, typing, prognosis, receptor or HER2 status, or choice of "
        "treatment",
        "as a replacement of immunohistochemistry, in-situ hybridization or sequencing",
        f"on other organs, stains, species or preparations than {', '.join(scope.organs)}, {scope.stain}, "
        f"{scope.species}, {', '.join(scope.specimen)}",
        "to compare slides with each other: values are relative to the sections that trained the head, and "
        "differences of stain or scanner between slides move them",
    ]


def _purpose(manifest: Manifest) -> str:
    warning = warns_of_few_patients(manifest)
    few = f"\n\n**A demonstration.** {warning}" if warning else ""
    return f"""# {manifest.id} {manifest.version}

{manifest.description}

**{RESEARCH_USE_ONLY}**{few}

It predicts relative mRNA expression from the look of the tissue. It measures nothing, and it knows nothing of DNA.

Not to be used:
{_bullets(limits(manifest))}"""


def _data(manifest: Manifest) -> str:
    lines = ["## Data"]
    for cohort in manifest.training.cohorts:
        apart = f"; only tested on: {', '.join(cohort.held_out_patients)}" if cohort.held_out_patients else ""
        lines.append(
            f"- {cohort.name}. doi {cohort.doi}. Licence {cohort.license}; the head is a work derived from it and "
            f"carries this attribution. Source: {cohort.source}.\n"
            f"  Head fitted on {cohort.n_spots} spots of patients {', '.join(cohort.patients)}, sections "
            f"{', '.join(cohort.sections)}{apart}."
        )
    target = manifest.target
    lines.append(
        f"- Target: {target.quantity}, {UNIT} ({target.normalisation}); {target.library}, spots of "
        f"{target.spot_um:g} µm."
    )
    lines.append(f"- Panel: {manifest.training.panel}")
    return "\n".join(lines)


def _model(manifest: Manifest) -> str:
    encoder = manifest.encoder
    return f"""## Model
- Encoder: {encoder.name}, frozen ({encoder.source}). Licence {encoder.license_text}.
{_bullets(context_and_head(manifest))}"""


_STAGES: Final = (
    "Features of a tile: means of the output of every stage of the network, from colors and textures to shapes, "
    "beside those of the last layer."
)


def context_and_head(manifest: Manifest) -> list[str]:
    """Say what the head reads, what it is, and how it was fitted."""
    encoder = manifest.encoder
    tile_um = encoder.tile_px * encoder.spacing_um
    return [
        f"Input: tiles of {tile_um:g} µm, {encoder.tile_px} px at {encoder.spacing_um:g} µm. {_context(encoder)}",
        *([_STAGES] if encoder.pooling == "stages" else []),
        _head(manifest.head, len(manifest.genes)),
        "Features and expression were centered within each section before the fit, and spots weighed by the square "
        "root of their counts. What is left open by the recipe was chosen by leaving out training sections in turn, "
        "never by tested tissue.",
        RECIPE_NOTE,
    ]


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _context(encoder: Encoder) -> str:
    """Say which neighborhoods the head reads."""
    tile_um = encoder.tile_px * encoder.spacing_um
    squares = [f"{side} × {side} tiles, {side * tile_um:g} µm" for side in encoder.context if side > 1]
    if not squares:
        return "The head reads the tile alone."
    return f"Beside the tile's own features the head reads means over the tissue tiles around it: {'; '.join(squares)}."


def _head(head: HeadForm, n_genes: int) -> str:
    """Say what turns features into expression."""
    if isinstance(head, RidgeForm):
        return (
            f"Head: {head.n_components} principal components, ridge regression with intercept (penalty "
            f"{head.alpha:g}), reduced to {head.rank} programs. All {n_genes} genes are mixed from these {head.rank} "
            "patterns, so many maps look alike; likeness of two maps is no evidence that two genes go together."
        )
    return (
        f"Head: {head.n_components} principal components, {head.n_members} networks with one hidden layer of "
        f"{head.n_hidden} values, fitted by Gaussian likelihood, averaged. All {n_genes} genes are mixed from these "
        "hidden values; likeness of two maps is no evidence that two genes go together."
    )


def _figures(rows: Sequence[Row]) -> str:
    head = [
        "## Held-out figures",
        "Mean over the whole panel, shown and hidden genes alike, of correlations within a section. Every line was "
        "fitted anew without the tissue that it tests. *Depth-adjusted*: the logarithm of the spot's total counts is "
        "partialled out of both sides. *p*: how often the measured map, mirrored and shifted over the predicted one "
        "on a torus so that both stay as smooth as they are, agrees as well.",
        "",
        table(rows),
        "",
        "### Against plain knowledge",
        "The same tissue predicted by: " + "; ".join(BASELINES.values()) + ". In each cell r, then depth-adjusted r; "
        f"a star where the model's depth-adjusted r is higher with p ≤ {MOST_FALSE:g}, one-sided, by flipping the "
        "signs of blocks of 4 × 4 spots.",
        "",
        baseline_table(rows),
    ]
    head.extend(f"\n{remark}" for row in rows for remark in remarks(row))
    head.append(
        "\nSections of one patient are close relatives: figures with a section left out say how well the model "
        "carries on within a patient, not how it does on another."
    )
    return "\n".join(head)


def remarks(row: Row) -> list[str]:
    """Say what a reader must not miss about a patient that was left out; Markdown."""
    if row.protocol not in (Protocol.PATIENT, Protocol.SITE):
        return []
    said = []
    nuclei_r = max(row.baselines[NUCLEI], row.baselines[NUCLEI_FITTED])
    if nuclei_r >= row.r:
        said.append(f"**On {row.held_out} counting nuclei does better than this: {nuclei_r:.3f} to {row.r:.3f}.**")
    if row.depth_adjusted_r < row.r / 2:
        said.append(
            f"On {row.held_out} {row.depth_adjusted_r:.3f} of {row.r:.3f} is left when depth of sequencing is "
            "partialled out: most of the agreement follows how many transcripts a spot yielded."
        )
    return said


def gate_rules() -> list[str]:
    """Conditions that a gene must meet to be shown, one sentence each."""
    return [
        f"the median held-out r over the units is at least {LEAST_R:.2f}",
        f"with {LEAST_UNITS_FOR_INTERVAL} patients or more: the 95 % bootstrap interval over patients lies above 0 and "
        f"r is positive in at least {LEAST_POSITIVE:.0%} of them; with fewer: r is positive in every unit",
        f"the median depth-adjusted r is at least {LEAST_DEPTH_ADJUSTED_R:.2f}",
        f"r leads every baseline by at least {LEAST_GAIN:.2f}",
        f"the false discovery rate over the panel, against maps laid over at random, is at most {MOST_FALSE:.2f}",
        "r is positive on patients left out as a whole, where there are any",
    ]


def _genes(genes: Sequence[GeneEntry]) -> str:
    shown = [gene for gene in genes if gene.status is not GeneStatus.HIDDEN]
    supported = sum(gene.status is GeneStatus.SUPPORTED for gene in genes)
    survivors = ", ".join(gene.symbol for gene in sorted(shown, key=lambda entry: -entry.held_out_r)) or "none"
    head = [
        "## Genes",
        f"{len(shown)} of {len(genes)} are shown, {supported} of them supported by patients and "
        f"{len(shown) - supported} exploratory. Shown, best first: {survivors}.",
        "",
        "A gene is shown when:",
        *(f"- {rule};" for rule in gate_rules()),
        "",
        "Hidden genes are never written. Genes were selected by the same figures that "
        "are printed here, so those of shown genes are somewhat too good; the means over the panel above are not "
        "selected. Figures are medians over the units. A gene whose calibration slope (measured on predicted) is not "
        f"within {CALIBRATED[0]:g} and {CALIBRATED[1]:g} is to be read as ranks. Moran ratio: spatial "
        "autocorrelation of predicted by measured maps; measured ones carry counting noise, so it is mostly above 1.",
        "",
        "| gene | HGNC | status | held-out r | interval | positive | depth-adjusted | Spearman | R² | MAE | slope | q "
        "| Moran ratio | best baseline | other patient | reason |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    ordered = sorted(genes, key=lambda entry: (entry.status is GeneStatus.HIDDEN, -entry.held_out_r))
    return "\n".join([*head, *(_gene_line(gene) for gene in ordered)])


def figures_of(gene: GeneEntry) -> tuple[str, ...]:
    """Interval of held-out r, share of patients positive, depth-adjusted r, Spearman, R² and MAE, as cells."""
    interval = gene.held_out_interval
    return (
        "–" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}",
        "–" if gene.positive_share is None else f"{gene.positive_share:.0%}",
        number(gene.depth_adjusted_r),
        number(gene.spearman),
        number(gene.r2),
        number(gene.mae),
    )


def _gene_line(gene: GeneEntry) -> str:
    cells = (
        gene.symbol,
        gene.hgnc or "–",
        gene.status,
        f"{gene.held_out_r:.2f}",
        *figures_of(gene),
        number(gene.slope) + (" (ranks)" if gene.ranks_only else ""),
        p_value(gene.q),
        number(gene.moran_ratio),
        best_baseline(gene),
        number(gene.other_patient_r),
        gene.reason,
    )
    return f"| {' | '.join(cells)} |"


def best_baseline(gene: GeneEntry) -> str:
    """Name and correlation of the baseline that comes closest."""
    if not gene.baselines:
        return f"{BASELINE_NAMES[NUCLEI]} {gene.cell_count_r:.2f}"
    name = max(gene.baselines, key=lambda baseline: gene.baselines[baseline])
    return f"{BASELINE_NAMES.get(name, name)} {gene.baselines[name]:.2f}"


def _origin(manifest: Manifest) -> str:
    made = manifest.provenance
    return f"""## Origin
- Made on {made.built.isoformat()} by vst_dicom {made.code_version}: `{made.command}`
- SHA-256 over the inputs: `{made.data_sha256}`
- Protocol: {manifest.training.protocol}"""


def table(rows: Sequence[Row]) -> str:
    """Set the rows as a Markdown table."""
    lines = [
        "| held out | trained on | spots | r | p | depth-adjusted r | p | Spearman | R² (median gene) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = (row.held_out, row.trained_on, str(row.n_spots), _with_interval(row), p_value(row.p),
                 f"{row.depth_adjusted_r:.3f}", p_value(row.depth_adjusted_p), f"{row.rank_r:.3f}",
                 f"{row.r2:.3f}")  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def baseline_table(rows: Sequence[Row]) -> str:
    """Set the baselines of the rows as a Markdown table."""
    names = list(rows[0].baselines)
    lines = [
        f"| held out | trained on | model | {' | '.join(BASELINE_NAMES[name] for name in names)} |",
        "|---|---|---|" + "---|" * len(names),
    ]
    for row in rows:
        figures = [
            f"{row.baselines[name]:.3f}, {row.depth_adjusted_baselines[name]:.3f}"
            + (" \\*" if row.lead_p[name] <= MOST_FALSE else "")
            for name in names
        ]
        model = f"**{row.r:.3f}, {row.depth_adjusted_r:.3f}**"
        lines.append(f"| {' | '.join((row.held_out, row.trained_on, model, *figures))} |")
    return "\n".join(lines)


def _with_interval(row: Row) -> str:
    interval = "" if row.interval is None else f" ({row.interval[0]:.3f} to {row.interval[1]:.3f})"
    return f"**{row.r:.3f}**{interval}"


def p_value(p: float | None) -> str:
    """Three digits; a dash for none."""
    return "–" if p is None else f"{p:.3f}"


def number(value: float | None) -> str:
    """Two digits; a dash for none."""
    return "–" if value is None else f"{value:.2f}"


def counted(number: int, noun: str) -> str:
    """Say how many, such as ``1 patient`` and ``2 patients``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
