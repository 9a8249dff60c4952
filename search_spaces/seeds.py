"""The space of repetitions: a spec's own values, trained under one seed after another.

For a number with its spread, such as that of a paper's claim: nothing but the seed differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_spaces.search_space import ParameterValue, SearchSpace

if TYPE_CHECKING:
    import optuna

_IN_ORDER = 5
_MOST = 9_999


def suggest(trial: optuna.Trial) -> dict[str, ParameterValue]:
    """Suggest a seed.

    Args:
        trial: The trial that asks.

    Returns:
        The field ``seed``.
    """
    return {"seed": trial.suggest_int("seed", 0, _MOST)}


# In order, so that nobody need ask which were chosen; more trials only add to those there are.
SEEDS = SearchSpace(
    suggest, {"seed": 0}, tuple({"seed": n} for n in range(1, _IN_ORDER)), has_published=False
)
