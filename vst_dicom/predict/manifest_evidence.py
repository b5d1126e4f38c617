"""The part of a manifest that says how far to trust it: genes, signatures, tissue classes, intervals, familiarity."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from vst_dicom.domain.expression import Gene, GeneStatus, PanelGene
from vst_dicom.domain.signature import PanelSignature, ScoredGene, Scoring
from vst_dicom.domain.tissue import TISSUE_CLASSES
from vst_dicom.predict.manifest_part import Correlation, Part, Share, Text


class GeneEntry(Part):
    """A gene of the panel with its held-out evidence, see `vst_dicom.domain.expression.PanelGene`.

    Figures are medians over the units kept apart. Those with a default are missing in older bundles.
    """

    symbol: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")]
    hgnc: Annotated[str, StringConstraints(pattern=r"^HGNC:[0-9]+$")] | None
    mean: float
    """Mean measured expression over the training spots."""
    sd: Annotated[float, Field(ge=0)]
    """Standard deviation of it."""
    status: GeneStatus
    reason: Text
    held_out_r: Correlation
    held_out_interval: tuple[Correlation, Correlation] | None
    held_out_unit: Literal["patient", "section"]
    n_held_out: Annotated[int, Field(ge=1)]
    depth_adjusted_r: Correlation | None
    cell_count_r: Correlation
    """What counting nuclei alone reaches on the same held-out tissue."""
    other_patient_r: Correlation | None
    """Mean over patients that were left out as a whole; None where the cohort has one patient."""
    positive_share: Share | None = None
    """Part of the units in which the correlation is above 0."""
    spearman: Correlation | None = None
    r2: Annotated[float, Field(le=1)] | None = None
    """Explained variance against the mean of the section; below 0 where that mean does better."""
    mae: Annotated[float, Field(ge=0)] | None = None
    """Mean absolute error, in the unit of the target."""
    slope: float | None = None
    """Slope of measured on predicted expression."""
    ranks_only: bool = False
    """Whether the slope is too far from 1 for predicted differences to be read as such."""
    p: Share | None = None
    """One-sided, against measured maps that were mirrored and shifted over the predicted ones."""
    q: Share | None = None
    """False discovery rate over the panel (Benjamini and Hochberg)."""
    moran_ratio: float | None = None
    """Moran's I of predicted by measured maps; None where the measured ones have no spatial structure."""
    baselines: dict[str, Correlation] = Field(default_factory=dict)
    """Correlation of each baseline on the same tissue, by name."""
    interval_coverage: Share | None = None
    """Part of held-out spots whose measured value lay within the predicted interval."""

    def to_panel_gene(self) -> PanelGene:
        """As the rest of the product knows it."""
        return PanelGene(
            gene=Gene(self.symbol, self.hgnc),
            status=self.status,
            reason=self.reason,
            held_out_r=self.held_out_r,
            held_out_interval=self.held_out_interval,
            held_out_unit=self.held_out_unit,
            n_held_out=self.n_held_out,
            depth_adjusted_r=self.depth_adjusted_r,
            ranks_only=self.ranks_only,
        )


class SignatureGene(Part):
    """A gene of a signature that the panel shows; its mean and standard deviation are those of the panel."""

    symbol: Text
    weight: float


