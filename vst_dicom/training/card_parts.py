"""Chapters of a card about the optional parts of a manifest: intervals and unfamiliar tissue."""

from vst_dicom.predict.manifest import Manifest
from vst_dicom.predict.manifest_evidence import Distribution, Uncertainty
from vst_dicom.training.card_chapter import Chapter
from vst_dicom.training.card_plots import draw_shares

COVERAGE_GOAL = (0.85, 0.95)
"""Where the coverage of 90 % intervals must lie."""


def chapters_of(manifest: Manifest) -> list[Chapter]:
    """Give the chapters that the manifest has something for."""
    chapters = []
    if manifest.uncertainty is not None:
        chapters.append(_uncertainty(manifest, manifest.uncertainty))
    if manifest.distribution is not None:
        chapters.append(_distribution(manifest.distribution))
    return chapters


def _uncertainty(manifest: Manifest, part: Uncertainty) -> Chapter:
    low, high = COVERAGE_GOAL
    measured = [gene.interval_coverage for gene in manifest.genes if gene.interval_coverage is not None]
    within = sum(low <= share <= high for share in measured)
    of_genes = (
        f" {within} of {len(measured)} genes are covered {low:.0%} to {high:.0%} of the time." if measured else ""
    )
    promise = (
        f"Whatever the method, {part.n_units} patients cannot promise a new one more than {part.most_promised:.0%}."
        if part.unit == "patient"
        else "The units were sections of one patient: nothing is promised for another."
    )
    shares = {f"{part.unit} {name}": share for name, share in part.by_unit.items()}
    return Chapter(
        "Intervals",
        (
            f"Every predicted value has an interval made to hold {part.coverage:.0%} of measured values, "
            f"{part.quantile:.2f} standard deviations of the tile to either side. It was calibrated on held-out "
            f"{part.unit}s and measured on {part.unit}s left out of that too: {part.held_out_coverage:.1%} on average."
            f"{of_genes}",
            f"Residuals are absolute and every {part.unit} weighs the same, so what a {part.unit} is off as a whole "
            "widens the intervals.",
            promise,
        ),
        (f"{part.unit} left out", "measured values within the interval"),
        tuple((name, f"{share:.1%}") for name, share in part.by_unit.items()),
        draw_shares(shares, part.coverage, COVERAGE_GOAL, "measured values within the interval"),
        "Coverage of each held-out piece of tissue. Line: what is asked for. Band: what is good enough.",
    )


def _distribution(part: Distribution) -> Chapter:
    return Chapter(
        "Unfamiliar tissue",
        (
            f"Two distances of a tile from {part.n_tiles} training tiles, by its appearance and over "
            f"{part.n_components} axes of the encoder's features, decide whether it is familiar. The limit of each is "
            f"the {part.percentile:g}th percentile of held-out tiles, of the {part.unit} where it is highest, tiles in "
            "changed stain, scale and focus included; a tile is beyond when the root mean square of both, in units of "
            "their limits, is above 1. Such tiles are masked; a slide with more than "
            f"{part.refuse_share:.0%} of its tissue masked is refused.",
            "The table says how much tissue of each unit, as it is, would be masked if that unit had never been seen. "
            "A familiar look is no proof that a prediction is right.",
        ),
        (f"{part.unit} left out", "tiles masked"),
        tuple((name, f"{share:.1%}") for name, share in part.held_out_unfamiliar.items()),
    )
