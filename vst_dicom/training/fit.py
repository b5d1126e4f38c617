"""Fit the head: principal components of the features, ridge regression, penalty chosen on the training spots alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.predict.head import RidgeHead
from vst_dicom.training.scores import pearson


@dataclass(frozen=True, slots=True)
class Recipe:
    """Choices that are not learned from the spots.

    Parameters
    ----------
    n_components
        Principal components at most.
    alphas
        Ridge penalties to choose from, in units of the mean variance of a component times the number of spots.
    """

    n_components: int
    alphas: tuple[float, ...]


DEFAULT_RECIPE: Final = Recipe(n_components=256, alphas=(0.1, 0.3, 1.0, 3.0, 10.0))


@dataclass(frozen=True, eq=False)
class Components:
    """Principal components of training features.

    Parameters
    ----------
    mean
        Shape ``(n_features,)``.
    directions
        Unit vectors by falling variance, shape ``(n_components, n_features)``.
    variances
        Shape ``(n_components,)``.
    """

    mean: NDArray[np.float64]
    directions: NDArray[np.float64]
    variances: NDArray[np.float64]


def find_components(features: NDArray[np.float32], n_components: int) -> Components:
    """Principal components by an exact eigendecomposition, so that the same spots always give the same answer.

    Parameters
    ----------
    features
        Shape ``(n_spots, n_features)``.
    n_components
        At most; directions without variance are left out.
    """
    mean = features.mean(axis=0, dtype=np.float64)
    centered = features - mean
    n_spots, n_features = centered.shape
    if n_spots <= n_features:
        values, vectors = np.linalg.eigh(centered @ centered.T)
        directions = vectors.T @ centered
    else:
        values, vectors = np.linalg.eigh(centered.T @ centered)
        directions = vectors.T
    order = np.argsort(values)[::-1][:n_components]
    order = order[values[order] > 1e-9 * values.max()]
    directions = directions[order]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    largest = np.abs(directions).argmax(axis=1)
    directions *= np.sign(directions[np.arange(len(directions)), largest])[:, None]
    return Components(mean, directions, values[order] / n_spots)


def fit_ridge(components: Components, features: NDArray[np.float32], expression: NDArray[np.float32], alpha: float) -> RidgeHead:
    """Solve the ridge regression of all genes on the components' scores, with intercept.

    The scores are uncorrelated over the training spots, so every component shrinks by itself:
    ``variance / (variance + alpha * mean variance)``.

    Parameters
    ----------
    components
        Of these features.
    features, expression
        Training spots, shapes ``(n_spots, n_features)`` and ``(n_spots, n_genes)``.
    alpha
        Penalty in units of the components' mean variance.
    """
    scores = (features - components.mean) @ components.directions.T
    intercept = expression.mean(axis=0, dtype=np.float64)
    covariance = scores.T @ (expression - intercept) / len(scores)
    coefficients = covariance / (components.variances + alpha * components.variances.mean())[:, None]
    scale = np.sqrt(components.variances)[:, None]
    return RidgeHead(
        mean=components.mean.astype(np.float32),
        components=(components.directions / scale).astype(np.float32),
        coefficients=(coefficients * scale).astype(np.float32),
        intercept=intercept.astype(np.float32),
    )


def choose_alpha(
    features: NDArray[np.float32], expression: NDArray[np.float32], groups: Sequence[str], recipe: Recipe
) -> float:
    """Penalty with the best mean correlation when each group of training spots is left out in turn.

    Parameters
    ----------
    features, expression
        Training spots, shapes ``(n_spots, n_features)`` and ``(n_spots, n_genes)``.
    groups
        Group of each spot, such as its section; at least two.
    recipe
        What to choose from.
    """
    group_of = np.array(groups)
    totals = np.zeros(len(recipe.alphas))
    for group in sorted(set(groups)):
        held_out = group_of == group
        components = find_components(features[~held_out], recipe.n_components)
        for position, alpha in enumerate(recipe.alphas):
            head = fit_ridge(components, features[~held_out], expression[~held_out], alpha)
            totals[position] += pearson(head.apply(features[held_out]), expression[held_out]).mean()
    return recipe.alphas[int(totals.argmax())]


def fit_head(
    features: NDArray[np.float32], expression: NDArray[np.float32], groups: Sequence[str], recipe: Recipe
) -> tuple[RidgeHead, float]:
    """Choose the penalty inside the training spots, then fit on all of them.

    Returns
    -------
    tuple[RidgeHead, float]
        The head and the penalty.
    """
    alpha = choose_alpha(features, expression, groups, recipe)
    components = find_components(features, recipe.n_components)
    return fit_ridge(components, features, expression, alpha), alpha
