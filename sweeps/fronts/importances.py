"""Importances of parameters, by Optuna's PED-ANOVA, which takes conditional ones too.

Reference: Watanabe et al. 2023 (arXiv 2304.10255), and its conditional form (arXiv 2601.20800).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from search_spaces import SWITCH_PREFIX
from sweeps.spec.objective import Objective
from sweeps.trials.labels import metric_label, short_names

HYPERVOLUME = "hypervolume"

# PED-ANOVA asks what the best tenth of the trials have in common, and Optuna's documentation for
# at least five of those.
_BEST_SHARE = 0.1
_FEWEST_BEST = 5


@dataclass(frozen=True, kw_only=True)
class Importances:
    """What decides a sweep's results.

    Attributes:
        shares: Target to parameter to importance, from large to small, adding up to 1. A target
            is an objective's metric, or :data:`HYPERVOLUME`: being one of the trials that rank
            first and span the most volume, without a preference for any objective.
        warning: Why there are none; None where there are enough trials.
    """

    shares: Mapping[str, Mapping[str, float]]
    warning: str | None


def importances(study: optuna.Study, objectives: Sequence[Objective]) -> Importances:
    """Assess all searched parameters for each objective and for the hypervolume.

    Args:
        study: The study; its complete trials count.
        objectives: The study's objectives, in its order.

    Returns:
        Nothing but a warning where too few trials are complete or nothing was searched: a number
        is read as a finding, whatever stands beside it.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if warning := _warning(complete):
        return Importances(shares={}, warning=warning)
    shares = {
        objective.metric: _assess(study, _loss(position, objective))
        for position, objective in enumerate(objectives)
    }
    if len(objectives) > 1:
        shares[HYPERVOLUME] = _assess(study, None)
    return Importances(shares=shares, warning=None)


def _assess(
    study: optuna.Study, target: Callable[[FrozenTrial], float] | None
) -> Mapping[str, float]:
    # A second, for scikit-learn, which few commands get to.
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings():
        # That small is better, which _loss sees to; and that there are few trials, told below.
        warnings.simplefilter("ignore", UserWarning)
        evaluator = PedAnovaImportanceEvaluator(target_quantile=_BEST_SHARE)
        found = get_param_importances(study, evaluator=evaluator, target=target)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _loss(position: int, objective: Objective) -> Callable[[FrozenTrial], float]:
    sign = -1.0 if objective.direction == "maximize" else 1.0
    return lambda trial: sign * trial.values[position]


def _warning(complete: Sequence[FrozenTrial]) -> str | None:
    n_trials = len(complete)
    if n_trials < 2 or not any(trial.params for trial in complete):
        return f"{n_trials} complete trials say nothing about importances"
    best = math.ceil(_BEST_SHARE * n_trials)
    if best >= _FEWEST_BEST:
        return None
    needed = round((_FEWEST_BEST - 1) / _BEST_SHARE) + 1
    return (
        f"too few trials: importances ask what the best tenth have in common, and of {n_trials} "
        f"complete trials that is {best}; from {needed} trials on they begin to mean something "
        "and are shown"
    )


def importance_rows(found: Importances) -> tuple[list[str], list[list[str]]]:
    """Lay importances out: a row a parameter, what decides the hypervolume most on top.

    Returns:
        Header and rows; shares in percent.
    """
    targets = list(found.shares)
    order = found.shares.get(HYPERVOLUME) or found.shares[targets[0]]
    names = parameter_names(sorted({path for own in found.shares.values() for path in own}))
    rows = [
        [names[path], *(f"{found.shares[target].get(path, 0):.0%}" for target in targets)]
        for path in order
    ]
    return ["parameter", *map(metric_label, targets)], rows


def parameter_names(paths: Sequence[str]) -> dict[str, str]:
    """Shorten the names of Optuna's parameters, switches apart from what they switch."""
    fields = [path for path in paths if not path.startswith(SWITCH_PREFIX)]
    names = short_names({path.removeprefix(SWITCH_PREFIX): None for path in [*fields, *paths]})
    return {
        path: f"{names[path.removeprefix(SWITCH_PREFIX)]} on/off"
        if path.startswith(SWITCH_PREFIX)
        else names[path]
        for path in paths
    }
