"""What a bundle says about itself: ``manifest.json``, schema ``vst-bundle/1``.

Every object refuses keys that it does not know, so that a bundle of a later format, or a misspelled one, is refused
by name instead of half understood.
"""

from datetime import date
from typing import Annotated, Final, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, ValidationError, model_validator

from vst_dicom.domain.errors import BundleError
from vst_dicom.domain.expression import GeneStatus
from vst_dicom.predict.manifest_evidence import Distribution, GeneEntry, SignatureEntry, TissueForm, Uncertainty
from vst_dicom.predict.manifest_model import Encoder, HeadForm, ReferenceEmbedding
from vst_dicom.predict.manifest_part import Part, Sha256, Text

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


class Target(Part):
    """What a predicted number means."""

    quantity: Text
    unit: Literal["ln(1+CP10k)"]
    library: Text
    spot_um: Annotated[float, Field(gt=0)]
    normalisation: Text


class TrainingCohort(Part):
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


class Training(Part):
    """How the head was fitted."""

    cohorts: Annotated[tuple[TrainingCohort, ...], Field(min_length=1)]
    protocol: Text
    """How the held-out figures were made."""
    panel: Text
    seed: int


class Scope(Part):
    """What the bundle may be used on."""

    organs: Annotated[tuple[Text, ...], Field(min_length=1)]
    stain: Text
    species: Text
    specimen: Annotated[tuple[Text, ...], Field(min_length=1)]


class Provenance(Part):
    """Where the bundle comes from."""

    code_version: Text
    command: Text
    data_sha256: Sha256
    """Hash over the names and hashes of all input files, in the order of the cohort."""
    built: date


class Manifest(Part):
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
