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
TISSUE_FILE: Final = "tissue.safetensors"
BUNDLE_FILES: Final = (ENCODER_FILE, HEAD_FILE, CARD_FILE, EVIDENCE_FILE)
"""What a bundle's folder holds beside the manifest."""

OPTIONAL_FILES: Final = (TISSUE_FILE,)
"""What it holds where the manifest has the part that the file belongs to."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Correlation = Annotated[float, Field(ge=-1, le=1)]
Rgb = tuple[float, float, float]


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
    """A gene of the panel with its held-out evidence, see `vst_dicom.domain.expression.PanelGene`."""

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
    training: Training
    scope: Scope
    provenance: Provenance

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        """Files are the known ones, genes are unique, the range holds the encoder's own spacing."""
        wrong = [name for name in self.files if name not in (*BUNDLE_FILES, *OPTIONAL_FILES)]
        if wrong:
            known = ", ".join((*BUNDLE_FILES, *OPTIONAL_FILES))
            msg = f"files: {wrong[0]!r} is not a file of a bundle; only {known} are read"
            raise ValueError(msg)
        if (TISSUE_FILE in self.files) != (self.tissue is not None):
            msg = f"files: {TISSUE_FILE} and the part tissue go together"
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
