"""A finished sweep that never ran, with checkpoints on disk and runs in MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from hsplid_core.config import DataConfig
from hsplid_core.models.state_files import STATE_FILE, write_state
from sweeps.spec.loading import load_spec
from sweeps.spec.overrides import parse_overrides
from sweeps.study.stored_sweep import StoredSweep, open_sweep
from sweeps.study.sweep_info import SweepInfo, write_info
from sweeps.tracking.names import SWEEP_ID, TRIAL
from sweeps.trials.checkpoint_files import attempts_folder, trial_folder
from tests.sweeps.mlflow_database import put_mlflow_database
from tests.sweeps.records import GOALS
from tests.sweeps.studies import complete_trial, write_study
from tests.tiny import tiny_trial
from trainables.trial import Trial

NAME = "tiny"


def recorded_sweep(storage: Path, data: DataConfig, values: Sequence[Sequence[float]]) -> Path:
    """Leave a finished sweep behind in ``storage/tiny``, and return that folder.

    Args:
        storage: Folder of all sweeps.
        data: The images; every trial has a model of its own for them, untrained.
        values: Objectives of each trial.
    """
    folder = storage / NAME
    study = write_study(folder, [complete_trial(each) for each in values])
    study.set_user_attr("sweep_id", "0" * 32)
    uri = f"sqlite:///{storage / 'mlflow.db'}"
    settings = {
        "data.root": data.root,
        "data.image_size": data.image_size,
        "data.cache_dir": data.cache_dir,
        "model.width": 0.0625,
        "tracking.uri": uri,
        "trials": len(values),
        "storage": storage,
    }
    overrides = parse_overrides([f"{path}={value}" for path, value in settings.items()])
    spec = load_spec("coco_hsplid", overrides).model_copy(update={"name": NAME})
    info = SweepInfo(
        spec=spec,
        fixed={},
        is_demo=True,
        data_key="k",
        weights=None,
        baseline=None,
        tracking_uri=uri,
        tags={},
        sweep_id="0" * 32,
    )
    write_info(folder, info)
    put_mlflow_database(storage)
    _record(open_sweep(str(folder)))
    for number in range(len(values)):
        place = attempts_folder(folder) / "attempt_001" / trial_folder(number)
        file = place / "checkpoint_000000" / STATE_FILE
        file.parent.mkdir(parents=True)
        write_state(file, Trial(tiny_trial(data, seed=number)).state_dict())
    return folder


def _record(sweep: StoredSweep) -> None:
    assert sweep.info is not None
    client = MlflowClient(tracking_uri=sweep.info.tracking_uri)
    location = (sweep.folder.parent / "mlartifacts").as_uri()
    experiment = client.create_experiment(NAME, location)
    tags = {SWEEP_ID: sweep.study.user_attrs["sweep_id"], "sweep.state": "complete"}
    parent = client.create_run(experiment, run_name=sweep.name, tags=tags).info.run_id
    for record in sweep.records:
        tags = {"mlflow.parentRunId": parent, TRIAL: str(record.number)}
        name = f"trial {record.number}"
        run_id = client.create_run(experiment, run_name=name, tags=tags).info.run_id
        values = zip((goal.metric for goal in GOALS), record.values or (), strict=False)
        client.log_batch(
            run_id,
            metrics=[Metric(metric, value, 0, 1) for metric, value in values],
            params=[Param(path, str(value)) for path, value in record.parameters.items()],
        )
        client.set_terminated(run_id)
    client.set_terminated(parent)
