"""The durable study: every trial's parameters, state and values, written by the driver alone."""

from __future__ import annotations

import fcntl
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, PartialFixedSampler, RandomSampler
from optuna.trial import TrialState

from hsplid_core.errors import SaliencyError
from search_spaces import ParameterValue, optuna_parameters
from sweeps.spec import SweepSpec

STUDY_FILE = "study.db"


class SweepBusyError(SaliencyError):
    """Another process runs the same sweep."""


def sweep_folder(storage: Path, name: str, *, fresh: bool) -> Path:
    """Pick the folder of a sweep's study: the newest one, or a new one beside it.

    Args:
        storage: Folder of all sweeps.
        name: Name of the sweep; later studies of it get ``-2``, ``-3`` and so on.
        fresh: Start a new study where one exists.
    """
    number = 1
    while (storage / _numbered(name, number + 1)).is_dir():
        number += 1
    newest = storage / _numbered(name, number)
    if fresh and (newest / STUDY_FILE).is_file():
        return storage / _numbered(name, number + 1)
    return newest


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


@contextmanager
def sole_driver(folder: Path) -> Iterator[None]:
    """Hold a sweep's lock; the system lets go of it when the process ends, however it ends.

    Raises:
        SweepBusyError: Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "driver.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SweepBusyError(
                f"{folder} is in use: another process runs this sweep; wait for it, stop it, or "
                "add --fresh to start another study"
            ) from None
        yield


def build_sampler(
    spec: SweepSpec, fixed: Mapping[str, ParameterValue], *, n_trials: int
) -> BaseSampler:
    """Build the spec's sampler.

    Args:
        spec: The sweep.
        fixed: Config fields that are no longer searched, by dotted path.
        n_trials: Trials that the study holds already. They move the seed on, so that a resumed
            sweep does not draw the same random trials again.
    """
    search = spec.search
    seed = search.seed + n_trials
    sampler: BaseSampler
    if search.sampler == "tpe":
        with _experimental():
            sampler = optuna.samplers.TPESampler(
                seed=seed,
                multivariate=True,
                group=True,
                constant_liar=True,
                n_startup_trials=search.startup_trials,
            )
    elif search.sampler == "nsga2":
        sampler = NSGAIISampler(seed=seed, population_size=max(2, search.startup_trials))
    else:
        sampler = RandomSampler(seed=seed)
    return _with_fixed(sampler, fixed) if fixed else sampler


def _with_fixed(sampler: BaseSampler, fixed: Mapping[str, ParameterValue]) -> BaseSampler:
    with _experimental():
        return PartialFixedSampler(optuna_parameters(fixed), sampler)


@contextmanager
def _experimental() -> Iterator[None]:
    """Silence the warning about features that stayed experimental, unchanged, for years."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def open_study(
    folder: Path,
    spec: SweepSpec,
    fixed: Mapping[str, ParameterValue],
    first_trials: Sequence[Mapping[str, ParameterValue]],
) -> optuna.Study:
    """Open a sweep's study, or create it.

    Args:
        folder: The sweep's folder.
        spec: The sweep.
        fixed: Config fields that are no longer searched.
        first_trials: Optuna parameters of the first trials of a new study.
    """
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / STUDY_FILE}")
    study = optuna.create_study(
        study_name=spec.name,
        storage=storage,
        directions=[objective.direction for objective in spec.objectives],
        load_if_exists=True,
    )
    n_trials = len(study.get_trials(deepcopy=False))
    study.sampler = build_sampler(spec, fixed, n_trials=n_trials)
    with _experimental():
        study.set_metric_names([objective.metric for objective in spec.objectives])
    if n_trials == 0:
        for parameters in first_trials:
            study.enqueue_trial(dict(parameters), skip_if_exists=True)
    return study


def interrupted_trials(study: optuna.Study) -> list[int]:
    """Return the numbers of trials that an earlier driver asked for and never finished."""
    return [trial.number for trial in study.get_trials(states=[TrialState.RUNNING])]
