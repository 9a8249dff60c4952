"""Sweeps on disk as a driver leaves them, without having run."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweeps.spec.objective import Objective
from sweeps.study.location import SQLITE_FILE
from tests.sweeps.records import GOALS

_BEGIN = datetime(2026, 1, 1)


def complete_trial(values: Sequence[float], *, salient_dims: float = 10.0) -> FrozenTrial:
    """Make a complete trial whose parameters follow from its values."""
    parameters = {"method.hsplid.rho_s": round(1 - values[0], 6), "training.learning_rate": 5e-4}
    named = {goal.metric: value for goal, value in zip(GOALS, values, strict=True)}
    return create_trial(
        values=list(values),
        user_attrs={
            "parameters": parameters,
            "metrics": {**named, "hsplid/salient_dims": salient_dims},
            "seconds": 30.0,
        },
    )


def failed_trial(failure: str = "the loss became NaN or infinite in epoch 2") -> FrozenTrial:
    """Make a failed trial."""
    return create_trial(state=TrialState.FAIL, user_attrs={"failure": failure, "seconds": 2.0})


def write_study(
    folder: Path, trials: Iterable[FrozenTrial], objectives: Sequence[Objective] = GOALS
) -> optuna.Study:
    """Write a study with these trials into a sweep's folder."""
    folder.mkdir(parents=True)
    study = optuna.create_study(
        study_name="cloud",
        storage=f"sqlite:///{folder / SQLITE_FILE}",
        directions=[objective.direction for objective in objectives],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([objective.metric for objective in objectives])
    study.add_trials(trials)
    return study


def cloud_study(n_trials: int, *, seed: int = 0) -> optuna.Study:
    """Make a study in memory as a search over conditional parameters leaves it, with failures."""
    rng = np.random.default_rng(seed)
    study = optuna.create_study(directions=[goal.direction for goal in GOALS])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([goal.metric for goal in GOALS])
    study.add_trials([_random_trial(number, rng) for number in range(n_trials)])
    return study


def _random_trial(number: int, rng: np.random.Generator) -> FrozenTrial:
    lr, uses_rho = float(10 ** rng.uniform(-4, -2)), bool(rng.integers(2))
    rho = float(10 ** rng.uniform(-2, 0)) if uses_rho else 0.0
    params: dict[str, Any] = {
        "training.learning_rate": lr,
        "use/method.hsplid.rho_s": uses_rho,
        "method.hsplid.hsic_warmup": ["hard_split", "none"][rng.integers(2)],
        **({"method.hsplid.rho_s": rho} if uses_rho else {}),
    }
    distributions: dict[str, BaseDistribution] = {
        "training.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "use/method.hsplid.rho_s": CategoricalDistribution([True, False]),
        "method.hsplid.hsic_warmup": CategoricalDistribution(["hard_split", "none"]),
        "method.hsplid.rho_s": FloatDistribution(1e-2, 1, log=True),
    }
    fields = {name: value for name, value in params.items() if not name.startswith("use/")}
    attributes: dict[str, Any] = {
        "parameters": {**fields, "method.hsplid.rho_s": rho},
        "seconds": float(rng.uniform(20, 60)),
    }
    accuracy = 0.9 - 0.1 * abs(np.log10(lr) + 3) - 0.2 * rho + 0.02 * rng.normal()
    robust = [accuracy * (0.8 - 0.12 * eps) + 0.2 * rho + 0.03 * rng.normal() for eps in (1, 2, 3)]
    metrics = {
        "val/accuracy": float(accuracy),
        "val/robust_accuracy": float(np.mean(robust)),
        "hsplid/salient_dims": float(rng.integers(2, 60)),
        **{
            f"val/robust_accuracy/pgd/background/eps_{eps}": float(value)
            for eps, value in zip((1, 2, 3), robust, strict=True)
        },
    }
    has_failed = number % 17 == 5
    if has_failed:
        cause = ("diverged", "out_of_memory")[number % 2]
        failure = {"diverged": "the loss became NaN", "out_of_memory": "CUDA out of memory"}[cause]
        attributes |= {"cause": cause, "failure": f"{failure} in epoch {number % 3}"}
    trial = create_trial(
        state=TrialState.FAIL if has_failed else TrialState.COMPLETE,
        values=None if has_failed else [metrics[goal.metric] for goal in GOALS],
        params=params,
        distributions={name: distributions[name] for name in params},
        user_attrs=attributes | ({} if has_failed else {"metrics": metrics}),
    )
    trial.datetime_start = _BEGIN + timedelta(seconds=20 * number)
    trial.datetime_complete = trial.datetime_start + timedelta(seconds=attributes["seconds"])
    return trial
