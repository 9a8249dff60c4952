"""The durable study: every trial's parameters, state and values, written by the driver alone."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from hsplid_core.errors import ConfigError
from search_spaces import ParameterValue
from sweeps.search.samplers import build_sampler, experimental
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.study.damage import find_study
from sweeps.study.database import open_storage
from sweeps.study.driver_lock import SweepBusyError, sole_driver
from sweeps.study.location import (
    StorageError,
    claim_place,
    find_place,
    holds_sweep,
    is_study_of,
    number_of,
)
from sweeps.trials.attributes import NAMED_CHECKPOINTS, SWEEP_ID

__all__ = [
    "StorageError",
    "SweepBusyError",
    "check_study",
    "find_place",
    "has_started",
    "interrupted_trials",
    "load_study",
    "missing_trials",
    "open_study",
    "reopened_trials",
    "sole_driver",
    "study_folders",
    "sweep_folder",
]


def sweep_folder(storage: Path, name: str, *, fresh: bool) -> Path:
    """Pick the folder of a sweep's study: the newest one, or a new one beside it.

    Args:
        storage: Folder of all sweeps.
        name: Name of the sweep; later studies of it get ``-2``, ``-3`` and so on. A folder that
            has such a name and is another sweep's is passed over.
        fresh: Start a new study where one exists.
    """
    numbers = {
        number: folder
        for folder in storage.glob("*")
        if (number := number_of(folder, name)) is not None and holds_sweep(folder)
    }
    own = [number for number, folder in numbers.items() if is_study_of(folder, name)]
    newest = max(own, default=1)
    if fresh and newest in numbers:
        newest += 1
        while newest in numbers:
            newest += 1
    return storage / (name if newest == 1 else f"{name}-{newest}")


def study_folders(storage: Path) -> list[Path]:
    """Return the folders with a study below the folder of all sweeps, by name."""
    return [folder for folder in sorted(storage.glob("*")) if holds_sweep(folder)]


def open_study(
    folder: Path,
    spec: SweepSpec,
    fixed: Mapping[str, ParameterValue],
    first_trials: Sequence[Mapping[str, ParameterValue]],
    taught: Sequence[FrozenTrial] = (),
) -> optuna.Study:
    """Open a sweep's study, or create it; one in which no trial has begun is created anew.

    Args:
        folder: The sweep's folder.
        spec: The sweep.
        fixed: Config fields that are no longer searched.
        first_trials: Optuna parameters of the first trials of a new study.
        taught: Trials of other studies that the sampler learns from.

    Raises:
        ConfigError: The study is kept somewhere else, or has other objectives.
        DamagedStudyError: There was a study, which is gone or damaged.
        StorageError: Its database does not answer.
    """
    place = claim_place(folder, spec.study.storage, spec.name)
    directions = [objective.direction for objective in spec.objectives]
    study = find_study(folder, place, writes=True)
    if study is None or not has_started(study):
        # Nothing was measured yet, so it need not be as it was: values may have been corrected.
        kept = {} if study is None else study.user_attrs
        storage = open_storage(folder, place, writes=True)
        if study is not None:
            optuna.delete_study(study_name=study.study_name, storage=storage)
        study = optuna.create_study(
            study_name=place.name, storage=storage, directions=directions, load_if_exists=True
        )
        study.set_user_attr(NAMED_CHECKPOINTS, True)
        # MLflow may know it by that.
        study.set_user_attr(SWEEP_ID, kept.get(SWEEP_ID) or uuid.uuid4().hex)
    metrics = [objective.metric for objective in spec.objectives]
    _check_objectives(study, metrics, directions)
    n_trials = len(study.get_trials(deepcopy=False))
    study.sampler = build_sampler(spec, fixed, n_trials=n_trials, taught=taught)
    with experimental():
        study.set_metric_names(metrics)
    if SWEEP_ID not in study.user_attrs:  # begun by an earlier version
        study.set_user_attr(SWEEP_ID, uuid.uuid4().hex)
    if n_trials == 0:
        for parameters in first_trials:
            study.enqueue_trial(dict(parameters), skip_if_exists=True)
    return study


def has_started(study: optuna.Study) -> bool:
    """Tell whether any of a study's trials was ever begun."""
    trials = study.get_trials(deepcopy=False)
    return any(trial.state != TrialState.WAITING for trial in trials)


def _check_objectives(study: optuna.Study, metrics: list[str], directions: Sequence[str]) -> None:
    before = [direction.name.lower() for direction in study.directions]
    known = study.metric_names or metrics
    if (known, before) != (metrics, list(directions)):
        raise ConfigError(
            f"objectives are {_joined(metrics, directions)}, but the study {study.study_name} has "
            f"{_joined(known, before)}, and a trial's values cannot be read both ways: add "
            "--fresh to start another study"
        )


def _joined(metrics: Sequence[str], directions: Sequence[str]) -> str:
    pairs = zip(metrics, directions, strict=False)
    return ", ".join(f"{direction} {metric}" for metric, direction in pairs)


def load_study(folder: Path) -> optuna.Study:
    """Open the study of a sweep's folder for reading.

    Raises:
        ConfigError: The folder holds none.
        DamagedStudyError: There was one, which is gone or damaged.
        StorageError: Its database does not answer.
    """
    place = find_place(folder)
    study = None if place is None else find_study(folder, place)
    if study is None:
        raise ConfigError(f"{folder} holds no study: name the folder of a sweep, runs/NAME")
    return study


def check_study(folder: Path) -> None:
    """Refuse a folder whose study is lost, before anything is made ready for its sweep.

    Raises:
        DamagedStudyError: There was a study, which is gone or damaged.
        StorageError: Its database does not answer.
    """
    place = find_place(folder)
    if place is not None:
        find_study(folder, place)


def missing_trials(study: optuna.Study, total: int) -> int:
    """Return how many of a sweep's trials have not ended, 0 where all have.

    Args:
        study: The sweep's study.
        total: How many it shall have.
    """
    trials = study.get_trials(deepcopy=False)
    ended = sum(trial.state.is_finished() for trial in trials)
    return max(len(interrupted_trials(study)), total - ended)


def interrupted_trials(study: optuna.Study) -> list[int]:
    """Return the numbers of trials that an earlier driver asked for and never finished."""
    return [trial.number for trial in study.get_trials(states=[TrialState.RUNNING])]


def reopened_trials(folder: Path, study: optuna.Study) -> list[optuna.Trial]:
    """Return handles of the trials that an earlier driver asked for and never finished.

    Args:
        folder: The sweep's folder.
        study: Its study, open for writing.
    """
    numbers = interrupted_trials(study)
    place = find_place(folder)
    if not numbers or place is None:
        return []
    # A study does not tell its storage, nor a trial its id there: both are asked of the storage.
    storage = open_storage(folder, place, writes=False)
    of_study = storage.get_study_id_from_name(study.study_name)
    ids = [storage.get_trial_id_from_study_id_trial_number(of_study, n) for n in numbers]
    storage.remove_session()
    return [optuna.Trial(study, trial_id) for trial_id in ids]
