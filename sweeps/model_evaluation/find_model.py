"""Finding a model to judge: a checkpoint file, a run of MLflow, or a name in its registry."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from hsplid_core.errors import ConfigError
from hsplid_core.models.packaged import open_package
from hsplid_core.models.state_files import STATE_FILE, read_state
from hsplid_core.models.trained import TrainedModel, rebuild
from sweeps.tracking.find_models import fetch_model, is_model_name, is_registered_name, trial_of
from sweeps.trials.checkpoint_files import SweepCheckpoints


@dataclass(frozen=True, kw_only=True)
class JudgedModel:
    """A model and where it came from.

    Attributes:
        name: As it was asked for.
        trained: The model.
        run_id: MLflow's run that it comes from; None for a file.
    """

    name: str
    trained: TrainedModel
    run_id: str | None


def open_judged(name: str, tracking_uri: str, storage: Path) -> JudgedModel:
    """Open a model.

    Args:
        name: A checkpoint file of a trial or the folder that holds it; a run of MLflow
            (``runs:/ID`` or its id alone); or a registered model (``models:/NAME@ALIAS``).
        tracking_uri: Where MLflow records.
        storage: Folder of all sweeps: the run of a trial whose checkpoint lies here needs no
            model in MLflow.

    Raises:
        ConfigError: There is no such file, and the name is none of MLflow's.
        CheckpointError: The checkpoint is damaged, or does not say which model it is.
        TrackingError: MLflow has no such model, or does not answer.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        path = path / STATE_FILE
    if path.is_file():
        return JudgedModel(name=name, trained=rebuild(read_state(path), source=name), run_id=None)
    if not is_model_name(name):
        raise ConfigError(
            f"model {name} is no file: name a checkpoint ({STATE_FILE}) of a trial, a run of "
            "MLflow (runs:/ID), or a registered model (models:/NAME@ALIAS)"
        )
    trial = None if is_registered_name(name) else trial_of(name, tracking_uri)
    if trial is not None:
        checkpoints = SweepCheckpoints(folder=storage / trial.sweep, sweep_id=trial.sweep_id)
        kept = checkpoints.find(trial.number)
        if kept is not None:
            trained = rebuild(read_state(kept), source=str(kept))
            return JudgedModel(name=name, trained=trained, run_id=trial.run_id)
    with tempfile.TemporaryDirectory() as folder:
        fetched = fetch_model(name, tracking_uri, Path(folder))
        trained = open_package(fetched.folder)
    return JudgedModel(name=name, trained=trained, run_id=fetched.run_id)
