"""Sweeps on disk as a driver leaves them, without having run."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweeps.results import Objective
from sweeps.study import STUDY_FILE
from tests.sweeps.records import GOALS


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
        storage=f"sqlite:///{folder / STUDY_FILE}",
        directions=[objective.direction for objective in objectives],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([objective.metric for objective in objectives])
    study.add_trials(trials)
    return study
