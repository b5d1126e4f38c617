"""Fit small networks on the components, by the likelihood of a Gaussian whose width each gene has for itself."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.predict.mlp_head import MlpHead
from vst_dicom.training.components import Decomposition

_LEARNING_RATE: Final = 6e-3
_BATCH: Final = 256
_LEAST_SD: Final = 0.05
"""Genes that vary less are scaled as if they varied so much, in ln(1 + CP10k)."""


@dataclass(frozen=True, slots=True)
class MlpRecipe:
    """What is fixed beforehand.

    Parameters
    ----------
    n_components
        Principal components at most.
    n_hidden
        Values of the hidden layer.
    dropout
        Part of the components and of the hidden values that is left out at each step.
    n_epochs
        Times that every spot is seen.
    """

    n_components: int = 64
    n_hidden: int = 32
    dropout: float = 0.3
    n_epochs: int = 60


def fit_mlp(parts: Decomposition, recipe: MlpRecipe, weight_decay: float, n_members: int, seed: int) -> MlpHead:
    """Fit the members one after another, on one thread of the CPU, so that a seed gives the same head again.

    Parameters
    ----------
    parts
        Training spots.
    recipe
        Form and training.
    weight_decay
        Shrinks the weights at each step, apart from the gradient (AdamW).
    n_members
        How many; they differ by where they start, by the order of spots, and by what is left out.
    seed
        Of the first member; the others count on from it.
    """
    k = min(recipe.n_components, len(parts.variances))
    scale = np.sqrt(parts.variances[:k])
    scale = np.sqrt(scale * scale.mean())
    sd = np.maximum(np.sqrt(np.average(parts.expression**2, axis=0, weights=parts.weights)), _LEAST_SD)
    scores = (parts.scores[:, :k] / scale).astype(np.float32)
    target = (parts.expression / sd).astype(np.float32)
    members = [_fit_member(scores, target, parts.weights, recipe, weight_decay, seed + m) for m in range(n_members)]
    hidden_weights, hidden_bias, weights, bias = (np.stack(arrays) for arrays in zip(*members, strict=True))
    return MlpHead(
        mean=parts.mean.astype(np.float32),
        components=(parts.directions[:k] * parts.block_scale / scale[:, None]).astype(np.float32),
        hidden_weights=hidden_weights,
        hidden_bias=hidden_bias,
        weights=(weights * sd).astype(np.float32),
        bias=(bias * sd + parts.intercept).astype(np.float32),
    )


def _fit_member(
    scores: NDArray[np.float32],
    target: NDArray[np.float32],
    spot_weights: NDArray[np.float64],
    recipe: MlpRecipe,
    weight_decay: float,
    seed: int,
) -> tuple[NDArray[np.float32], ...]:
    """Weights and biases of the two layers, as `MlpHead` takes them."""
    import torch
    from torch import nn

    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    try:
        x, y = torch.from_numpy(scores), torch.from_numpy(target)
        w = torch.from_numpy(spot_weights.astype(np.float32))[:, None]
        hidden, output = nn.Linear(x.shape[1], recipe.n_hidden), nn.Linear(recipe.n_hidden, y.shape[1])
        network = nn.Sequential(nn.Dropout(recipe.dropout), hidden, nn.ReLU(), nn.Dropout(recipe.dropout), output)
        log_variance = torch.zeros(y.shape[1], requires_grad=True)
        optimizer = torch.optim.AdamW(
            [
                {"params": network.parameters(), "weight_decay": weight_decay},
                {"params": [log_variance], "weight_decay": 0.0},
            ],
            lr=_LEARNING_RATE,
        )
        network.train()
        for _ in range(recipe.n_epochs):
            for batch in torch.split(torch.randperm(len(x)), _BATCH):
                optimizer.zero_grad()
                error = w[batch] * (y[batch] - network(x[batch])) ** 2
                (error * torch.exp(-log_variance) + log_variance).mean().backward()
                optimizer.step()
    finally:
        torch.set_num_threads(threads)
        torch.random.set_rng_state(state)
    parameters = (hidden.weight.T, hidden.bias, output.weight.T, output.bias)
    return tuple(np.ascontiguousarray(parameter.detach().numpy()) for parameter in parameters)
