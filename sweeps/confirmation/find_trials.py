"""Trials that a confirmation is asked for: a sweep's by number, or one that became a model."""

from __future__ import annotations

from collections.abc import Sequence

from hsplid_core.bucket_path import AnyPath
from hsplid_core.errors import ConfigError
from sweeps.storage.bucket_mirror import local_folder
from sweeps.study.stored_sweep import StoredSweep, check_complete, open_sweep
from sweeps.tracking import default_uri
from sweeps.tracking.find_models import is_model_name, trial_of


def find_trials(
    name: str, trials: Sequence[int], *, storage: AnyPath, tracking_uri: str | None
) -> tuple[StoredSweep, tuple[int, ...]]:
    """Find a sweep and those of its trials that were named.

    Args:
        name: A sweep, its folder, or a model of a sweep in MLflow.
        trials: Numbers of trials; empty for the front.
        storage: Where the sweeps are.
        tracking_uri: Where a model is looked for; None takes the storage's own.

    Returns:
        The sweep and the trials' numbers, none for the front.

    Raises:
        ConfigError: There is no such sweep or model, or none of its trials is complete.
    """
    if not is_model_name(name):
        sweep = open_sweep(name, storage)
        check_complete(sweep)
        return sweep, tuple(trials)
    if trials:
        raise ConfigError(f"{name} is one trial already: leave --trials away")
    here = local_folder(storage)
    found = trial_of(name, tracking_uri or default_uri(here))
    if found is None:
        raise ConfigError(f"{name} comes from no trial of a sweep")
    sweep = open_sweep(str(here / found.sweep), storage)
    check_complete(sweep)
    if sweep.recording.sweep_id != found.sweep_id:
        raise ConfigError(
            f"{name} comes from another sweep than {sweep.folder}: name its folder's place with "
            "storage=FOLDER"
        )
    return sweep, (found.number,)
