"""Evaluations in MLflow: in the run that a model comes from, or in one of their own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweeps.storage.file_names import EVALUATIONS
from sweeps.tracking.mlflow_client import KnownRun, connect, explained, make_metrics, write
from sweeps.tracking.sweep_runs import open_experiment
from sweeps.tracking.tracking_uri import sqlite_file

_FOLDER = "evaluations"  # of a run's artifacts


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How a model was judged.

    Attributes:
        model: The model's name.
        settings: What was asked for, by name; parameters of a run of its own.
        metrics: Values by name.
        tags: Tags by name; those of an earlier evaluation are replaced.
        artifacts: Files for the run's folder ``evaluations``.
    """

    model: str
    settings: Mapping[str, object]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    artifacts: Sequence[Path]


def is_recorded(tracking_uri: str, *, asked_for: bool) -> bool:
    """Tell whether models that are of no run get one.

    Args:
        tracking_uri: Tracking server or database.
        asked_for: Whether a person named it; else a database must be there already, for nobody
            may look for one.
    """
    file = sqlite_file(tracking_uri)
    return asked_for or (file is not None and file.is_file())


def log_evaluation(tracking_uri: str, run_id: str | None, found: Evaluation) -> str:
    """Write down how a model was judged.

    Args:
        tracking_uri: Tracking server or database.
        run_id: The run that the model comes from; None makes one in the experiment
            ``evaluations``.
        found: What was found.

    Returns:
        The run's id.

    Raises:
        TrackingError: There is no such run, or the server does not answer.
    """
    with explained(tracking_uri):
        client = connect(tracking_uri)
        if run_id is None:
            experiment = open_experiment(client, EVALUATIONS, tracking_uri)
            known = client.create_run(experiment, run_name=found.model)
        else:
            known = client.get_run(run_id)
        run = KnownRun.of(known)
        now = int(1000 * time.time())
        write(
            client,
            run,
            make_metrics(found.metrics, step=max(0, run.last_epoch), time_ms=now),
            params=found.settings if run_id is None else None,
            tags=found.tags,
        )
        for path in found.artifacts:
            client.log_artifact(run.run_id, str(path), _FOLDER)
        if run_id is None:
            client.set_terminated(run.run_id)
    return run.run_id


def log_files(tracking_uri: str, run_ids: Sequence[str], files: Sequence[Path]) -> None:
    """Put files, such as a summary of several models, into the folder ``evaluations`` of each run.

    Raises:
        TrackingError: There is no such run, or the server does not answer.
    """
    with explained(tracking_uri):
        client = connect(tracking_uri)
        for run_id in run_ids:
            for path in files:
                client.log_artifact(run_id, str(path), _FOLDER)
