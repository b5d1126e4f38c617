"""The card of a bundle: what it is, what it may not be used for, and its held-out figures, for people."""

from collections.abc import Sequence

from vst_dicom.domain.expression import GeneStatus
from vst_dicom.domain.wording import RESEARCH_USE_ONLY, UNIT
from vst_dicom.predict.manifest import Encoder, GeneEntry, HeadForm, Manifest, RidgeForm
from vst_dicom.training.evaluate import BASELINES, Protocol
from vst_dicom.training.evidence import Row
from vst_dicom.training.fit import RECIPE_NOTE
from vst_dicom.training.gate import LEAST_DEPTH_ADJUSTED_R, LEAST_GAIN, LEAST_R
from vst_dicom.training.scores import LEAST_UNITS_FOR_INTERVAL


def write_card(manifest: Manifest, rows: Sequence[Row]) -> str:
    """Compose the card, Markdown.

    Parameters
    ----------
    manifest
        Of the bundle; its hashes are not used.
    rows
        Held-out figures.
    """
    sections = (_purpose(manifest), _data(manifest), _model(manifest), _figures(rows), _genes(manifest.genes),
                _origin(manifest))  # fmt: skip
    return "\n\n".join(sections) + "\n"


def _purpose(manifest: Manifest) -> str:
    n_patients = sum(len(cohort.patients) for cohort in manifest.training.cohorts)
    n_all = n_patients + sum(len(cohort.held_out_patients) for cohort in manifest.training.cohorts)
    few = (
        f"\n\n**A demonstration.** The cohort has {_counted(n_all, 'patient')}, and {_counted(n_patients, 'patient')} "
        f"trained the head. No gene can be called supported from that: {LEAST_UNITS_FOR_INTERVAL} patients are the "
        "fewest at which an interval over patients says anything. What it shows on a slide of another patient is a "
        "guess by likeness; the figures on the other patient below say how good a guess."
        if n_all < LEAST_UNITS_FOR_INTERVAL
        else ""
    )
    return f"""# {manifest.id} {manifest.version}

{manifest.description}

**{RESEARCH_USE_ONLY}**{few}

It predicts relative mRNA expression from the look of the tissue. It measures nothing, and it knows nothing of DNA.

Not to be used:
- for any decision about a patient, for grading, typing, prognosis, receptor or HER2 status, or choice of treatment;
- as a replacement of immunohistochemistry, in-situ hybridization or sequencing;
- on other organs, stains, species or preparations than {", ".join(manifest.scope.organs)}, {manifest.scope.stain},
  {manifest.scope.species}, {", ".join(manifest.scope.specimen)};
- to compare slides with each other: values are relative to the sections that trained the head, and differences of
  stain or scanner between slides move them."""


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
    encoder, head = manifest.encoder, manifest.head
    tile_um = encoder.tile_px * encoder.spacing_um
    return f"""## Model
- Encoder: {encoder.name}, frozen ({encoder.source}). Licence {encoder.license_text}.
- Input: tiles of {tile_um:g} µm, {encoder.tile_px} px at {encoder.spacing_um:g} µm. {_context(encoder)}
- {_head(head, len(manifest.genes))}
- Features and expression were centered within each section before the fit. What is left open by the recipe was chosen
  by leaving out training sections in turn, never by tested tissue.
- {RECIPE_NOTE}"""


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
        "partialled out of both sides. Baselines, in the order of their columns: "
        + "; ".join(BASELINES.values())
        + ".",
        "",
        table(rows),
    ]
    for row in rows:
        if row.protocol != Protocol.PATIENT:
            continue
        nuclei_r = max(row.nuclei_r, row.nuclei_fitted_r)
        if nuclei_r >= row.r:
            head.append(
                f"\n**On {row.held_out} counting nuclei does better than this: {nuclei_r:.3f} to {row.r:.3f}.**"
            )
        if row.depth_adjusted_r < row.r / 2:
            head.append(
                f"\nOn {row.held_out} {row.depth_adjusted_r:.3f} of {row.r:.3f} is left when depth of sequencing is "
                "partialled out: most of the agreement follows how many transcripts a spot yielded."
            )
    head.append(
        "\nSections of one patient are close relatives: figures with a section left out say how well the model "
        "carries on within a patient, not how it does on another."
    )
    return "\n".join(head)


def _genes(genes: Sequence[GeneEntry]) -> str:
    shown = [gene for gene in genes if gene.status is not GeneStatus.HIDDEN]
    head = [
        "## Genes",
        f"{len(shown)} of {len(genes)} are shown. A gene is exploratory when its mean held-out r is at least "
        f"{LEAST_R:.2f}, every held-out unit is positive, the depth-adjusted r is at least "
        f"{LEAST_DEPTH_ADJUSTED_R:.2f}, r beats the better nuclei count by {LEAST_GAIN:.2f}, and r is positive on "
        "patients left out as a whole. Hidden genes are never written. Genes were selected by the same figures that "
        "are printed here, so those of shown genes are somewhat too good; the means over the panel above are not "
        "selected.",
        "",
        "| gene | HGNC | status | held-out r | depth-adjusted | nuclei alone | other patient | reason |",
        "|---|---|---|---|---|---|---|---|",
    ]
    ordered = sorted(genes, key=lambda entry: (entry.status is GeneStatus.HIDDEN, -entry.held_out_r))
    return "\n".join([*head, *(_gene_line(gene) for gene in ordered)])


def _gene_line(gene: GeneEntry) -> str:
    cells = (
        gene.symbol,
        gene.hgnc or "–",
        gene.status,
        f"{gene.held_out_r:.2f}",
        _number(gene.depth_adjusted_r),
        f"{gene.cell_count_r:.2f}",
        _number(gene.other_patient_r),
        gene.reason,
    )
    return f"| {' | '.join(cells)} |"


def _origin(manifest: Manifest) -> str:
    made = manifest.provenance
    return f"""## Origin
- Made on {made.built.isoformat()} by vst_dicom {made.code_version}: `{made.command}`
- SHA-256 over the inputs: `{made.data_sha256}`
- Protocol: {manifest.training.protocol}"""


def table(rows: Sequence[Row]) -> str:
    """Set the rows as a Markdown table."""
    lines = [
        "| held out | trained on | spots | r | depth-adjusted r | Spearman | R² (median gene) "
        "| nuclei | nuclei, fitted | stain, fitted | total counts, fitted |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        figures = (row.depth_adjusted_r, row.rank_r, row.r2, row.nuclei_r, row.nuclei_fitted_r, row.stain_r,
                   row.total_counts_r)  # fmt: skip
        cells = (row.held_out, row.trained_on, str(row.n_spots), f"**{row.r:.3f}**", *(f"{f:.3f}" for f in figures))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
