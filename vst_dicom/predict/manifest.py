"""What a bundle says about itself: ``manifest.json``, schema ``vst-bundle/1``.

Every object refuses keys that it does not know, so that a bundle of a later format, or a misspelled one, is refused
by name instead of half understood.
"""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from vst_dicom.domain.errors import BundleError
from vst_dicom.domain.expression import Gene, GeneStatus, PanelGene
from vst_dicom.domain.signature import PanelSignature, ScoredGene, Scoring
from vst_dicom.domain.tissue import TISSUE_CLASSES

ENCODER_FILE: Final = "encoder.safetensors"
HEAD_FILE: Final = "head.safetensors"
CARD_FILE: Final = "card.md"
EVIDENCE_FILE: Final = "evidence.json"
CARD_PAGE_FILE: Final = "card.html"
TRUST_FILE: Final = "trust.safetensors"
TISSUE_FILE: Final = "tissue.safetensors"
BUNDLE_FILES: Final = (ENCODER_FILE, HEAD_FILE, CARD_FILE, EVIDENCE_FILE)
"""What a bundle's folder holds beside the manifest."""

OPTIONAL_FILES: Final = (CARD_PAGE_FILE, TRUST_FILE, TISSUE_FILE)
"""What it may hold too; the last two go with the parts of the manifest that they belong to."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Correlation = Annotated[float, Field(ge=-1, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Rgb = tuple[float, float, float]
EncoderTerm = Literal["gated", "non-commercial", "no-derivatives", "research-only", "no-sharing"]
"""What a licence asks of whoever uses the weights, see `TERMS`."""

TERMS: Final[dict[EncoderTerm, str]] = {
    "gated": "given only to people who registered with its owner and agreed to the terms",
    "non-commercial": "no commercial use",
    "no-derivatives": "a bundle trained on its features counts as derived from it: ask its owner before you share one",
    "research-only": "research only, no deployed use of any kind",
    "no-sharing": "the weights, of which every bundle holds a copy, may not be passed on",
}
"""Each term in words for people."""


class _Part(BaseModel):
    """Unchangeable, without unknown keys, without NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _growing_from_one(sides: tuple[int, ...]) -> tuple[int, ...]:
    """Refuse sides that do not grow, or leave the tile itself out."""
    if sides[0] != 1 or list(sides) != sorted(set(sides)):
        raise ValueError("sides must begin with 1 and grow")
    return sides


class Encoder(_Part):
    """The frozen network, and the pixels that it wants."""

    name: Text
    license: Text
    source: Text
    embed_dim: Annotated[int, Field(ge=1, le=65536)]
    tile_px: Annotated[int, Field(ge=16, le=4096)]
    spacing_um: Annotated[float, Field(gt=0)]
    spacing_um_range: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]
    """Finest and coarsest pixel spacing of a slide that may be given to it."""
    mean: Rgb
    std: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]
    context: Annotated[tuple[Literal[1, 3, 5], ...], Field(min_length=1), AfterValidator(_growing_from_one)]
    """Sides, in tiles, of the squares whose mean features the head reads: 1, the tile itself, then wider ones."""
    precision: Literal["fp32"]
    """Arithmetic in which the features of the training spots were computed."""
    library: Literal["vst_dicom", "timm"] = "vst_dicom"
    """Whose code the network is; `timm` needs the extra of that name."""
    architecture: Text = "efficientnet_lite0"
    """Name of the network in that library."""
    arguments: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """What the network is built with; never a path and never an address."""
    pooling: Literal["network", "class", "class+mean", "mean", "stages"] = "network"
    """How tokens become one vector: by the network itself, the class token, it beside the mean patch, the mean; for a
    convolutional network, the means of all its stages beside each other."""
    terms: tuple[EncoderTerm, ...] = ()
    """What the licence asks."""

    @property
    def license_text(self) -> str:
        """The licence, and in words what it asks."""
        return "; ".join([self.license, *(TERMS[term] for term in self.terms)])


class ReferenceEmbedding(_Part):
    """Proof that the encoder that runs is the encoder that was fitted; the vector lies in the head's file."""

    tile_sha256: Sha256
    cos_min: Annotated[float, Field(gt=0, le=1)]


class RidgeForm(_Part):
    """Principal components and ridge regression of all genes at once."""

    type: Literal["pca+ridge"]
    n_components: Annotated[int, Field(ge=1, le=65536)]
    alpha: Annotated[float, Field(ge=0)]
    """Ridge penalty, in units of the components' mean variance over the training spots."""
    rank: Annotated[int, Field(ge=1)]
    """Number of programs, independent patterns over the tissue, from which all genes are mixed."""
    intercept: Literal[True]
    n_members: Annotated[int, Field(ge=0, le=100)] = 0
    """Members fitted on resampled spots; 0 for a head that cannot say how sure it is."""


class MlpForm(_Part):
    """Principal components and small networks with one hidden layer, whose mean is the answer."""

    type: Literal["pca+mlp"]
    n_components: Annotated[int, Field(ge=1, le=65536)]
    n_hidden: Annotated[int, Field(ge=1, le=65536)]
    weight_decay: Annotated[float, Field(ge=0)]
    n_epochs: Annotated[int, Field(ge=1)]
    likelihood: Literal["gaussian"]
    n_members: Annotated[int, Field(ge=1, le=100)]