class SignatureEntry(Part):
    """A signature with the held-out evidence of its score, see `vst_dicom.domain.signature.PanelSignature`."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    name: Text
    scoring: Scoring
    citation: Text
    note: Annotated[str, StringConstraints(max_length=2000)]
    n_genes: Annotated[int, Field(ge=1)]
    """Genes of the published list."""
    genes: tuple[SignatureGene, ...]
    """Those that the panel shows."""
    status: GeneStatus
    reason: Text
    held_out_r: Correlation | None
    held_out_interval: tuple[Correlation, Correlation] | None
    held_out_unit: Literal["patient", "section"] | None
    n_held_out: Annotated[int, Field(ge=0)]
    depth_adjusted_r: Correlation | None

    def to_panel_signature(self, panel: Mapping[str, GeneEntry]) -> PanelSignature:
        """As the rest of the product knows it; `panel` holds the genes by symbol."""
        return PanelSignature(
            signature_id=self.id,
            name=self.name,
            scoring=self.scoring,
            citation=self.citation,
            note=self.note,
            n_genes=self.n_genes,
            genes=tuple(
                ScoredGene(Gene(own.symbol, entry.hgnc), own.weight, entry.mean, entry.sd)
                for own in self.genes
                for entry in (panel[own.symbol],)
            ),
            status=self.status,
            reason=self.reason,
            held_out_r=self.held_out_r,
            held_out_interval=self.held_out_interval,
            held_out_unit=self.held_out_unit,
            n_held_out=self.n_held_out,
            depth_adjusted_r=self.depth_adjusted_r,
        )


def _known_classes(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse names that are no tissue class, or out of their order."""
    if list(names) != [name for name in TISSUE_CLASSES if name in names]:
        msg = f"classes must be some of {', '.join(TISSUE_CLASSES)}, in this order"
        raise ValueError(msg)
    return names


class TissueForm(Part):
    """The classifier of tissue, and what held-out tissue says about it."""

    classes: Annotated[tuple[Text, ...], Field(min_length=2), AfterValidator(_known_classes)]
    n_components: Annotated[int, Field(ge=1, le=65536)]
    penalty: Annotated[float, Field(gt=0)]
    """Weight of the squared coefficients against the mean loss of a training spot."""
    held_out_unit: Literal["patient", "section"]
    n_held_out: Annotated[int, Field(ge=1)]
    kappa: Correlation
    """Cohen's kappa between classes from measured marker genes and from the image, over held-out spots."""
    balanced_accuracy: Annotated[float, Field(ge=0, le=1)]


class Uncertainty(Part):
    """How prediction intervals were calibrated, and how often they held what was measured."""

    coverage: Share
    """Part of measured values that the intervals are made to hold, nominally."""
    quantile: Annotated[float, Field(ge=0)]
    """Half width of an interval, in standard deviations of the tile."""
    unit: Literal["patient", "section"]
    """What was held out for the calibration."""
    n_units: Annotated[int, Field(ge=2)]
    most_promised: Share
    """Highest coverage of a new patient that any method can promise from so many, k / (k + 1); 0 for sections. The
    intervals themselves are nominal: made to cover as stated, and measured."""
    held_out_coverage: Share
    """Coverage of units that were left out of the calibration too, mean over units and genes."""
    by_unit: dict[str, Share]
    """The same, unit by unit."""

    def describe(self) -> str:
        """Say in a sentence what the intervals are worth."""
        promise = (
            f"{self.n_units} patients can promise a new one {self.most_promised:.0%} at most"
            if self.unit == "patient"
            else f"from {self.n_units} sections of one patient, which promise nothing for another"
        )
        least, most = min(self.by_unit.values()), max(self.by_unit.values())
        measured = f"on held-out {self.unit}s they held {self.held_out_coverage:.0%} ({least:.0%} to {most:.0%})"
        return f"{self.coverage:.0%} intervals, nominal: {promise}; {measured}"


class Distribution(Part):
    """How unfamiliar tissue is told from that of the training."""

    n_tiles: Annotated[int, Field(ge=1)]
    """Tiles that the distances are measured from, those in changed stain, scale and focus included."""
    n_components: Annotated[int, Field(ge=1, le=65536)]
    """Axes of the encoder's features."""
    percentile: Annotated[float, Field(gt=50, lt=100)]
    """Of the distances of held-out tiles: the limit above which a tile is unfamiliar."""
    unit: Literal["patient", "section"]
    """What was held out for the limit."""
    n_units: Annotated[int, Field(ge=2)]
    held_out_unfamiliar: dict[str, Share]
    """Part of the tiles of each unit, as they are, that lies above the limit when that unit is left out."""
    refuse_share: Annotated[float, Field(gt=0, le=1)]
    """A slide with a larger part of its tissue masked is refused."""
