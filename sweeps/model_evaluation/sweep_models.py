"""Models of a sweep's trials, from their checkpoints: those of the front, or of given numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hsplid_core.errors import ConfigError, SaliencyError
from hsplid_core.models.state_files import read_state
from hsplid_core.models.trained import rebuild
from sweeps.fronts.selection import select
from sweeps.model_evaluation.find_model import JudgedModel
from sweeps.study.stored_sweep import StoredSweep, check_complete, find_folder, open_sweep
from sweeps.tracking.find_runs import check_database, find_runs
from sweeps.tracking.mlflow_client import connect, explained
from sweeps.tracking.tracking_uri import sweep_argument


def is_sweep(name: str, storage: Path) -> bool:
    """Tell whether a name, or a folder, is a sweep's.

    Args:
        name: As a person wrote it.
        storage: Folder of all sweeps.
    """
    try:
        find_folder(name, storage)
    except ConfigError:
        return False
    return True


def open_sweep_models(name: str, trials: Sequence[int], storage: Path) -> list[JudgedModel]:
    """Open the models of a sweep's trials.

    Args:
        name: The sweep, or its folder.
        trials: Numbers of complete trials; none for the front.
        storage: Folder of all sweeps.

    Raises:
        ConfigError: There is no such sweep or trial, or a trial's checkpoint is not kept.
        CheckpointError: A checkpoint is damaged.
    """
    sweep = open_sweep(name, storage)
    check_complete(sweep)
    complete = {record.number: record for record in sweep.records if record.values}
    front = [record.number for record in select(sweep.records, sweep.objectives).front]
    numbers = tuple(trials or front)
    if unknown := [number for number in numbers if number not in complete]:
        raise ConfigError(
            f"{_trials(unknown)} of {sweep.name}: not complete; choose among "
            f"{', '.join(map(str, sorted(complete)))}"
        )
    if not numbers:
        raise ConfigError(f"{sweep.folder}: no trial is feasible, so there is no front")
    files = {
        number: sweep.checkpoints.find(number, complete[number].parameters) for number in numbers
    }
    if gone := [number for number, file in files.items() if file is None]:
        listed = ",".join(map(str, gone))
        place = sweep_argument(sweep.folder)
        raise ConfigError(
            f"{_trials(gone)} of {sweep.name}: no checkpoint is kept of what ended off the front, "
            f"unless the sweep has checkpoints=all; python -m sweeps.confirm {place} --trials "
            f"{listed} trains the same again, and judges it"
        )
    runs = _runs(sweep)
    return [
        JudgedModel(
            name=f"{sweep.name} trial {number}",
            trained=rebuild(read_state(file), source=str(file)),
            run_id=runs.get(number),
        )
        for number, file in files.items()
        if file is not None
    ]


def _runs(sweep: StoredSweep) -> dict[int, str]:
    """Find the trials' runs in MLflow; none where it has not got them, or does not answer."""
    try:
        recording = sweep.recording
        check_database(recording.uri)
        with explained(recording.uri):
            found = find_runs(connect(recording.uri), recording)
    except SaliencyError:
        return {}
    return {number: str(run.info.run_id) for number, run in found.trials.items()}


def _trials(numbers: Sequence[int]) -> str:
    return f"trial{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
