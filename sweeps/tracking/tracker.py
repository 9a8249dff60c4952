"""The listener that tells MLflow what happens in a sweep."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweeps.events import ENDED, TrialRecord
from sweeps.front_table import best_values
from sweeps.results import Objective, front_after
from sweeps.tracking.client import MAX_METRICS, ServerDownError, TrackingError
from sweeps.tracking.outbox import Closed, Entry, Epoch, Opened, Outbox, Ranked
from sweeps.tracking.store import ATTEMPT, SweepStore
from trainables.config import ParameterValue

_RETRY_S = 30.0

logger = logging.getLogger(__name__)


class MlflowTracker:
    """Logs a sweep; training goes on while the server does not answer.

    Args:
        uri: Tracking server or database; a sqlite file is created where there is none, with its
            artifacts in ``mlartifacts`` beside it.
        experiment: Name of the experiment; created where there is none.
        run_name: Name of the parent run, for people.
        sweep_id: Identity of the sweep, by which its parent run is found again when it goes on.
        objectives: The sweep's objectives.
        spec: The resolved spec; logged as parameters of the parent, and as ``spec.yaml``.
        tags: Tags of the parent and of all trials, such as commit, seed and versions.
        artifacts: Files that are logged to the parent run at the end; they must exist by then.
        flush_s: Shortest time between two deliveries of epochs' metrics.

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
        objectives: Sequence[Objective],
        spec: Mapping[str, Any],
        tags: Mapping[str, str],
        artifacts: Sequence[Path] = (),
        flush_s: float = 2.0,
    ) -> None:
        self._run_name = run_name
        self._sweep_id = sweep_id
        self._objectives = objectives
        self._spec = spec
        self.artifacts = list(artifacts)
        self._flush_s = flush_s
        self._store = SweepStore(uri, experiment=experiment, tags=tags)
        self._outbox = Outbox(MAX_METRICS)
        self._attempts: Counter[int] = Counter()
        self._open: set[int] = set()
        self._front: list[TrialRecord] = []
        self._next_flush = 0.0
        self._is_down = False

    @property
    def experiment_id(self) -> str:
        """MLflow's id of the experiment; empty before the sweep starts."""
        return self._store.experiment_id

    def sweep_started(self, records: Sequence[TrialRecord]) -> None:
        """Find or make the experiment and the runs, and log what an earlier driver could not.

        Args:
            records: Trials of earlier runs.

        Raises:
            TrackingError: The server does not answer or refuses, or the experiment was deleted.
        """
        self._store.open(sweep_id=self._sweep_id, run_name=self._run_name, spec=self._spec)
        for number, run in self._store.runs.items():
            self._attempts[number] = int(run.tags.get(ATTEMPT, 0))
            if run.state == "running":
                self._open.add(number)
        self._front = [record for record in records if record.on_front]
        for record in records:
            known = self._store.runs.get(record.number)
            logged = known.state if known else None
            if record.state in ENDED and record.state != logged:
                if known is None:
                    self._put_opened(record.number, record.parameters)
                self._put_closed(record)
        self._flush()

    def trial_started(
        self, number: int, parameters: Mapping[str, ParameterValue], *, resumed: bool
    ) -> None:
        """Open the trial's run, or reopen the one of an earlier attempt."""
        self._put_opened(number, parameters)
        self._flush()

    def epoch_finished(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Take an epoch's metrics; they are delivered with others, a little later."""
        self._outbox.put(number, Epoch(epoch, dict(metrics), _now_ms()))
        if time.monotonic() >= self._next_flush:
            self._flush()

    def trial_finished(self, record: TrialRecord) -> None:
        """Log a trial's end, and tag the trials that it pushed off the front."""
        self._put_closed(record)
        front = front_after(self._front, record, self._objectives)
        numbers = {member.number for member in front} | {record.number}
        for member in self._front:
            if member.number not in numbers:
                self._outbox.put(member.number, Ranked(on_front=False))
        self._front = front
        self._flush()

    def sweep_finished(self, records: Sequence[TrialRecord], *, interrupted: bool) -> None:
        """Log the last numbers and the artifacts, and end all runs."""
        for record in records:
            if record.number in self._open:
                self._put_closed(record)
            if record.state == "complete":
                self._outbox.put(record.number, Ranked(record.on_front))
        self._flush(at_once=True)
        if self._outbox:
            logger.warning("%d entries were never delivered to MLflow", len(self._outbox))
        finished = [record for record in records if record.state in ENDED]
        try:
            self._store.close(
                _summary(finished, self._objectives),
                step=len(finished),
                state="interrupted" if interrupted else "complete",
                artifacts=self.artifacts,
            )
        except TrackingError as error:
            logger.warning("the sweep's artifacts are not in MLflow: %s", error)

    def _put_opened(self, number: int, parameters: Mapping[str, ParameterValue]) -> None:
        # Counted here and not on delivery, which may have to be tried again.
        self._attempts[number] += 1
        self._open.add(number)
        self._outbox.put(number, Opened(parameters, self._attempts[number], _now_ms()))

    def _put_closed(self, record: TrialRecord) -> None:
        self._open.discard(record.number)
        self._outbox.put(record.number, Closed(record, _now_ms()))

    def _flush(self, *, at_once: bool = False) -> None:
        """Deliver what waits; a server that does not answer is asked again later."""
        now = time.monotonic()
        if self._is_down and now < self._next_flush and not at_once:
            return
        try:
            self._outbox.drain(self._deliver)
        except ServerDownError as error:
            if not self._is_down:
                logger.warning("%s. Training goes on, and the log is kept for later", error)
            self._is_down = True
            self._next_flush = time.monotonic() + _RETRY_S
            return
        if self._is_down:
            logger.warning("MLflow answers again; nothing was lost")
        self._is_down = False
        self._next_flush = now + self._flush_s

    def _deliver(self, number: int, batch: Sequence[Entry]) -> None:
        self._store.deliver(number, batch, self._objectives)


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
