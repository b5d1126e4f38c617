"""Fit the head: principal components of the features, ridge regression, choices made on the training spots alone.

Before the fit, features and expression are centered within each section, so that what differs between sections as a
whole (stain, scanner, depth of sequencing) is not learned as if it were tissue.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.predict.head import Head
from vst_dicom.predict.manifest import HeadForm, RidgeForm
from vst_dicom.predict.ridge_head import RidgeHead
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.scores import FloatArray, pearson

_QUARTERS: Final = 4
"""A single training section is cut into this many strips to choose on."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is chosen on held-out training spots.

    Parameters
    ----------
    alpha
        Ridge penalty, in units of the mean variance of a component.
    rank
        Number of programs: independent patterns over the tissue from which all genes are mixed.
    """

    alpha: float
    rank: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is fixed beforehand.

    Parameters
    ----------
    n_components
        Principal components at most.
    alphas, ranks
        What to choose from.
    n_members
        Members fitted on resampled spots.
    """

    n_components: int = 256
    alphas: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)
    ranks: tuple[int, ...] = (5, 10, 20, 40)
    n_members: int = 5


DEFAULT_RECIPE: Final = Recipe()

RECIPE_NOTE: Final = (
    "The form of the recipe (balanced blocks, centering, few programs) was settled while looking at held-out sections "
    "C2 to C5 of HER2ST; figures on these are a little too good for that."
)
"""For cards."""


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Training spots in terms of the principal components of their features.

    Parameters
    ----------
    mean
        Mean feature vector, shape ``(n_features,)``.
    block_scale
        Factor of each feature: own and neighborhood features get the same total variance, shape ``(n_features,)``.
    directions
        Unit vectors by falling variance, shape ``(n_components, n_features)``.
    variances
        Shape ``(n_components,)``.
    covariance
        Of components and expression, shape ``(n_components, n_genes)``.
    intercept
        Mean expression, shape ``(n_genes,)``.
    scores, expression
        Of the training spots, both centered within sections, shapes ``(n_spots, n_components)`` and
        ``(n_spots, n_genes)``.
    bounds
        Where each section begins and the last ends, shape ``(n_sections + 1,)``.
    """

    mean: FloatArray
    block_scale: FloatArray
    directions: FloatArray
    variances: FloatArray
    covariance: FloatArray
    intercept: FloatArray
    scores: FloatArray
    expression: FloatArray
    bounds: NDArray[np.int64]


def decompose(sections: Sequence[SectionSpots], n_components: int) -> Decomposition:
    """Find the components by an exact eigendecomposition, so that the same spots always give the same answer."""
    features = np.concatenate([section.features for section in sections]).astype(np.float64)
    expression = np.concatenate([section.expression for section in sections]).astype(np.float64)
    mean, intercept = features.mean(axis=0), expression.mean(axis=0)
    features -= np.concatenate([np.broadcast_to(s.features.mean(axis=0), s.features.shape) for s in sections])
    expression -= np.concatenate([np.broadcast_to(s.expression.mean(axis=0), s.expression.shape) for s in sections])

    own, neighborhood = np.split(features.var(axis=0), 2)
    ratio = np.sqrt(own.sum() / max(float(neighborhood.sum()), 1e-12))
    block_scale = np.concatenate([np.ones(len(own)), np.full(len(own), ratio)])
    features *= block_scale

    wide = len(features) <= features.shape[1]
    values, vectors = np.linalg.eigh(features @ features.T if wide else features.T @ features)
    order = np.argsort(values)[::-1][:n_components]
    order = order[values[order] > 1e-9 * max(float(values.max()), 1e-30)]
    directions = vectors.T[order] @ features if wide else vectors.T[order]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    largest = np.abs(directions).argmax(axis=1)
    directions *= np.sign(directions[np.arange(len(directions)), largest])[:, None]
    scores = features @ directions.T
    covariance = scores.T @ expression / len(features)
    bounds = np.cumsum([0, *(len(section.features) for section in sections)])
    return Decomposition(
        mean, block_scale, directions, values[order] / len(features), covariance, intercept, scores, expression, bounds
    )


def solve(parts: Decomposition, choice: Choice, n_members: int = 0, seed: int = 0) -> RidgeHead:
    """Ridge regression of all genes with intercept, then only the strongest programs of its answer.

    Parameters
    ----------
    parts
        Training spots.
    choice
        Penalty and number of programs.
    n_members, seed
        How many members to fit on resampled spots, and the seed of their draws.
    """
    coefficients, programs = _regress(parts, choice.alpha)
    programs = programs[: choice.rank]
    scale = np.sqrt(parts.variances)[:, None]
    random = np.random.default_rng(seed)
    members = [scale * _regress_resampled(parts, choice, random) for _ in range(n_members)]
    return RidgeHead(
        mean=parts.mean.astype(np.float32),
        components=(parts.directions * parts.block_scale / scale).astype(np.float32),
        coefficients=(scale * (coefficients @ programs.T @ programs)).astype(np.float32),
        intercept=parts.intercept.astype(np.float32),
        member_coefficients=np.array(members, dtype=np.float32).reshape(n_members, *coefficients.shape),
    )


def _regress(parts: Decomposition, alpha: float) -> tuple[FloatArray, FloatArray]:
    """Coefficients of the components, shape ``(n_components, n_genes)``, and programs, unit vectors over genes.

    The components are uncorrelated over the training spots, so each shrinks by itself, by
    ``variance / (variance + alpha * mean variance)``. The programs are the principal components, over genes, of the
    fitted expression.
    """
    coefficients = parts.covariance / (parts.variances + alpha * parts.variances.mean())[:, None]
    fitted = np.sqrt(parts.variances)[:, None] * coefficients
    strengths, programs = np.linalg.eigh(fitted.T @ fitted)
    return coefficients, programs[:, np.argsort(strengths)[::-1]].T


def _regress_resampled(parts: Decomposition, choice: Choice, random: np.random.Generator) -> FloatArray:
    """Coefficients, shape ``(n_components, n_genes)``, from sections drawn with replacement and spots within them.

    What changes from section to section then shows in the members, beside what changes from spot to spot.
    """
    n_sections = len(parts.bounds) - 1
    drawn = [
        random.integers(
            parts.bounds[section], parts.bounds[section + 1], parts.bounds[section + 1] - parts.bounds[section]
        )
        for section in random.integers(0, n_sections, n_sections)
    ]
    spots = np.concatenate(drawn)
    scores, expression = parts.scores[spots], parts.expression[spots]
    penalty = choice.alpha * parts.variances.mean() * np.eye(scores.shape[1])
    coefficients = np.linalg.solve(scores.T @ scores / len(spots) + penalty, scores.T @ expression / len(spots))
    fitted = scores @ coefficients
    strengths, programs = np.linalg.eigh(fitted.T @ fitted)
    strongest = programs[:, np.argsort(strengths)[::-1][: choice.rank]]
    answer: FloatArray = coefficients @ strongest @ strongest.T
    return answer


def choose(sections: Sequence[SectionSpots], recipe: Recipe) -> Choice:
    """Take the choice with the best mean correlation when each training section is left out in turn.

    Parameters
    ----------
    sections
        Training sections; a single one is cut into strips along x.
    recipe
        What to choose from.
    """
    groups = list(sections) if len(sections) > 1 else _strips(sections[0])
    totals: dict[Choice, float] = {}
    for held_out in groups:
        parts = decompose([group for group in groups if group is not held_out], recipe.n_components)
        scores = ((held_out.features - parts.mean) * parts.block_scale) @ parts.directions.T
        for alpha in recipe.alphas:
            coefficients, programs = _regress(parts, alpha)
            predicted = scores @ coefficients
            for rank in recipe.ranks:
                of_programs = predicted @ programs[:rank].T @ programs[:rank]
                choice = Choice(alpha, rank)
                totals[choice] = totals.get(choice, 0.0) + float(pearson(of_programs, held_out.expression).mean())
    return max(totals, key=lambda choice: totals[choice])


def fit_head(sections: Sequence[SectionSpots], recipe: Recipe = DEFAULT_RECIPE, seed: int = 0) -> tuple[Head, Choice]:
    """Choose inside the training sections, then fit on all of them; `seed` is that of the members' draws."""
    choice = choose(sections, recipe)
    return solve(decompose(sections, recipe.n_components), choice, recipe.n_members, seed), choice


def form_of(head: Head, choice: Choice) -> HeadForm:
    """Say in the manifest's words what was fitted."""
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
