"""The listener that writes down for MLflow what happens in a sweep."""

from __future__ import annotations

import logging
import shlex
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from sweeps.fronts.indicators import best_values, pareto_ranks, points_of
from sweeps.spec.addresses import without_secrets
from sweeps.spec.objective import Objective
from sweeps.tracking.delivery import Courier
from sweeps.tracking.journal import OPEN, SPOOL_FILE, Spool
from sweeps.tracking.journal_entries import (
    Artifact,
    Begun,
    Closed,
    Ended,
    Entry,
    Epoch,
    Measured,
    Opened,
    Tagged,
)
from sweeps.tracking.mlflow_client import EPOCH, text
from sweeps.tracking.names import CAUSE_TAG, ON_FRONT, RANK
from sweeps.tracking.reachability import ServerDownError, TrackingError, check_answers
from sweeps.tracking.sweep_runs import SweepStore
from sweeps.tracking.system_metrics import SystemSampler
from sweeps.tracking.tracking_uri import sweep_argument
from sweeps.trials.labels import DEVIATION, N_SEEDS
from sweeps.trials.record import ENDED_STATES, TrialRecord
from trainables.config import ParameterValue

logger = logging.getLogger(__name__)


def check_recordable(uri: str, folder: Path) -> None:
    """Refuse, before anything is made, to begin a sweep that cannot be recorded.

    Args:
        uri: Tracking server or database.
        folder: The sweep's folder; one that is recorded there already waits for a server.

    Raises:
        TrackingError: The server or database does not answer, or cannot be used.
    """
    try:
        check_answers(uri)
    except ServerDownError as error:
        if _recorded_at(folder) != uri:
            raise _unrecordable(error) from error


def _recorded_at(folder: Path) -> str | None:
    path = folder / SPOOL_FILE
    if not path.is_file():
        return None
    with suppress(TrackingError), closing(Spool(path)) as spool:
        return _uri_of(spool)
    return None  # another driver uses it, or it is damaged, which is told where it is opened


def _uri_of(spool: Spool) -> str | None:
    """Return where a journal's entries go, whose earlier versions kept passwords, too."""
    uri = spool.facts.get("uri")
    return None if uri is None else without_secrets(uri)


def _unrecordable(error: ServerDownError) -> TrackingError:
    return TrackingError(
        f"{error}. Start it, or set tracking.uri to another server, or to null for a local file"
    )


