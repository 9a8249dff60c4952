"""Trials of a study, read as records."""

from __future__ import annotations

import json

import moocore
import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweeps.trials import attributes as names
from sweeps.trials.record import WARNING_TAG, TrialRecord
from sweeps.trials.record import TrialState as RecordState
from trainables.robustness import WARNINGS

_STATES: dict[TrialState, RecordState] = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.FAIL: "failed",
    TrialState.PRUNED: "stopped",
}


def records_of(study: optuna.Study) -> list[TrialRecord]:
    """Read the trials of a study.

    The engine leaves what Optuna does not know in a trial's user attributes, named in
    :mod:`sweeps.trials.attributes`. Without parameters there, Optuna's own are taken; the warnings
    in its tables become tags too. A pruned trial with a failure has failed: so the sampler hears
    of a divergence.

    Args:
        study: Study with one or more objectives.

    Returns:
        One record a trial, by number; the front is that of :attr:`optuna.Study.best_trials`,
        which would copy all trials to find it.
    """
    trials = study.get_trials(deepcopy=False)
    candidates = [trial for trial in trials if is_candidate(trial)]
    maximise = [direction == StudyDirection.MAXIMIZE for direction in study.directions]
    values = np.array([trial.values for trial in candidates]).reshape(-1, len(maximise))
    best = moocore.is_nondominated(values, maximise=maximise, keep_weakly=True)
    chosen = zip(candidates, best.tolist(), strict=True)
    front = {trial.number for trial, on_front in chosen if on_front}
    return [record_of(trial, on_front=trial.number in front) for trial in trials]


def is_candidate(trial: FrozenTrial) -> bool:
    """Tell whether a trial may be on a front: it is complete and feasible."""
    return trial.state == TrialState.COMPLETE and not any(
        excess > 0 for excess in trial.constraints.values()
    )


def record_of(trial: FrozenTrial, *, on_front: bool = False) -> TrialRecord:
    """Read one trial of a study.

    Args:
        trial: The trial, as :func:`records_of` describes it.
        on_front: Whether it is on the front.
    """
    attributes = trial.user_attrs
    state, failure = _STATES[trial.state], attributes.get(names.FAILURE)
    if state == "stopped" and failure:
        state = "failed"
    elif state == "failed":
        failure = failure or "no cause recorded"
    return TrialRecord(
        number=trial.number,
        state=state,
        parameters=attributes.get(names.PARAMETERS, trial.params),
        values=tuple(trial.values) if trial.state == TrialState.COMPLETE else None,
        metrics=attributes.get(names.METRICS, {}),
        seconds=attributes.get(names.SECONDS),
        failure=failure,
        on_front=on_front,
        cause=attributes.get(names.CAUSE),
        traceback=attributes.get(names.TRACEBACK),
        attempts=attributes.get(names.ATTEMPTS, 0),
        resources=attributes.get(names.RESOURCES, {}),
        host=attributes.get(names.HOST),
        infeasible=attributes.get(names.INFEASIBLE),
        tags={**attributes.get(names.TAGS, {}), **_warnings(attributes.get(names.TABLES))},
    )


def _warnings(tables: str | None) -> dict[str, str]:
    """Read why a trial's robust accuracy may be wrong, as tags, out of its tables."""
    found = json.loads(tables or "{}").get(WARNINGS, {"code": [], "message": []})
    told: dict[str, list[str]] = {}
    for code, message in zip(found["code"], found["message"], strict=True):
        told.setdefault(f"{WARNING_TAG}{code}", []).append(message)
    return {name: "; ".join(messages) for name, messages in told.items()}
