"""The runs of one sweep in MLflow, written so that saying a thing twice records it once.

Metrics of a trial's run: its own metrics by epoch, ``epoch`` (the last one logged), and at its end
``objective/NAME`` and ``trial/seconds``. Metrics of the parent: ``sweep/complete``,
``sweep/failed``, ``sweep/stopped``, ``sweep/front_size`` and ``best/NAME``, over the number of
finished trials.
(A hypervolume would belong there; Optuna has no public function for it.)
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sweeps.events import ENDED, TrialState
from sweeps.results import Objective
from sweeps.tracking.client import (
    EPOCH,
    STATE,
    KnownRun,
    ServerDownError,
    TrackingError,
    connect,
    explained,
    legal,
    make_metrics,
    search,
    text,
    write,
)
from sweeps.tracking.location import sqlite_file
from sweeps.tracking.outbox import Closed, Entry, Epoch, Opened, Ranked

if TYPE_CHECKING:
    from mlflow.entities import Metric

SWEEP_ID = "sweep.id"
SPEC_CHANGED = "sweep.spec_changed"
TRIAL = "sweep.trial"
ATTEMPT = "sweep.attempt"
FAILURE = "sweep.failure"
ON_FRONT = "sweep.on_front"

_Status = Literal["FINISHED", "FAILED", "KILLED"]
_STATUS: dict[TrialState, _Status] = {
    "complete": "FINISHED",
    "failed": "FAILED",
    "stopped": "FINISHED",
    "running": "KILLED",
    "waiting": "KILLED",
}

logger = logging.getLogger(__name__)


class SweepStore:
    """The parent run and the trials' runs of one sweep.

    Args:
        uri: Tracking server or database; a sqlite file is created where there is none, with its
            artifacts in ``mlartifacts`` beside it.
        experiment: Name of the experiment; created where there is none.
        tags: Tags of the parent and of all trials.
    """

    def __init__(self, uri: str, *, experiment: str, tags: Mapping[str, str]) -> None:
        self._uri = uri
        self._experiment = experiment
        self._tags = dict(tags)
        self._parent = KnownRun("")
        self._runs: dict[int, KnownRun] = {}
        self._given_up: set[int] = set()
        self._asked_for: set[int] = set()
        self.experiment_id = ""

    @property
    def runs(self) -> Mapping[int, KnownRun]:
        """The trials' runs by the trials' numbers."""
        return self._runs

    def open(self, *, sweep_id: str, run_name: str, spec: Mapping[str, Any]) -> None:
        """Find or make the database, the experiment and the parent run, and find the trials' runs.

        Args:
            sweep_id: Identity of the sweep, by which its parent run is found again.
            run_name: Name of a new parent run.
            spec: Logged as parameters of the parent, by dotted path, and as ``spec.yaml``.

        Raises:
            TrackingError: The server does not answer or refuses, or the experiment was deleted.
        """
        try:
            with explained(self._uri):
                self._client = connect(self._uri)
                self.experiment_id = self._open_experiment()
                self._parent = self._open_parent(legal(sweep_id), run_name)
                self._log_spec(spec)
                self._runs = {int(run.tags[TRIAL]): run for run in self._children()}
        except ServerDownError as error:
            raise TrackingError(
                f"{error}. Start it, or set tracking.uri to another server, or to null for a "
                "local file"
            ) from error

    def deliver(self, trial: int, batch: Sequence[Entry], objectives: Sequence[Objective]) -> None:
        """Write what the outbox holds for a trial; doing it again changes nothing.

        What the server refuses for good is given up with a warning, since asking again cannot
        help and would hold up everything behind it.

        Args:
            trial: The trial's number.
            batch: Several epochs, or one other entry.
            objectives: The sweep's objectives.

        Raises:
            ServerDownError: The server does not answer; what is missing is known, so the whole
                batch may be delivered again.
        """
        try:
            with explained(self._uri):
                self._deliver(trial, batch, objectives)
        except ServerDownError:
            raise
        except TrackingError as error:
            if trial not in self._given_up:
                logger.warning("trial %d: a part of its log is given up: %s", trial, error)
            self._given_up.add(trial)

    def close(
        self, metrics: Mapping[str, float], *, step: int, state: str, artifacts: Sequence[Path]
    ) -> None:
        """Write the sweep's own numbers and files, and end the parent run.

        Args:
            metrics: Numbers of the whole sweep.
            step: Number of finished trials.
            state: ``complete`` or ``interrupted``.
            artifacts: Files to log; one that is missing is told in a warning.

        Raises:
            TrackingError: The server does not answer or refuses.
        """
        with explained(self._uri):
            known = self._parent.metrics
            news = {name: value for name, value in metrics.items() if known.get(name) != value}
            found = make_metrics(news, step=step, time_ms=int(1000 * time.time()))
            write(self._client, self._parent, found, tags={STATE: state})
            for path in artifacts:
                if path.exists():
                    self._client.log_artifact(self._parent.run_id, str(path))
                else:
                    logger.warning("%s was not logged to MLflow: there is no such file", path)
            status = "FINISHED" if state == "complete" else "KILLED"
            self._client.set_terminated(self._parent.run_id, status)

    def _open_experiment(self) -> str:
        experiment = self._client.get_experiment_by_name(self._experiment)
        if experiment is None:
            return self._client.create_experiment(
                self._experiment,
                artifact_location=_artifact_location(self._uri),
                tags={"mlflow.experimentKind": "custom_model_development"},  # else the UI guesses
            )
        if experiment.lifecycle_stage != "active":
            raise TrackingError(
                f"the experiment {self._experiment} was deleted from {self._uri}: restore it with "
                f"`mlflow experiments restore -x {experiment.experiment_id}`, or set "
                "tracking.experiment to another name"
            )
        return str(experiment.experiment_id)

    def _open_parent(self, sweep_id: str, run_name: str) -> KnownRun:
        of_sweep = f"tags.`{SWEEP_ID}` = '{sweep_id}'"
        run = next(search(self._client, self.experiment_id, of_sweep), None)
        tags = {**self._tags, STATE: "running"}
        if run is None:
            tags[SWEEP_ID] = sweep_id
            run = self._client.create_run(self.experiment_id, run_name=run_name, tags=tags)
            return KnownRun.of(run)
        parent = KnownRun.of(run)
        self._client.update_run(parent.run_id, status="RUNNING")
        write(self._client, parent, tags=tags)
        return parent

    def _children(self) -> list[KnownRun]:
        of_parent = f"tags.`mlflow.parentRunId` = '{self._parent.run_id}'"
        runs = map(KnownRun.of, search(self._client, self.experiment_id, of_parent))
        return [run for run in runs if TRIAL in run.tags]

    def _log_spec(self, spec: Mapping[str, Any]) -> None:
        params = dict(_flattened(spec))
        logged = self._parent.params
        changes = [
            f"{key}: {logged[key]}, now {value}"
            for key, value in params.items()
            if logged.get(key, value) != value
        ]
        # MLflow lets no parameter change; a sweep that goes on with more trials changes one.
        tags = {SPEC_CHANGED: "; ".join(changes)} if changes else {}
        write(self._client, self._parent, params=params, tags=tags)
        self._client.log_dict(self._parent.run_id, dict(spec), "spec.yaml")

    def _deliver(
        self, trial: int, batch: Sequence[Entry], objectives: Sequence[Objective]
    ) -> None:
        first = batch[0]
        if isinstance(first, Opened):
            self._open_trial(trial, first)
            return
        run = self._runs.get(trial)
        if run is None:
            raise TrackingError("it has no run")
        if isinstance(first, Ranked):
            write(self._client, run, tags={ON_FRONT: text(first.on_front)})
        elif isinstance(first, Closed):
            self._close_trial(run, first, objectives)
        else:
            self._log_epochs(run, [entry for entry in batch if isinstance(entry, Epoch)])

    def _open_trial(self, trial: int, entry: Opened) -> None:
        run = self._runs.get(trial) or self._lost_run(trial)
        tags = {**self._tags, STATE: "running", ATTEMPT: str(entry.attempt)}
        if run is None:
            tags |= {TRIAL: str(trial), "mlflow.parentRunId": self._parent.run_id}
            run = KnownRun.of(
                self._client.create_run(
                    self.experiment_id,
                    start_time=entry.time_ms,
                    run_name=f"trial {trial}",
                    tags=tags,
                )
            )
        elif run.state != "running":
            self._client.update_run(run.run_id, status="RUNNING")
        self._runs[trial] = run
        write(self._client, run, params=entry.parameters, tags=tags)

    def _lost_run(self, trial: int) -> KnownRun | None:
        """Find the run that the server made although its answer got lost."""
        if trial not in self._asked_for:
            self._asked_for.add(trial)
            return None
        return next((run for run in self._children() if run.tags[TRIAL] == str(trial)), None)

    def _log_epochs(self, run: KnownRun, entries: Sequence[Epoch]) -> None:
        metrics: list[Metric] = []
        last = run.last_epoch
        for entry in entries:
            # A resumed trial tells again what it had told after its last checkpoint.
            if entry.epoch > last:
                last = entry.epoch
                # The bookkeeping metric comes last: with it on the server, all of them are.
                values = {**entry.metrics, EPOCH: float(entry.epoch)}
                values[EPOCH] = values.pop(EPOCH)
                metrics += make_metrics(values, step=entry.epoch, time_ms=entry.time_ms)
        write(self._client, run, metrics)

    def _close_trial(self, run: KnownRun, entry: Closed, objectives: Sequence[Objective]) -> None:
        record = entry.record
        epoch = int(record.metrics.get(EPOCH, 0))
        if epoch > run.last_epoch:  # it was still on its way when an earlier driver died
            self._log_epochs(run, [Epoch(epoch, record.metrics, entry.time_ms)])
        values = record.values or ()
        results = {f"objective/{o.metric}": v for o, v in zip(objectives, values, strict=False)}
        if record.seconds is not None:
            results["trial/seconds"] = record.seconds
        news = {name: value for name, value in results.items() if run.metrics.get(name) != value}
        metrics = make_metrics(news, step=run.last_epoch, time_ms=entry.time_ms)
        ended = record.state in ENDED
        tags = {STATE: record.state if ended else "interrupted", ON_FRONT: text(record.on_front)}
        tags |= {f"sweep.{name}": value for name, value in record.tags.items()}
        if record.traceback is not None:
            self._client.log_text(run.run_id, record.traceback, "traceback.txt")
        if record.failure is not None or FAILURE in run.tags:
            tags[FAILURE] = record.failure or ""
        # The state is tagged last: a run that has it lacks nothing else.
        self._client.set_terminated(run.run_id, _STATUS[record.state], entry.time_ms)
        write(self._client, run, metrics, tags=tags)


def _artifact_location(uri: str) -> str | None:
    file = sqlite_file(uri)
    # MLflow's own choice for a database is a folder below wherever the sweep was started.
    return None if file is None else (file.parent / "mlartifacts").as_uri()


def _flattened(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", text(value)