class MlflowTracker:
    """Logs a sweep: into a journal at once, and from there to MLflow beside the training.

    Args:
        uri: Tracking server or database; a sqlite file is created where there is none, with its
            artifacts in ``mlartifacts`` beside it.
        experiment: Name of the experiment; created where there is none.
        run_name: Name of the parent run, for people; the sweep's name for ``sweeps.sync``.
        sweep_id: Identity of the sweep, by which its parent run is found again when it goes on.
        folder: The sweep's folder, where the journal lies.
        objectives: The sweep's objectives.
        spec: The resolved spec; logged as parameters of the parent, and as ``spec.yaml``.
        tags: Tags of the parent and of all trials, such as commit, seed and versions.
        artifacts: Files that are logged to the parent run at the end; they must exist by then.
        interval_s: Shortest time between two deliveries.
        patience_s: How long to wait, at the end, for a server that does not answer.
        sampling_s: Seconds between two samples of what the machine does; None leaves it to MLflow.

    Attributes:
        artifacts: These files; more may be added until the sweep has finished.
    """

    def __init__(
        self,
        uri: str,
        *,
        experiment: str,
        run_name: str,
        sweep_id: str,
        folder: Path,
        objectives: Sequence[Objective],
        spec: Mapping[str, Any],
        tags: Mapping[str, str],
        artifacts: Sequence[Path] = (),
        interval_s: float = 2.0,
        patience_s: float = 30.0,
        sampling_s: float | None = None,
    ) -> None:
        self._facts = {
            "uri": uri,
            "experiment": experiment,
            "run_name": run_name,
            "sweep_id": sweep_id,
        }
        self._folder = folder
        self._objectives = objectives
        self._spec = spec
        self._tags = dict(tags)
        self.artifacts = list(artifacts)
        self._patience_s = patience_s
        self._spool = Spool(folder / SPOOL_FILE)
        self._store = SweepStore(
            uri, experiment=experiment, sweep_id=sweep_id, run_name=run_name, folder=folder
        )
        self._courier = Courier(self._spool, self._store, interval_s=interval_s)
        self._sampler = SystemSampler(self._note_sample, interval_s=sampling_s)
        self._lock = threading.Lock()
        self._unwritten: list[tuple[int | None, Entry]] = []
        self._attempts: Counter[int] = Counter()
        # Whether a trial is on the front, as this driver has told.
        self._on_front: dict[int, bool] = {}
        self._last_sample = -1

    @property
    def experiment_id(self) -> str:
        """MLflow's id of the experiment; empty before the sweep starts."""
        return self._store.experiment_id

    def sweep_started(self, records: Sequence[TrialRecord]) -> None:
        """Find or make the experiment and the runs, and log what an earlier driver could not.

        Args:
            records: Trials of earlier runs.

        Raises:
            TrackingError: The experiment was deleted, the server refuses, or, in a new sweep, does
                not answer. Later on a server that does not answer is waited for.
        """
        self._check_owner()
        is_known = _uri_of(self._spool) == self._facts["uri"]
        try:
            self._store.open()
        except ServerDownError as error:
            if not is_known:
                raise _unrecordable(error) from error
            logger.warning("%s. Training goes on, and the log is kept for later", error)
        if self._store.is_new and self._spool.has_delivered:
            logger.warning(
                "MLflow at %s has no run of this sweep: it gets all that the journal keeps",
                self._facts["uri"],
            )
            self._spool.renew()
        self._began_ms = int(self._spool.facts.get("began_ms", _now_ms()))
        self._spool.note({**self._facts, "began_ms": str(self._began_ms)})
        self._put(None, Begun(spec=self._spec, tags=self._tags, time_ms=_now_ms()))
        self._attempts.update({record.number: record.attempts for record in records})
        told = self._told()
        for record in records:
            if record.state in ENDED_STATES and record.state != told.get(record.number):
                if record.number not in told:
                    self._put(record.number, self._opened(record.number, record.parameters))
                self._put(record.number, self._closed(record))
        self._courier.start()
        self._sampler.start()

    def trial_started(
        self, number: int, parameters: Mapping[str, ParameterValue], *, resumed: bool
    ) -> None:
        """Open the trial's run, or reopen the one of an earlier attempt."""
        self._attempts[number] += 1
        self._put(number, self._opened(number, parameters))

    def epoch_finished(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Take an epoch's metrics; when this returns no crash can lose them."""
        values = {name: float(value) for name, value in metrics.items()}
        self._put(number, Epoch(epoch=epoch, metrics=values, time_ms=_now_ms()))

    def trial_finished(self, record: TrialRecord, left: Sequence[int] = ()) -> None:
        """Log a trial's end, and tag the trials that it pushed off the front."""
        self._on_front |= {record.number: record.on_front, **dict.fromkeys(left, False)}
        self._put_all(
            [
                (record.number, self._closed(record)),
                *((number, Tagged(tags={ON_FRONT: text(False)})) for number in left),
            ]
        )

    def sweep_finished(self, records: Sequence[TrialRecord], *, interrupted: bool) -> None:
        """Log the last numbers and the artifacts, end all runs, and wait for the delivery.

        Where the server does not answer for a while, one line tells what waits in the journal.
        """
        open_trials = {number for number, state in self._told().items() if state == OPEN}
        entries: list[tuple[int | None, Entry]] = [
            (record.number, self._closed(record))
            for record in records
            if record.number in open_trials
        ]
        entries += self._ranked(records)
        entries += [(None, Artifact(path=self._path_of(path))) for path in self.artifacts]
        finished = [record for record in records if record.state in ENDED_STATES]
        ended = Ended(
            state="interrupted" if interrupted else "complete",
            metrics=_summary(finished, self._objectives),
            step=len(finished),
            time_ms=_now_ms(),
        )
        self._sampler.stop()
        self._put_all([*entries, (None, ended)])
        try:
            delivered = self.flush(self._patience_s)
        except KeyboardInterrupt:  # whoever does not want to wait
            delivered = False
        if not delivered:
            self._tell_rest()
        self.close()

    def flush(self, patience_s: float) -> bool:
        """Wait until MLflow has all that was logged, as long as it takes anything.

        Args:
            patience_s: How long to wait for a server that does not answer.

        Returns:
            Whether it has.
        """
        return self._courier.flush(patience_s)

    def close(self) -> None:
        """Stop the delivery, as also the sweep's end does; again is harmless."""
        self._sampler.stop()
        if self._courier.stop():
            self._spool.close()

    def _check_owner(self) -> None:
        if self._spool.facts.get("sweep_id", self._facts["sweep_id"]) == self._facts["sweep_id"]:
            return
        if len(self._spool):
            raise TrackingError(
                f"{self._spool.path} holds {len(self._spool)} entries of an earlier sweep of this "
                f"name: {self._sync_command()} delivers them"
            )
        self._spool.forget()

    def _told(self) -> Mapping[int | None, str | None]:
        """Return how each trial stands in MLflow, or will once the journal is delivered."""
        told: dict[int | None, str | None] = {}
        told.update({number: run.state for number, run in self._store.runs.items()})
        told.update(self._spool.states)
        return told

    def _tell_rest(self) -> None:
        logger.warning(
            "%d entries of the log wait in %s, as MLflow at %s does not answer: %s delivers them",
            len(self._spool),
            self._spool.path,
            self._facts["uri"],
            self._sync_command(),
        )

    def _path_of(self, artifact: Path) -> str:
        # From the folder: the journal may be moved with it before this is delivered.
        path, folder = artifact.absolute(), self._folder.absolute()
        return str(path.relative_to(folder) if path.is_relative_to(folder) else path)

    def _sync_command(self) -> str:
        return shlex.join(["python", "-m", "sweeps.sync", sweep_argument(self._folder)])

    def _note_sample(self, sample: Mapping[str, float]) -> None:
        now = _now_ms()
        step = (now - self._began_ms) // 1000  # seconds since the sweep began
        if step > self._last_sample:
            self._last_sample = step
            self._put(None, Measured(metrics=sample, step=step, time_ms=now))

    def _opened(self, number: int, parameters: Mapping[str, ParameterValue]) -> Opened:
        return Opened(
            parameters=dict(parameters),
            attempt=self._attempts[number],
            tags=self._tags,
            time_ms=_now_ms(),
        )

    def _closed(self, record: TrialRecord) -> Closed:
        values = record.values or ()
        names = [f"objective/{objective.metric}" for objective in self._objectives]
        results = dict(zip(names, values, strict=False))
        if N_SEEDS in record.metrics:
            spreads = [DEVIATION.format(objective.metric) for objective in self._objectives]
            results |= {name: record.metrics[name] for name in (N_SEEDS, *spreads)}
        if record.seconds is not None:
            results["trial/seconds"] = record.seconds
            results["trial/gpu_seconds"] = record.resources.get("gpu", 0.0) * record.seconds
        tags = {f"sweep.{name}": value for name, value in record.tags.items()}
        if record.cause is not None:
            tags[CAUSE_TAG] = record.cause
        if record.host is not None:  # of the worker, where that is not the driver's
            tags["host"] = record.host
        return Closed(
            state=record.state if record.state in ENDED_STATES else "interrupted",
            epoch=int(record.metrics.get(EPOCH, 0)),
            metrics=dict(record.metrics),
            results=results,
            tags={**tags, ON_FRONT: text(record.on_front)},
            failure=record.failure,
            traceback=record.traceback,
            time_ms=_now_ms(),
        )

    def _ranked(self, records: Sequence[TrialRecord]) -> list[tuple[int | None, Entry]]:
        """Tag the candidates with their ranks: 1 on the front, 2 on the next, and so on."""
        complete = [record for record in records if record.values is not None]
        candidates = [record for record in complete if record.infeasible is None]
        ranks = pareto_ranks(points_of(candidates, self._objectives), self._objectives).tolist()
        known = dict(zip((record.number for record in candidates), ranks, strict=True))
        entries: list[tuple[int | None, Entry]] = []
        for record in complete:
            tags = {RANK: str(known.get(record.number, "infeasible"))}
            # An earlier driver may have been killed before it told who left the front.
            if self._on_front.get(record.number) != record.on_front:
                tags[ON_FRONT] = text(record.on_front)
            entries.append((record.number, Tagged(tags=tags)))
        return entries

    def _put(self, trial: int | None, entry: Entry) -> None:
        self._put_all([(trial, entry)])

    def _put_all(self, entries: Sequence[tuple[int | None, Entry]]) -> None:
        with self._lock:
            self._unwritten += entries
            try:
                self._spool.put(self._unwritten)
            except TrackingError as error:  # a full disk, perhaps: training is worth more
                if len(self._unwritten) == len(entries):
                    logger.warning("%s. Training goes on, and this is tried again", error)
                return
            self._unwritten = []
        self._courier.notify()


def _summary(finished: Sequence[TrialRecord], objectives: Sequence[Objective]) -> dict[str, float]:
    complete = [record for record in finished if record.state == "complete"]
    best = best_values(complete, objectives) or ()
    return {
        "sweep/complete": float(len(complete)),
        "sweep/failed": float(sum(record.state == "failed" for record in finished)),
        "sweep/stopped": float(sum(record.state == "stopped" for record in finished)),
        "sweep/front_size": float(sum(record.on_front for record in complete)),
        **{f"best/{o.metric}": value for o, value in zip(objectives, best, strict=False)},
    }


def _now_ms() -> int:
    return int(1000 * time.time())
