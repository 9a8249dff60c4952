"""Models that MLflow keeps: fetching one, and writing down how it was judged."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hsplid_core.errors import ConfigError
from sweeps.tracking.client import KnownRun, connect, explained, make_metrics, write
from sweeps.tracking.location import sqlite_file
from sweeps.tracking.store import TRIAL

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_PATH = "model"
"""Where in a run's artifacts its model lies."""

_RUNS = "runs:/"
_LOGGED = "models:/"  # and an id: a model that was logged beside a run
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(@(?P<alias>[^/]+)|/(?P<version>\d+))")


@dataclass(frozen=True, kw_only=True)
class FetchedModel:
    """A model's files.

    Attributes:
        folder: Where they lie now.
        run_id: Run that the model comes from; None where MLflow does not say.
    """

    folder: Path
    run_id: str | None


@dataclass(frozen=True, kw_only=True)
class SweepTrial:
    """The trial that a run recorded.

    Attributes:
        run_id: The run.
        sweep: Name of the sweep's folder.
        number: The trial's number in it.
    """

    run_id: str
    sweep: str
    number: int


def is_model_name(text: str) -> bool:
    """Tell whether a text names a model in MLflow: a run or a registered model."""
    return text.startswith(("runs:/", "models:/")) or _RUN_ID.fullmatch(text) is not None


def fetch_model(name: str, tracking_uri: str, folder: Path) -> FetchedModel:
    """Copy a model's files from MLflow.

    Args:
        name: A run as its id, ``runs:/ID`` or ``runs:/ID/PATH``; a registered model as
            ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.
        tracking_uri: Tracking server or database.
        folder: Where to put them.

    Raises:
        ConfigError: The name is none of these, or there is no such database.
        TrackingError: There is no such model, or the server does not answer.
    """
    from mlflow.artifacts import download_artifacts

    _check_database(tracking_uri)
    with explained(tracking_uri):
        client = connect(tracking_uri)
        if name.startswith("models:/"):
            found = _REGISTERED.fullmatch(name)
            if found is None:
                raise ConfigError(f"{name}: write models:/NAME@ALIAS or models:/NAME/VERSION")
            if found["alias"]:
                version = client.get_model_version_by_alias(found["name"], found["alias"])
            else:
                version = client.get_model_version(found["name"], found["version"])
            run_id = version.run_id or None
            artifacts = _source(client, version.name, version.version)
        else:
            run_id, _, path = name.removeprefix(_RUNS).partition("/")
            client.get_run(run_id)  # tells best that there is none
            artifacts = f"runs:/{run_id}/{path or MODEL_PATH}"
        copied = download_artifacts(
            artifact_uri=artifacts, dst_path=str(folder), tracking_uri=tracking_uri
        )
    return FetchedModel(folder=Path(copied), run_id=run_id)


def trial_of(name: str, tracking_uri: str) -> SweepTrial | None:
    """Find which trial of which sweep a run recorded.

    Args:
        name: A run as its id or ``runs:/ID``.
        tracking_uri: Tracking server or database.

    Returns:
        The trial; None where the name is of another kind, or the run of another program.

    Raises:
        ConfigError: There is no such database.
        TrackingError: There is no such run, or the server does not answer.
    """
    run_id = name.removeprefix(_RUNS)
    if _RUN_ID.fullmatch(run_id) is None:
        return None
    _check_database(tracking_uri)
    with explained(tracking_uri):
        client = connect(tracking_uri)
        tags = client.get_run(run_id).data.tags
        if TRIAL not in tags or "mlflow.parentRunId" not in tags:
            return None
        parent = client.get_run(tags["mlflow.parentRunId"])
    return SweepTrial(run_id=run_id, sweep=parent.info.run_name, number=int(tags[TRIAL]))


def _check_database(tracking_uri: str) -> None:
    database = sqlite_file(tracking_uri)
    if database is not None and not database.exists():  # connecting would make an empty one
        raise ConfigError(
            f"there is no MLflow database {database}: name it with --tracking-uri, or the folder "
            "it is in with storage=FOLDER"
        )


def _source(client: MlflowClient, name: str, version: str) -> str:
    """Find where a version's files are: MLflow would look "models:/" up in its global registry."""
    source = client.get_model_version_download_uri(name, version)
    if not source.startswith(_LOGGED):
        return source
    model = client.get_logged_model(source.removeprefix(_LOGGED))
    return str(model.artifact_location)


def log_evaluation(
    tracking_uri: str,
    run_id: str,
    *,
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    artifacts: Sequence[Path],
) -> None:
    """Write down, in the run that a model comes from, how it was judged.

    Args:
        tracking_uri: Tracking server or database.
        run_id: The run.
        metrics: Values by name.
        tags: Tags by name; those of an earlier evaluation are replaced.
        artifacts: Files for the run's folder ``evaluations``.

    Raises:
        TrackingError: There is no such run, or the server does not answer.
    """
    with explained(tracking_uri):
        client = connect(tracking_uri)
        run = KnownRun.of(client.get_run(run_id))
        now = int(1000 * time.time())
        write(client, run, make_metrics(metrics, step=run.last_epoch, time_ms=now), tags=tags)
        for path in artifacts:
            client.log_artifact(run_id, str(path), "evaluations")