HeadForm = Annotated[RidgeForm | MlpForm, Field(discriminator="type")]
"""What turns features into expression."""


class Target(_Part):
    """What a predicted number means."""

    quantity: Text
    unit: Literal["ln(1+CP10k)"]
    library: Text
    spot_um: Annotated[float, Field(gt=0)]
    normalisation: Text


class GeneEntry(_Part):
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
    baselines: dict[str, Correlation] = {}
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


class SignatureGene(_Part):
    """A gene of a signature that the panel shows; its mean and standard deviation are those of the panel."""

    symbol: Text
    weight: float


class SignatureEntry(_Part):
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


class TissueForm(_Part):
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


class Uncertainty(_Part):
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


class Distribution(_Part):
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


class TrainingCohort(_Part):
    """Data that the head was fitted on, with the right to use it."""

    name: Text
    doi: Text
    license: Text
    source: Text
    patients: tuple[Text, ...]
    """Patients whose spots the head was fitted on."""
    sections: tuple[Text, ...]
    held_out_patients: tuple[Text, ...]
    """Patients that only served to test it."""
    n_spots: Annotated[int, Field(ge=1)]


class Training(_Part):
    """How the head was fitted."""

    cohorts: Annotated[tuple[TrainingCohort, ...], Field(min_length=1)]
    protocol: Text
    """How the held-out figures were made."""
    panel: Text
    seed: int


class Scope(_Part):
    """What the bundle may be used on."""

    organs: Annotated[tuple[Text, ...], Field(min_length=1)]
    stain: Text
    species: Text
    specimen: Annotated[tuple[Text, ...], Field(min_length=1)]


class Provenance(_Part):
    """Where the bundle comes from."""

    code_version: Text
    command: Text
    data_sha256: Sha256
    """Hash over the names and hashes of all input files, in the order of the cohort."""
    built: date


class Manifest(_Part):
    """The whole of ``manifest.json``."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        serialize_by_alias=True,
        validate_by_name=True,
        validate_by_alias=True,
    )

    format: Annotated[Literal["vst-bundle/1"], Field(alias="schema")]
    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    version: Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")]
    description: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\n]*$")]
    intended_use: Literal["For Research Use Only. Not for use in diagnostic procedures."]
    files: dict[str, Sha256]
    encoder: Encoder
    reference_embedding: ReferenceEmbedding
    head: HeadForm
    target: Target
    genes: Annotated[tuple[GeneEntry, ...], Field(min_length=1, max_length=100_000)]
    signatures: tuple[SignatureEntry, ...] = ()
    tissue: TissueForm | None = None
    """None where held-out tissue does not support a classifier: tiles are not classified then."""
    uncertainty: Uncertainty | None = None
    """None in a bundle that makes no intervals."""
    distribution: Distribution | None = None
    """None in a bundle that cannot tell unfamiliar tissue."""
    training: Training
    scope: Scope
    provenance: Provenance

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        """Files are the known ones, genes are unique, the range holds the encoder's own spacing."""
        known = (*BUNDLE_FILES, *OPTIONAL_FILES)
        wrong = [name for name in self.files if name not in known]
        if wrong:
            msg = f"files: {wrong[0]!r} is not a file of a bundle; only {', '.join(known)} are read"
            raise ValueError(msg)
        if (TISSUE_FILE in self.files) != (self.tissue is not None):
            msg = f"files: {TISSUE_FILE} and the part tissue go together"
            raise ValueError(msg)
        if (TRUST_FILE in self.files) != (self.uncertainty is not None or self.distribution is not None):
            msg = f"files: {TRUST_FILE} and the parts uncertainty and distribution go together"
            raise ValueError(msg)
        missing = [name for name in BUNDLE_FILES if name not in self.files]
        if missing:
            msg = f"files: no hash for {missing[0]}"
            raise ValueError(msg)
        symbols = [entry.symbol for entry in self.genes]
        if len(set(symbols)) < len(symbols):
            raise ValueError("genes: a symbol occurs twice")
        usable = {entry.symbol for entry in self.genes if entry.status is not GeneStatus.HIDDEN and entry.sd > 0}
        for signature in self.signatures:
            foreign = {gene.symbol for gene in signature.genes} - usable
            if foreign or (signature.status is not GeneStatus.HIDDEN and not signature.genes):
                msg = f"signatures: {signature.id} is made of genes that the bundle does not show"
                raise ValueError(msg)
        finest, coarsest = self.encoder.spacing_um_range
        if not finest <= self.encoder.spacing_um <= coarsest:
            raise ValueError("encoder: spacing_um_range does not hold spacing_um")
        return self


def parse_manifest(text: bytes) -> Manifest:
    """Read a manifest.

    Raises
    ------
    BundleError
        If it is no JSON, or a key is unknown, missing or wrong; the message names the first such keys.
    """
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        named = [f"{'.'.join(map(str, problem['loc'])) or 'manifest'}: {problem['msg']}" for problem in problems[:5]]
        more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
        msg = f"manifest.json is refused: {'; '.join(named)}{more}. Get the bundle again, or train it with this version"
        raise BundleError(msg) from None
