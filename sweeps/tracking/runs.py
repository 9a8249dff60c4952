"""Finding the runs of a sweep that was recorded earlier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hsplid_core.errors import ConfigError
from sweeps.tracking.client import search
from sweeps.tracking.location import sqlite_file
from sweeps.tracking.store import SWEEP_ID, TRIAL

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


@dataclass(frozen=True, kw_only=True)
class SweepRuns:
    """What MLflow has of a sweep.

    Attributes:
        experiment_id: MLflow's id of its experiment.
        parent: The sweep's own run.
        trials: The trials' runs by the trials' numbers.
    """

    experiment_id: str
    parent: Run
    trials: Mapping[int, Run]


def find_runs(client: MlflowClient, *, experiment: str, sweep_id: str) -> SweepRuns | None:
    """Find the runs of a sweep.

    Args:
        client: Connected to where it was recorded.
        experiment: Name of the sweep's experiment.
        sweep_id: Identity of the sweep.

    Returns:
        None where nothing of it is recorded.
    """
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return None
    key = str(found.experiment_id)
    parent = next(search(client, key, f"tags.`{SWEEP_ID}` = '{sweep_id}'"), None)
    if parent is None:
        return None
    below = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    trials = {
        int(run.data.tags[TRIAL]): run
        for run in search(client, key, below)
        if TRIAL in run.data.tags
    }
    return SweepRuns(experiment_id=key, parent=parent, trials=trials)


def check_database(tracking_uri: str) -> None:
    """Refuse a sqlite file that does not exist: connecting would make an empty one.

    Raises:
        ConfigError: There is none.
    """
    database = sqlite_file(tracking_uri)
    if database is not None and not database.exists():
        raise ConfigError(
            f"there is no MLflow database {database}: name it with --tracking-uri, or the folder "
            "it is in with storage=FOLDER"
        )
