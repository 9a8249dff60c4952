"""Status of a sweep, as its listeners' calls tell it."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sweeps.fronts.indicators import default_reference, hypervolume, points_of
from sweeps.spec.objective import Objective
from sweeps.trials.labels import duration_text
from sweeps.trials.record import ENDED_STATES, TrialRecord
from trainables.config import ParameterValue

_EIGHT_IN_TEN = 1.28  # standard deviations of a normal distribution, to each side
_ENOUGH = 5  # costs that show how much they differ


@dataclass
class RunningTrial:
    """A trial on a worker.

    Attributes:
        parameters: What it runs with.
        since: When this attempt started, by ``time.monotonic``.
        resumed: Whether an earlier attempt was interrupted.
        epoch: Last finished epoch, over all attempts.
        metrics: That epoch's metrics.
        first: Epoch and time of the first end of an epoch in this attempt; before it, the worker
            starts, which takes a while of its own.
        last: The same of the last one.
    """

    parameters: Mapping[str, ParameterValue]
    since: float
    resumed: bool = False
    epoch: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    first: tuple[int, float] | None = None
    last: tuple[int, float] | None = None

    def seconds_an_epoch(self) -> float | None:
        """Return how long an epoch of this trial takes; None before that is known."""
        if self.first is None or self.last is None:
            return None
        (first, begin), (last, end) = self.first, self.last
        if last > first:
            return (end - begin) / (last - first)
        return None if self.resumed else (end - self.since) / last


def _kind(parameters: Mapping[str, ParameterValue]) -> frozenset[tuple[str, ParameterValue]]:
    """Return what decides the cost of a trial most: its choices, such as method and network."""
    return frozenset(
        (path, value) for path, value in parameters.items() if isinstance(value, bool | str)
    )


@dataclass
class _Sums:
    """What is told of the ended trials together, added up as they end."""

    failures: Counter[str] = field(default_factory=Counter)
    complete: int = 0
    # Seconds of each trial that trained to its end or the scheduler's, by its kind.
    seconds: list[tuple[frozenset[tuple[str, ParameterValue]], float]] = field(
        default_factory=list
    )
    # The lowest and the highest of the complete trials' values in each objective.
    lowest: tuple[float, ...] = ()
    highest: tuple[float, ...] = ()

    def add(self, record: TrialRecord) -> None:
        if record.state == "failed":
            self.failures[(record.cause or "error").replace("_", " ")] += 1
        elif record.state == "complete":
            self.complete += 1
        if record.state in ("complete", "stopped") and record.seconds is not None:
            self.seconds.append((_kind(record.parameters), record.seconds))
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
        is_pretraining: Whether the one trial trains what another sweep starts from.
    """

    def __init__(
        self,
        total: int,
        objectives: Sequence[Objective],
        *,
        epochs: int,
        concurrency: int,
        is_pretraining: bool = False,
    ) -> None:
        self.total = total
        self.objectives = objectives
        self.epochs = epochs
        self.concurrency = concurrency
        self.is_pretraining = is_pretraining
        self.running: dict[int, RunningTrial] = {}
        self.finished: dict[int, TrialRecord] = {}
        self._sums = _Sums()
        self.front: list[TrialRecord] = []

    def name(self, number: int) -> str:
        """Name a trial for people."""
        return "pretraining" if self.is_pretraining else f"trial {number}"

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
        trial = self.running[number]
        trial.epoch, trial.metrics = epoch, metrics
        trial.last = (epoch, time.monotonic())
        trial.first = trial.first or trial.last

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

    def seconds_left(self) -> tuple[float, float] | None:
        """Estimate the time to the end: the range that holds it eight times in ten.

        A running trial costs what its own epochs do, before its second one what trials of its kind
        did. Which kinds those are that wait is not known: they are drawn like those so far.

        Returns:
            Seconds; None before anything is known of a trial's length.
        """
        running = list(self.running.values())
        paces = [trial.seconds_an_epoch() for trial in running]
        known = [seconds for _, seconds in self._sums.seconds]
        known += [pace * self.epochs for pace in paces if pace is not None]
        if not known:
            return None
        now = time.monotonic()
        ahead = [
            max(
                0.0,
                self._own_cost(trial, pace, known) * (1 - trial.epoch / self.epochs)
                - (now - (trial.last[1] if trial.last else trial.since)),
            )
            for trial, pace in zip(running, paces, strict=True)
        ]
        waiting = max(0, self.total - len(self.finished) - len(running))
        work = waiting * float(np.mean(known)) + sum(ahead)
        # Of a sum of `waiting` costs whose mean was taken from so few.
        margin = _EIGHT_IN_TEN * _spread(known) * math.sqrt(waiting + waiting**2 / len(known))
        low, high = (max(0.0, each) / self.concurrency for each in (work - margin, work + margin))
        longest = max(ahead, default=0.0)
        return max(low, longest), max(high, longest)

    def _own_cost(self, trial: RunningTrial, pace: float | None, known: Sequence[float]) -> float:
        if pace is not None:
            return pace * self.epochs
        kind = _kind(trial.parameters)
        alike = [seconds for other, seconds in self._sums.seconds if other == kind]
        return float(np.mean(alike or known))

    def left_text(self) -> str:
        """Write the time to the end for people; empty where there is none, or nothing is known."""
        low, high = self.seconds_left() or (0.0, 0.0)
        if not high:
            return ""
        first, last = duration_text(low), duration_text(high)
        return f"about {last} left" if first == last else f"{first} to {last} left"


def _spread(costs: Sequence[float]) -> float:
    """Standard deviation of costs; while few are known, no less than half of their mean."""
    found = float(np.std(costs, ddof=1)) if len(costs) > 1 else 0.0
    return max(found, 0.5 * float(np.mean(costs))) if len(costs) < _ENOUGH else found
