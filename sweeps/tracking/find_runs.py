"""Finding the runs of a sweep that was recorded earlier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hsplid_core.errors import ConfigError
from sweeps.spec.moved_storage import move_of
from sweeps.tracking.mlflow_client import search
from sweeps.tracking.names import PARENT_RUN, SWEEP_ID, TRIAL
from sweeps.tracking.reachability import REDELIVERY, TrackingError
from sweeps.tracking.tracking_uri import sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Where a sweep was recorded.

    Attributes:
        uri: Tracking server or database.
        experiment: Name of the sweep's experiment.
        sweep_id: Identity of the sweep, a tag of its parent run; None where it never had one.
    """

    uri: str
    experiment: str
    sweep_id: str | None


def recording_of(folder: Path, facts: Mapping[str, str]) -> Recording:
    """Return where a sweep was recorded, as its journal says it, and as that is called now.

    Args:
        folder: The sweep's folder, which may have been moved with its storage.
        facts: The journal's facts.
    """
    move, uri = move_of(folder), facts["uri"]
    return Recording(
        uri=uri if move is None else move.text(uri),
        experiment=facts["experiment"],
        sweep_id=facts["sweep_id"],
    )


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


def find_runs(client: MlflowClient, recording: Recording) -> SweepRuns:
    """Find the runs of a sweep.

    Args:
        client: Connected to where it was recorded.
        recording: The sweep.

    Raises:
        TrackingError: Nothing of it is there.
    """
    found = client.get_experiment_by_name(recording.experiment)
    key = "" if found is None else str(found.experiment_id)
    of_sweep = f"tags.`{SWEEP_ID}` = '{recording.sweep_id}'"
    parent = next(search(client, key, of_sweep), None) if found else None
    if parent is None:
        raise TrackingError(
            f"MLflow at {recording.uri} has no run of this sweep in the experiment "
            f"{recording.experiment}: if it was lost, {REDELIVERY}"
        )
    below = f"tags.`{PARENT_RUN}` = '{parent.info.run_id}'"
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
