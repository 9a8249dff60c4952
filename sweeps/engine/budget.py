"""Budget of a sweep as it is spent, over all of its runs, and the decision that it is used up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import optuna

from sweeps.fronts.indicators import default_reference, hypervolume
from sweeps.spec.budget_spec import BudgetSpec
from sweeps.spec.objective import Objective
from sweeps.trials.attributes import SPENT
from sweeps.trials.labels import N_SEEDS
from sweeps.trials.record import ENDED_STATES, TrialRecord
from trainables.config import ParameterValue

_HOUR_S = 3600.0
# Between two notes in the study: what a killed driver forgets to have spent.
_NOTED_EVERY_S = 60.0


class Budget:
    """A listener that adds up what a sweep spends, and says when that is all.

    The study keeps the time that the sweep has run, which its trials do not tell, and what trials
    have cost that have not ended.

    Args:
        spec: The budget.
        study: The sweep's study.
        objectives: The sweep's objectives.
        clock: Seconds from any start.
    """

    def __init__(
        self,
        spec: BudgetSpec,
        study: optuna.Study,
        objectives: Sequence[Objective],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec = spec
        self._study = study
        self._objectives = objectives
        self._clock = clock
        spent = study.user_attrs.get(SPENT, {})
        self._seconds_before = float(spent.get("seconds", 0.0))
        # GPU seconds and epochs of each trial that has not ended.
        self._running: dict[int, tuple[float, int]] = {
            int(number): (float(cost), int(epochs))
            for number, (cost, epochs) in spent.get("running", {}).items()
        }
        self._began = self._noted = clock()
        self._gpu_seconds, self._epochs, self._complete = 0.0, 0, 0
        # Of each trial that ended and has not failed its values, where they count.
        self._values: list[tuple[float, ...] | None] = []
        self._reached: str | None = None

    def sweep_started(self, records: Sequence[TrialRecord]) -> None:
        """Count what earlier runs left; the time begins now."""
        self._began = self._noted = self._clock()
        for record in records:
            if record.state in ENDED_STATES:
                self._add(record)
        self._reached = self._judge()

    def trial_started(
        self, number: int, parameters: Mapping[str, ParameterValue], *, resumed: bool
    ) -> None:
        """Do nothing: its epochs will tell."""

    def epoch_finished(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Count what a trial has cost so far."""
        self._running[number] = (metrics.get("gpu_seconds", 0.0), epoch)

    def trial_finished(self, record: TrialRecord, left: Sequence[int] = ()) -> None:
        """Count what a trial has cost and found."""
        self._add(record)
        self._reached = self._judge()
        self._note()

    def sweep_finished(self, records: Sequence[TrialRecord], *, interrupted: bool) -> None:
        """Do nothing: :meth:`close` was called when the trials ended."""

    def close(self) -> None:
        """Note what was spent, for the sweep's trials run no more."""
        self._seconds_before = self._seconds
        self._began = self._clock()
        self._note()

    def used_up(self) -> str | None:
        """Say which part of the budget is used up; None while none is."""
        if self._clock() - self._noted >= _NOTED_EVERY_S:
            self._note()
        return next(self._used_up(), None)

    def _used_up(self) -> Iterator[str]:
        spec = self.spec
        running = self._running.values()
        gpu_hours = (self._gpu_seconds + sum(cost for cost, _ in running)) / _HOUR_S
        epochs = self._epochs + sum(epochs for _, epochs in running)
        for name, spent, limit in (
            ("hours", self._seconds / _HOUR_S, spec.hours),
            ("gpu_hours", gpu_hours, spec.gpu_hours),
            ("trials", self._complete, spec.trials),
            ("epochs", epochs, spec.epochs),
        ):
            if limit is not None and spent >= limit:
                yield f"budget.{name} is {limit:g}, and {spent:.4g} are spent"
        if self._reached is not None:
            yield self._reached

    def _judge(self) -> str | None:
        """Say whether what was found is enough, or does not get any better."""
        goal, patience = self.spec.hypervolume, self.spec.no_improvement
        now = self._volume(self._values)
        if now is None:
            return None
        if goal is not None and self._sign * now >= self._sign * goal:
            return f"budget.hypervolume is {goal:g}, and {now:.4g} is reached"
        before = None if patience is None else self._volume(self._values[: -patience.trials])
        if patience is None or before is None:
            return None
        if self._sign * (now - before) > patience.share * abs(before):
            return None
        measure = "hypervolume" if len(self._objectives) > 1 else "best value"
        return (
            f"budget.no_improvement: over the last {patience.trials} trials the {measure} went "
            f"from {before:.4g} to {now:.4g}, not by more than {patience.share:.3g} of that"
        )

    @property
    def _seconds(self) -> float:
        return self._seconds_before + self._clock() - self._began

    def _add(self, record: TrialRecord) -> None:
        self._running.pop(record.number, None)
        self._gpu_seconds += (record.seconds or 0.0) * record.resources.get("gpu", 0.0)
        self._epochs += int(record.metrics.get("epoch", 0) * record.metrics.get(N_SEEDS, 1))
        self._complete += record.state == "complete"
        if record.state != "failed":
            self._values.append(record.values if record.infeasible is None else None)

    @property
    def _sign(self) -> int:
        """-1 where less is better: for a single objective that is minimised."""
        only = self._objectives[0] if len(self._objectives) == 1 else None
        return -1 if only is not None and only.direction == "minimize" else 1

    def _volume(self, values: Sequence[tuple[float, ...] | None]) -> float | None:
        """Measure what some trials have reached; None where none of them has counting values."""
        known = [each for each in values if each is not None]
        if not known:
            return None
        if len(self._objectives) == 1:
            return self._sign * max(self._sign * value for (value,) in known)
        every = [each for each in self._values if each is not None]
        # The same reference for both of two volumes that are compared.
        reference = default_reference(np.array(every), self._objectives)
        return hypervolume(np.array(known), reference, self._objectives)

    def _note(self) -> None:
        self._noted = self._clock()
        running = {str(number): list(cost) for number, cost in self._running.items()}
        self._study.set_user_attr(SPENT, {"seconds": self._seconds, "running": running})
