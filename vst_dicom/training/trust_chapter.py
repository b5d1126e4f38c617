"""What a card says about intervals and unfamiliar tissue."""

from vst_dicom.domain.wording import UNIT
from vst_dicom.predict.manifest import Distribution, Manifest, Uncertainty
from vst_dicom.training.card_chapter import Chapter


def trust_chapters(manifest: Manifest) -> list[Chapter]:
    """One chapter for each part that the bundle has."""
    chapters = []
    if manifest.uncertainty is not None:
        chapters.append(_intervals(manifest.uncertainty))
    if manifest.distribution is not None:
        chapters.append(_familiarity(manifest.distribution))
    return chapters


def _intervals(uncertainty: Uncertainty) -> Chapter:
    return Chapter(
        "Prediction intervals",
        (
            f"{uncertainty.describe()}. Half width: {uncertainty.quantile:.2f} standard deviations of the tile, in "
            f"{UNIT}.",
            f"Residuals are absolute and every {uncertainty.unit} weighs the same, so what a {uncertainty.unit} is off "
            "as a whole widens the intervals. Each line below was measured with the intervals of the other lines.",
        ),
        (f"{uncertainty.unit} left out", "measured values inside"),
        tuple((name, f"{share:.0%}") for name, share in uncertainty.by_unit.items()),
    )


def _familiarity(distribution: Distribution) -> Chapter:
    return Chapter(
        "Unfamiliar tissue",
        (
            f"Distances are measured from {distribution.n_tiles:,} training tiles, half of them in another stain, "
            "scale and focus: one by color, density and sharpness, one by the encoder's features along "
            f"{distribution.n_components} axes. A tile is unfamiliar, and gets no values, when either lies above its "
            f"limit; of each left-out {distribution.unit}'s tiles, in both kinds, {distribution.percentile:g} % lie "
            f"below. A slide with more than {distribution.refuse_share:.0%} of its tissue unfamiliar or out of focus "
            "is refused.",
            "A familiar look is no proof that a prediction is right.",
        ),
        (f"{distribution.unit} left out", "tiles as they are, unfamiliar"),
        tuple((name, f"{share:.1%}") for name, share in distribution.held_out_unfamiliar.items()),
    )
