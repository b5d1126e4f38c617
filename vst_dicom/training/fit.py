"""Fit the head: principal components of the features, then regression, every choice made on the training spots alone.

Before the fit, features and expression are centered within each section, so that what differs between sections as a
whole (stain, scanner, depth of sequencing) is not learned as if it were tissue. Spots weigh by their counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from vst_dicom.predict.manifest_model import HeadForm, MlpForm, RidgeForm
from vst_dicom.predict.members import Head
from vst_dicom.predict.mlp_head import MlpHead
from vst_dicom.training.components import decompose
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.fit_mlp import MlpRecipe, fit_mlp
from vst_dicom.training.fit_ridge import fit_ridge, regress
from vst_dicom.training.scores import pearson

_QUARTERS: Final = 4
"""A single training section is cut into this many strips to choose on."""

_CLEARLY: Final = 0.01
"""By this much networks must beat ridge regression in mean correlation, and win on every held-out part, to be taken."""

_MEMBERS_TO_CHOOSE: Final = 2
"""Members fitted while choosing; the rest only for the head itself."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is chosen on held-out training spots.

    Parameters
    ----------
    alpha
        Ridge penalty, in units of the mean variance of a component.
    rank
        Number of programs: independent patterns over the tissue from which all genes are mixed.
    kind
        What the head is; `alpha` and `rank` are then those of the ridge regression that it beat.
    weight_decay
        Of the networks; 0 for ridge regression.
    """

    alpha: float
    rank: int
    kind: Literal["ridge", "mlp"] = "ridge"
    weight_decay: float = 0.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is fixed beforehand.

    Parameters
    ----------
    n_components
        Principal components at most.
    alphas, ranks
        What ridge regression may choose from.
    weight_decays
        What networks may choose from; empty tries none.
    mlp
        Form of the networks.
    n_members
        Members of the head, whose disagreement is its spread.
    """

    n_components: int = 256
    alphas: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)
    ranks: tuple[int, ...] = (5, 8, 12, 20, 40)
    weight_decays: tuple[float, ...] = ()
    mlp: MlpRecipe = field(default_factory=MlpRecipe)
    n_members: int = 5


DEFAULT_RECIPE: Final = Recipe(weight_decays=(1.0,))

RECIPE_NOTE: Final = (
    "The form of the recipe (weights by counts, balanced blocks, centering, few programs, neighborhoods of 5 × 5 "
    "tiles, means of all stages of the network) was settled while looking at held-out sections C2 to C5 of HER2ST; "
    "figures on these are a little too good for that."
)
"""For cards."""


def fit_head(sections: Sequence[SectionSpots], recipe: Recipe = DEFAULT_RECIPE, seed: int = 0) -> tuple[Head, Choice]:
    """Choose inside the training sections, then fit on all of them; `seed` is that of all draws."""
    choice = choose(sections, recipe, seed)
    parts = decompose(sections, recipe.n_components)
    if choice.kind == "mlp":
        return fit_mlp(parts, recipe.mlp, choice.weight_decay, recipe.n_members, seed), choice
    return fit_ridge(parts, choice.alpha, choice.rank, recipe.n_members, seed), choice


def choose(sections: Sequence[SectionSpots], recipe: Recipe, seed: int = 0) -> Choice:
    """Take the choice with the best mean correlation when each training section is left out in turn.

    Ridge regression is taken unless networks are clearly better.

    Parameters
    ----------
    sections
        Training sections; a single one is cut into strips along x.
    recipe
        What to choose from.
    seed
        Of the networks' draws.
    """
    groups = list(sections) if len(sections) > 1 else _strips(sections[0])
    agreement: dict[Choice, list[float]] = {}

    def note(choice: Choice, predicted: np.ndarray, held_out: SectionSpots) -> None:
        agreement.setdefault(choice, []).append(float(pearson(predicted, held_out.expression).mean()))

    for held_out in groups:
        parts = decompose([group for group in groups if group is not held_out], recipe.n_components)
        scores = parts.project(held_out.features)
        for alpha in recipe.alphas:
            coefficients, programs = regress(parts, alpha)
            predicted = scores @ coefficients
            for rank in recipe.ranks:
                note(Choice(alpha, rank), predicted @ programs[:rank].T @ programs[:rank], held_out)
        for weight_decay in recipe.weight_decays:
            networks = fit_mlp(parts, recipe.mlp, weight_decay, _MEMBERS_TO_CHOOSE, seed)
            note(Choice(0.0, 1, "mlp", weight_decay), networks.apply(held_out.features), held_out)

    best = {
        kind: max((c for c in agreement if c.kind == kind), key=lambda c: np.mean(agreement[c]), default=None)
        for kind in ("ridge", "mlp")
    }
    ridge, networks_choice = best["ridge"], best["mlp"]
    if ridge is None:
        raise ValueError("a recipe needs at least one alpha and one rank")
    if networks_choice is None:
        return ridge
    gains = np.array(agreement[networks_choice]) - np.array(agreement[ridge])
    if gains.min() > 0 and gains.mean() >= _CLEARLY:
        return Choice(ridge.alpha, ridge.rank, "mlp", networks_choice.weight_decay)
    return ridge


def form_of(head: Head, choice: Choice, recipe: Recipe = DEFAULT_RECIPE) -> HeadForm:
    """Say in the manifest's words what was fitted."""
    if isinstance(head, MlpHead):
        return MlpForm(
            type="pca+mlp",
            n_components=head.n_components,
            n_hidden=recipe.mlp.n_hidden,
            weight_decay=choice.weight_decay,
            n_epochs=recipe.mlp.n_epochs,
            likelihood="gaussian",
            n_members=head.n_members,
        )
    return RidgeForm(
        type="pca+ridge",
        n_components=head.n_components,
        alpha=choice.alpha,
        rank=choice.rank,
        intercept=True,
        n_members=head.n_members,
    )


def _strips(section: SectionSpots) -> list[SectionSpots]:
    """Parts of a section with equal numbers of spots, cut along x, so that neighbors mostly stay together."""
    order = np.argsort(section.centers_px[:, 0], kind="stable")
    return [section.subset(part) for part in np.array_split(order, _QUARTERS)]
