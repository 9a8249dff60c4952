"""The runs of one sweep in MLflow, written so that saying a thing twice records it once.

Metrics of a trial's run: its own metrics by epoch, ``epoch`` (the last one logged), and at its end
``objective/NAME`` and ``trial/seconds``. Metrics of the parent: ``sweep/complete``,
``sweep/failed``, ``sweep/stopped``, ``sweep/front_size`` and ``best/NAME``, over the number of
finished trials.

What makes it once: a run is looked up by its tags before it is made, once more where an answer was
lost; a trial's epochs are written in order, so the last one on the server tells which are missing;
a value that is sent again carries the same step and time, which MLflow's database holds once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.spec.addresses import without_secrets
from sweeps.tracking.journal_entries import Artifact, Entry, Tagged
from sweeps.tracking.mlflow_client import (
    KnownRun,
    connect,
    create_database,
    explained,
    legal,
    search,
    write,
)
from sweeps.tracking.moved_database import ARTIFACTS_FOLDER
from sweeps.tracking.names import PARENT_RUN, STATE, SWEEP_ID, TRIAL
from sweeps.tracking.reachability import ServerDownError, TrackingError
from sweeps.tracking.run_updates import Draft, draft
from sweeps.tracking.tracking_uri import sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)


class SweepStore:
    """The parent run and the trials' runs of one sweep.

    Args:
        uri: Tracking server or database; a sqlite file is created where there is none, with its
            artifacts in ``mlartifacts`` beside it.
        experiment: Name of the experiment; created where there is none.
        sweep_id: Identity of the sweep, by which its parent run is found again.
        run_name: Name of a new parent run, for people.
        folder: Where the relative paths of artifacts begin.

    Attributes:
        experiment_id: MLflow's id of the experiment; empty before it is open.
        is_new: Whether there was no parent run yet when it was opened.
    """

    def __init__(
        self, uri: str, *, experiment: str, sweep_id: str, run_name: str, folder: Path
    ) -> None:
        self._uri = uri
        self._experiment = experiment
        self._sweep_id = legal(sweep_id)
        self._run_name = run_name
        self._folder = folder
        self._parent: KnownRun | None = None
        self._runs: dict[int, KnownRun] = {}
        # Of these runs a request was lost, so what the server has of them is not known.
        self._uncertain: set[int | None] = set()
        self._given_up: set[int | None] = set()
        self.experiment_id = ""
        self.is_new = False

    @property
    def is_open(self) -> bool:
        """Whether the experiment and the runs were found or made."""
        return self._parent is not None

    @property
    def runs(self) -> Mapping[int, KnownRun]:
        """The trials' runs by the trials' numbers."""
        return self._runs

    def open(self) -> None:
        """Find or make the database, the experiment and the parent run, and find the trials' runs.

        Raises:
            ServerDownError: The server does not answer; it may be asked again.
            TrackingError: The server refuses, or the experiment was deleted.
        """
        with explained(self._uri):
            create_database(self._uri)
            self._client = connect(self._uri)
            self.experiment_id = open_experiment(self._client, self._experiment, self._uri)
            parent = self._open_parent()
            runs = self._children(parent)
        self._runs = {
            number: run if run.status == "RUNNING" else run.outline()
            for number, run in runs.items()
        }
        self._parent = parent

    def deliver(self, trial: int | None, entries: Sequence[Entry]) -> None:
        """Write entries of one run; doing it again changes nothing.

        What the server refuses for good is given up with a warning, since asking again cannot
        help and would hold up everything behind it.

        Args:
            trial: The trial's number; None for the parent run.
            entries: What happened, in order.

        Raises:
            ServerDownError: The server does not answer; the same entries may be delivered again.
        """
        try:
            with explained(self._uri):
                self._deliver(trial, entries)
        except ServerDownError:
            self._uncertain.add(trial)
            raise
        except TrackingError as error:
            if len(entries) > 1:  # perhaps only one of them is to blame
                for entry in entries:
                    self.deliver(trial, [entry])
                return
            if trial not in self._given_up:
                name = "the sweep's run" if trial is None else f"trial {trial}"
                logger.warning("%s: a part of its log is given up: %s", name, error)
            self._given_up.add(trial)

    def _deliver(self, trial: int | None, entries: Sequence[Entry]) -> None:
        known = self._known(trial)
        if known is not None and (trial in self._uncertain or not _suffices(known, entries)):
            known = KnownRun.of(self._client.get_run(known.run_id))
        made = draft(known or KnownRun(""), entries)
        run = known or self._create(trial, made)
        self._keep(trial, run)
        self._write(run, made)
        self._uncertain.discard(trial)
        if trial is not None and run.status != "RUNNING":
            self._keep(trial, run.outline())

    def _known(self, trial: int | None) -> KnownRun | None:
        if trial is None:
            return self._parent
        if trial not in self._runs and trial in self._uncertain:
            # The server may have made the run although its answer got lost.
            assert self._parent is not None
            self._runs = {**self._children(self._parent), **self._runs}
        return self._runs.get(trial)

    def _keep(self, trial: int | None, run: KnownRun) -> None:
        if trial is None:
            self._parent = run
        else:
            self._runs[trial] = run

    def _create(self, trial: int | None, made: Draft) -> KnownRun:
        assert self._parent is not None
        # What it is found again by. All else costs MLflow less in the batch that follows, and
        # whoever has the state of an ended trial lacks nothing: it is tagged at last.
        tags = {TRIAL: str(trial), PARENT_RUN: self._parent.run_id, STATE: "running"}
        return KnownRun.of(
            self._client.create_run(
                self.experiment_id,
                start_time=made.began_ms,
                run_name=f"trial {trial}",
                tags=tags,
            )
        )

    def _write(self, run: KnownRun, made: Draft) -> None:
        for name, content in made.texts.items():
            self._client.log_text(run.run_id, content, name)
        for file in made.files:
            self._upload(run, file)
        if made.status is not None and made.status != run.status:
            if made.status == "RUNNING":
                self._client.update_run(run.run_id, status="RUNNING")
            else:
                self._client.set_terminated(run.run_id, made.status, made.ended_ms)
            run.status = made.status
        write(self._client, run, made.metrics, params=made.params, tags=made.tags)

    def _upload(self, run: KnownRun, file: Artifact) -> None:
        path = self._folder / file.path
        if not os.access(path, os.R_OK):
            logger.warning("%s was not logged to MLflow: there is no such file", path)
        elif path.is_dir():
            self._client.log_artifacts(run.run_id, str(path), file.folder)
        else:
            self._client.log_artifact(run.run_id, str(path), file.folder)

    def _open_parent(self) -> KnownRun:
        of_sweep = f"tags.`{SWEEP_ID}` = '{self._sweep_id}'"
        known = self._sole(map(KnownRun.of, search(self._client, self.experiment_id, of_sweep)))
        if known is not None:
            return known
        self.is_new = True
        tags = {SWEEP_ID: self._sweep_id, STATE: "running"}
        run = self._client.create_run(self.experiment_id, run_name=self._run_name, tags=tags)
        return KnownRun.of(run)

    def _children(self, parent: KnownRun) -> dict[int, KnownRun]:
        of_parent = f"tags.`{PARENT_RUN}` = '{parent.run_id}'"
        by_trial: dict[int, list[KnownRun]] = {}
        for run in map(KnownRun.of, search(self._client, self.experiment_id, of_parent)):
            if TRIAL in run.tags:
                by_trial.setdefault(int(run.tags[TRIAL]), []).append(run)
        found = {number: self._sole(runs) for number, runs in by_trial.items()}
        return {number: run for number, run in found.items() if run is not None}

    def _sole(self, runs: Iterable[KnownRun]) -> KnownRun | None:
        """Pick the run that is in use, and delete its empty twins.

        A server so slow that its answer was given up may carry a request out after it was
        repeated, and then there are two runs, one of which nobody writes to.
        """
        fullest_first = sorted(
            runs, key=lambda run: (run.last_epoch, len(run.metrics), len(run.params)), reverse=True
        )
        for twin in fullest_first[1:]:
            if not twin.metrics and not twin.params:
                self._client.delete_run(twin.run_id)
        return fullest_first[0] if fullest_first else None


def open_experiment(client: MlflowClient, name: str, uri: str) -> str:
    """Find an experiment, or make it.

    Args:
        client: Connected.
        name: The experiment's name.
        uri: What the client is connected to.

    Returns:
        MLflow's id of it.

    Raises:
        TrackingError: It was deleted.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return client.create_experiment(
            name,
            artifact_location=_artifact_location(uri),
            tags={"mlflow.experimentKind": "custom_model_development"},  # else the UI guesses
        )
    if experiment.lifecycle_stage != "active":
        raise TrackingError(
            f"the experiment {name} was deleted from {without_secrets(uri)}: restore it with "
            f"`mlflow experiments restore -x {experiment.experiment_id}`, or set "
            "tracking.experiment to another name"
        )
    return str(experiment.experiment_id)


def _suffices(run: KnownRun, entries: Sequence[Entry]) -> bool:
    """Tell whether enough is known of a run to write entries to it."""
    return run.is_whole or all(isinstance(entry, Tagged) for entry in entries)


def _artifact_location(uri: str) -> str | None:
    file = sqlite_file(uri)
    # MLflow's own choice for a database is a folder below wherever the sweep was started.
    return None if file is None else (file.parent / ARTIFACTS_FOLDER).as_uri()
