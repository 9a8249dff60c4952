"""All methods of H-SPLID's Table 2 in one space: the method is a choice, its values depend on it.

The choice is the field ``recipe``, which names the methods that take part. Weight decay, a method
of its own in the table, is cross-entropy with a weight decay above zero; the penalties for
sparsity are one method of four kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from search_spaces import hbar, hsplid, sparsity
from search_spaces.search_space import ParameterValue

if TYPE_CHECKING:
    import optuna

_CROSS_ENTROPY, _HBAR = "cross_entropy", "cross_entropy+hbar"
_HSPLID, _SPARSITY = "cross_entropy+hsplid", "cross_entropy+sparsity"
RECIPES = (_CROSS_ENTROPY, _HBAR, _HSPLID, _SPARSITY)

# The weight of the cross-entropy beside each method, as released.
_WEIGHTS = {_CROSS_ENTROPY: 1.0, _HBAR: 1.0, _HSPLID: 10.0, _SPARSITY: 1.0}


def _own(paper: Mapping[str, ParameterValue], method: str) -> dict[str, ParameterValue]:
    return {k: v for k, v in paper.items() if k.startswith(f"method.{method}.")}


# H-SPLID comes first, as the method that the others are compared with.
PAPER: Mapping[str, ParameterValue] = {
    "recipe": _HSPLID,
    **_own(hsplid.PAPER, "hsplid"),
    **_own(hbar.PAPER, "hbar"),
    **_own(sparsity.PAPER, "sparsity"),
    "method.cross_entropy.weight": _WEIGHTS[_HSPLID],
    "training.learning_rate": 5e-4,
    "training.weight_decay": 0.0,
}


def _published(recipe: str, changes: Mapping[str, ParameterValue]) -> dict[str, ParameterValue]:
    weight = _WEIGHTS[recipe]
    return {"recipe": recipe, "method.cross_entropy.weight": weight, **changes}


# The released configurations of the other rows of the table.
OTHERS: tuple[Mapping[str, ParameterValue], ...] = (
    _published(_CROSS_ENTROPY, {}),
    _published(_CROSS_ENTROPY, {"training.weight_decay": 1e-3}),
    _published(_HBAR, {}),
    *(
        _published(_SPARSITY, {"method.sparsity.kind": kind, "method.sparsity.weight": weight})
        for kind, weight in sparsity.RELEASED.items()
    ),
)


def suggest(trial: optuna.Trial) -> dict[str, ParameterValue]:
    """Suggest a method, its values, and the optimiser's settings.

    Args:
        trial: The trial that asks.

    Returns:
        Config fields by dotted path, each in every trial; the published ones of methods that take
        no part.
    """
    recipe = trial.suggest_categorical("recipe", list(RECIPES))
    values = {**PAPER, "recipe": recipe, "method.cross_entropy.weight": _WEIGHTS[recipe]}
    if recipe == _HSPLID:
        values |= hsplid.suggest_method(trial)
    elif recipe == _HBAR:
        values |= hbar.suggest_method(trial)
    elif recipe == _SPARSITY:
        values |= sparsity.suggest_method(trial)
    # One range for all methods: a parameter has one range in a study.
    return {**values, **hsplid.suggest_optimiser(trial)}
