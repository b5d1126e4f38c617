"""The part of a manifest that says what computes: encoder and head."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from vst_dicom.predict.manifest_part import Part, Sha256, Text

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


def _growing_from_one(sides: tuple[int, ...]) -> tuple[int, ...]:
    """Refuse sides that do not grow, or leave the tile itself out."""
    if sides[0] != 1 or list(sides) != sorted(set(sides)):
        raise ValueError("sides must begin with 1 and grow")
    return sides


class Encoder(Part):
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


class ReferenceEmbedding(Part):
    """Proof that the encoder that runs is the encoder that was fitted; the vector lies in the head's file."""

    tile_sha256: Sha256
    cos_min: Annotated[float, Field(gt=0, le=1)]


class RidgeForm(Part):
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


class MlpForm(Part):
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
