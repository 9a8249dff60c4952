"""How a sweep stands, as its listeners' calls tell it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sweeps.events import ENDED, TrialRecord
from sweeps.results import Objective, front_after
from sweeps.selection import default_reference, hypervolume, points_of
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


class Standing:
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
        self.front: list[TrialRecord] = []

    @property
    def failed(self) -> int:
        """Number of failed trials."""
        return sum(record.state == "failed" for record in list(self.finished.values()))

    @property
    def complete(self) -> int:
        """Number of complete trials."""
        return sum(record.state == "complete" for record in list(self.finished.values()))

    @property
    def stopped(self) -> int:
        """Number of trials that were stopped early."""
        return len(self.finished) - self.failed - self.complete

    @property
    def failures(self) -> dict[str, int]:
        """Number of failed trials by cause, the most frequent first."""
        causes = Counter(
            (record.cause or "error").replace("_", " ")
            for record in list(self.finished.values())
            if record.state == "failed"
        )
        return dict(causes.most_common())

    @property
    def hypervolume(self) -> float | None:
        """Hypervolume of the front; None for one objective, which is a volume itself."""
        if len(self.objectives) < 2:
            return None
        complete = [record for record in list(self.finished.values()) if record.values]
        reference = default_reference(points_of(complete, self.objectives), self.objectives)
        return hypervolume(points_of(self.front, self.objectives), reference, self.objectives)

    def load(self, records: Sequence[TrialRecord]) -> None:
        """Start from, or correct everything by, what the study knows."""
        ended = (record for record in records if record.state in ENDED)
        self.finished = {record.number: record for record in ended}
        self.front = [record for record in records if record.on_front]

    def start(
        self, number: int, parameters: Mapping[str, ParameterValue], *, resumed: bool = False
    ) -> None:
        """Note that a trial got its worker."""
        self.finished.pop(number, None)
        self.running[number] = RunningTrial(parameters, time.monotonic(), resumed)

    def note_epoch(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Note how far a trial is."""
        if number not in self.running:
            self.start(number, {}, resumed=True)
        self.running[number].epoch = epoch
        self.running[number].metrics = metrics

    def finish(self, record: TrialRecord) -> bool:
        """Note a trial's end, and tell whether that changed the front."""
        before = [member.number for member in self.front]
        self.running.pop(record.number, None)
        self.finished[record.number] = record
        self.front = front_after(self.front, record, self.objectives)
        return before != [member.number for member in self.front]

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
        complete = [
            record for record in list(self.finished.values()) if record.state == "complete"
        ]
        known = [record.seconds for record in complete if record.seconds is not None]
        if known:
            return sum(known) / len(known)
        now = time.monotonic()
        # Until the first trial is complete, its epochs so far say how long it will take. A
        # resumed one did some of them before this attempt.
        guesses = [
            (now - trial.since) * self.epochs / trial.epoch
            for trial in list(self.running.values())
            if trial.epoch and not trial.resumed
        ]
        return sum(guesses) / len(guesses) if guesses else None
