"""Models that MLflow keeps: fetching one, and finding the trial that it comes from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hsplid_core.errors import ConfigError
from sweeps.tracking.find_runs import check_database
from sweeps.tracking.mlflow_client import connect, explained
from sweeps.tracking.model_registry import logged_model
from sweeps.tracking.names import PARENT_RUN, SWEEP_ID, TRIAL

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

_RUNS = "runs:/"
_MODELS = "models:/"
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_REGISTERED = re.compile(
    r"models:/((?P<id>m-[0-9a-f]{32})|(?P<name>[^/@]+)(@(?P<alias>[^/]+)|/(?P<version>\d+)))"
)


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
        sweep_id: Identity of the sweep; None where its run does not say.
        number: The trial's number in it.
    """

    run_id: str
    sweep: str
    sweep_id: str | None
    number: int


def is_model_name(text: str) -> bool:
    """Tell whether a text names a model in MLflow: a run or a registered model."""
    return (
        is_registered_name(text) or text.startswith(_RUNS) or _RUN_ID.fullmatch(text) is not None
    )


def is_registered_name(text: str) -> bool:
    """Tell whether a text names a model by its place in the registry."""
    return text.startswith(_MODELS)


def fetch_model(name: str, tracking_uri: str, folder: Path) -> FetchedModel:
    """Copy a model's files from MLflow.

    Args:
        name: A run as its id or ``runs:/ID``; a registered model as ``models:/NAME@ALIAS``,
            ``models:/NAME/VERSION`` or ``models:/ID``.
        tracking_uri: Tracking server or database.
        folder: Where to put them.

    Raises:
        ConfigError: The name is none of these, the run has no model, or there is no such database.
        TrackingError: There is no such model, or the server does not answer.
    """
    from mlflow.artifacts import download_artifacts

    check_database(tracking_uri)
    with explained(tracking_uri):
        client = connect(tracking_uri)
        model = _find_model(client, name)
        copied = download_artifacts(
            artifact_uri=model.artifact_location, dst_path=str(folder), tracking_uri=tracking_uri
        )
    return FetchedModel(folder=Path(copied), run_id=model.source_run_id or None)


def trial_of(name: str, tracking_uri: str) -> SweepTrial | None:
    """Find which trial of which sweep a run recorded, or a model comes from.

    Args:
        name: As :func:`fetch_model` takes it.
        tracking_uri: Tracking server or database.

    Returns:
        The trial; None where the run is of another program.

    Raises:
        ConfigError: The name is no run and no model, or there is no such database.
        TrackingError: There is no such run or model, or the server does not answer.
    """
    check_database(tracking_uri)
    with explained(tracking_uri):
        client = connect(tracking_uri)
        if is_registered_name(name):
            run_id = _find_model(client, name).source_run_id
        else:
            run_id = name.removeprefix(_RUNS)
        if run_id is None:
            return None
        run = client.get_run(run_id)
        tags = run.data.tags
        if TRIAL not in tags or PARENT_RUN not in tags:
            return None
        parent = client.get_run(tags[PARENT_RUN])
    return SweepTrial(
        run_id=run_id,
        sweep=str(parent.info.run_name),
        sweep_id=parent.data.tags.get(SWEEP_ID),
        number=int(tags[TRIAL]),
    )


def _find_model(client: MlflowClient, name: str) -> LoggedModel:
    if is_registered_name(name):
        match = _REGISTERED.fullmatch(name)
        if match is None:
            raise ConfigError(f"{name}: write models:/NAME@ALIAS or models:/NAME/VERSION")
        if match["id"]:
            return client.get_logged_model(match["id"])
        if match["alias"]:
            version = client.get_model_version_by_alias(match["name"], match["alias"])
        else:
            version = client.get_model_version(match["name"], match["version"])
        run_id = version.run_id
    else:
        run_id = name.removeprefix(_RUNS)
    found = logged_model(client, client.get_run(run_id)) if run_id else None
    if found is None:
        raise ConfigError(f"{name} has no model: of a sweep's trials, those of the front do")
    return found
