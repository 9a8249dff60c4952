"""Status of a sweep, as its listeners' calls tell it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sweeps.fronts.indicators import default_reference, hypervolume, points_of
from sweeps.spec.objective import Objective
from sweeps.trials.record import ENDED_STATES, TrialRecord
from trainables.config import ParameterValue


@dataclass
class RunningTrial:
    """A trial on a worker.

    Attributes:
        parameters: What it runs with.
        since: When this attempt started, by ``time.monotonic``.
        resumed: Whether an earlier attempt was interrupted.
        epoch: Last finished epoch, over all attempts.
        metrics: That epoch's metrics.
    """

    parameters: Mapping[str, ParameterValue]
    since: float
    resumed: bool = False
    epoch: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass
class _Sums:
    """What is told of the ended trials together, added up as they end."""

    failures: Counter[str] = field(default_factory=Counter)
    complete: int = 0
    timed: int = 0
    seconds: float = 0.0
    # The lowest and the highest of the complete trials' values in each objective.
    lowest: tuple[float, ...] = ()
    highest: tuple[float, ...] = ()

    def add(self, record: TrialRecord) -> None:
        if record.state == "failed":
            self.failures[(record.cause or "error").replace("_", " ")] += 1
        elif record.state == "complete":
            self.complete += 1
            if record.seconds is not None:
                self.timed += 1
                self.seconds += record.seconds
        if record.values:
            self.lowest = tuple(map(min, record.values, self.lowest or record.values))
            self.highest = tuple(map(max, record.values, self.highest or record.values))


class SweepStatus:
    """Which trials run and which ended, the front, and how long the rest may take.

    Args:
        total: Trials of the sweep in all.
        objectives: The sweep's objectives.
        epochs: Epochs of a trial.
        concurrency: Trials that run at a time.
    """

    def __init__(
        self, total: int, objectives: Sequence[Objective], *, epochs: int, concurrency: int
    ) -> None:
        self.total = total
        self.objectives = objectives
        self.epochs = epochs
        self.concurrency = concurrency
        self.running: dict[int, RunningTrial] = {}
        self.finished: dict[int, TrialRecord] = {}
        self._sums = _Sums()
        self.front: list[TrialRecord] = []

    @property
    def failed(self) -> int:
        """Number of failed trials."""
        return self._sums.failures.total()

    @property
    def complete(self) -> int:
        """Number of complete trials."""
        return self._sums.complete

    @property
    def stopped(self) -> int:
        """Number of trials that were stopped early."""
        return len(self.finished) - self.failed - self.complete

    @property
    def failures(self) -> dict[str, int]:
        """Number of failed trials by cause, the most frequent first."""
        return dict(self._sums.failures.copy().most_common())

    @property
    def hypervolume(self) -> float | None:
        """Hypervolume of the front; None for one objective, which is a volume itself."""
        if len(self.objectives) < 2:
            return None
        ends = [values for values in (self._sums.lowest, self._sums.highest) if values]
        found = np.array(ends, dtype=np.float64).reshape(len(ends), len(self.objectives))
        reference = default_reference(found, self.objectives)
        return hypervolume(points_of(self.front, self.objectives), reference, self.objectives)

    def load(self, records: Sequence[TrialRecord]) -> None:
        """Start from, or correct everything by, what the study knows."""
        ended = (record for record in records if record.state in ENDED_STATES)
        self.finished = {record.number: record for record in ended}
        self._add_up()
        self.front = [record for record in records if record.on_front]

    def start(
        self, number: int, parameters: Mapping[str, ParameterValue], *, resumed: bool = False
    ) -> None:
        """Note that a trial got its worker."""
        if self.finished.pop(number, None):
            self._add_up()
        self.running[number] = RunningTrial(parameters, time.monotonic(), resumed)

    def note_epoch(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Note how far a trial is."""
        if number not in self.running:
            self.start(number, {}, resumed=True)
        self.running[number].epoch = epoch
        self.running[number].metrics = metrics

    def finish(self, record: TrialRecord, left: Sequence[int] = ()) -> bool:
        """Note a trial's end and who left the front, and tell whether that changed the front."""
        self.running.pop(record.number, None)
        known = record.number in self.finished
        self.finished[record.number] = record
        if known:
            self._add_up()
        else:
            self._sums.add(record)
        before = [member.number for member in self.front]
        gone = {record.number, *left}
        front = [member for member in self.front if member.number not in gone]
        if record.on_front:
            front.append(record)
        # Whole at once: the live view reads it meanwhile.
        self.front = sorted(front, key=lambda member: member.number)
        return before != [member.number for member in self.front]

    def _add_up(self) -> None:
        sums = _Sums()
        for record in self.finished.values():
            sums.add(record)
        self._sums = sums

    def seconds_left(self) -> float | None:
        """Estimate the time to the end; None before anything is known of a trial's length."""
        each = self._seconds_each()
        if each is None:
            return None
        running = list(self.running.values())
        waiting = max(0, self.total - len(self.finished) - len(running))
        shares = [max(0.0, 1 - trial.epoch / self.epochs) for trial in running]
        work = each * (waiting + sum(shares))
        longest = each * max(shares, default=0.0)
        return max(work / self.concurrency, longest)

    def _seconds_each(self) -> float | None:
        if self._sums.timed:
            return self._sums.seconds / self._sums.timed
        now = time.monotonic()
        # Until the first trial is complete, its epochs so far say how long it will take. A
        # resumed one did some of them before this attempt.
        guesses = [
            (now - trial.since) * self.epochs / trial.epoch
            for trial in list(self.running.values())
            if trial.epoch and not trial.resumed
        ]
        return sum(guesses) / len(guesses) if guesses else None
