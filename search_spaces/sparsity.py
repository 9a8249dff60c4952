"""The space of the sparsity baselines of H-SPLID (arXiv 2510.20627): which penalty, how much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from search_spaces import pretrain
from search_spaces.search_space import ParameterValue

if TYPE_CHECKING:
    import optuna

# Released for COCO; the first is the first trial, the others come next.
RELEASED: Mapping[str, float] = {
    "l1_weights": 1e-5,
    "group_lasso_weights": 1e-3,
    "l1_activations": 1e-6,
    "group_lasso_activations": 1e-5,
}

PAPER: Mapping[str, ParameterValue] = {
    "method.sparsity.kind": "l1_weights",
    "method.sparsity.weight": 1e-5,
    **pretrain.PAPER,
}

OTHERS: tuple[Mapping[str, ParameterValue], ...] = tuple(
    {"method.sparsity.kind": kind, "method.sparsity.weight": weight}
    for kind, weight in RELEASED.items()
    if kind != PAPER["method.sparsity.kind"]
)


def suggest(trial: optuna.Trial) -> dict[str, ParameterValue]:
    """Suggest a penalty and its weight, and the optimiser's settings.

    Args:
        trial: The trial that asks.

    Returns:
        Config fields by dotted path, each in every trial.
    """
    return {**suggest_method(trial), **pretrain.suggest(trial)}


def suggest_method(trial: optuna.Trial) -> dict[str, ParameterValue]:
    """Suggest a penalty and its weight alone, to go with another space.

    Args:
        trial: The trial that asks.
    """
    return {
        "method.sparsity.kind": trial.suggest_categorical(
            "method.sparsity.kind",
            list(RELEASED),
        ),
        # One range for all kinds, a decade wider on both sides than the released values, which
        # run from 1e-6 (L1 on activations) to 1e-2 (group lasso on weights, ISIC).
        "method.sparsity.weight": trial.suggest_float(
            "method.sparsity.weight", 1e-7, 0.1, log=True
        ),
    }
