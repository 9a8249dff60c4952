"""Multi-objective early stopping: asynchronous successive halving by non-dominated rank.

After MO-ASHA (Schmucker et al., arXiv 2106.12639). A trial that reaches a rung, a number of
epochs, is compared with all that reached it before, and goes on if it is among the best
1/reduction_factor of them by :mod:`sweeps.fronts.ranking`. Beyond the paper, a trial on the
current front is never stopped: one that nobody dominates, among the finished trials with their
final values and the running ones with their last values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState
from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from sweeps.fronts.ranking import Front, Values, dominating, is_among_best
from sweeps.spec.objective import Objective, minimised
from sweeps.trials.attributes import RUNGS
from sweeps.trials.from_study import is_candidate
from sweeps.trials.outcome import metrics_of
from trainables.result_keys import ASSIGNMENT

# Ray's name of a trial, and its values at each rung that it has reached.
OnRung = Callable[[str, Mapping[int, tuple[float, ...]]], None]


class Rungs:
    """What trials had reached after certain numbers of epochs, and who goes on.

    Args:
        objectives: The sweep's objectives.
        grace_epochs: Epochs of the first rung.
        reduction_factor: One of as many trials goes on; also the ratio of two rungs' epochs.
        max_epochs: Epochs of a whole trial, where nothing is left to save.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        *,
        grace_epochs: int,
        reduction_factor: int,
        max_epochs: int,
    ) -> None:
        self._objectives = tuple(objectives)
        self._factor = reduction_factor
        self.levels = [grace_epochs] if grace_epochs < max_epochs else []
        level = grace_epochs * reduction_factor
        # A later rung in the second half of a trial would save less than the trial has cost.
        while 2 * level <= max_epochs:
            self.levels.append(level)
            level *= reduction_factor
        self._entries = {level: _Entries(len(self._objectives)) for level in self.levels}
        # Of the finished trials only those that none of them dominates: the others cannot matter.
        self._final = Front(len(self._objectives))
        self._running: dict[int, tuple[float, ...]] = {}

    def load(self, trials: Iterable[FrozenTrial]) -> None:
        """Go on from what a study knows.

        Args:
            trials: Its trials.
        """
        for trial in trials:
            reached = {int(n): tuple(v) for n, v in trial.user_attrs.get(RUNGS, {}).items()}
            for level, values in reached.items():
                if level in self._entries:
                    self._entries[level].add(trial.number, values)
            self.note_end(trial)
            if trial.state == TrialState.RUNNING and reached:
                self._running[trial.number] = reached[max(reached)]

    def reached(self, number: int) -> dict[int, tuple[float, ...]]:
        """Return a trial's values, to minimise, at each rung that it has reached."""
        return {level: e.of(number) for level, e in self._entries.items() if number in e}

    def goes_on(self, number: int, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Take a trial's metrics and decide about it.

        Args:
            number: The trial's number.
            epoch: Finished epochs.
            metrics: Of this epoch. One without the objectives decides nothing; the next one with
                them stands for the rung.
        """
        if not self._are_known(metrics):
            return True
        values = self._values_in(metrics)
        self._running[number] = values
        level = max((n for n in self.levels if n <= epoch), default=None)
        if level is None or number in self._entries[level]:
            return True
        entries = self._entries[level]
        entries.add(number, values)
        # Of fewer trials than the factor, none can be said to be among the best.
        if len(entries) < self._factor or self._on_front(values):
            return True
        places = max(1, len(entries) // self._factor)
        return is_among_best(entries.values, len(entries) - 1, places)

    def _on_front(self, values: tuple[float, ...]) -> bool:
        running = np.array([*self._running.values()])
        return self._final.admits(values) and not dominating(running, values).any()

    def _are_known(self, metrics: Mapping[str, float]) -> bool:
        return all(objective.metric in metrics for objective in self._objectives)

    def _values_in(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        return self._minimised([metrics[objective.metric] for objective in self._objectives])

    def _minimised(self, values: Sequence[float]) -> tuple[float, ...]:
        # What is not finite is worse than all else, whichever way.
        turned = minimised(values, self._objectives)
        return tuple(value if math.isfinite(value) else math.inf for value in turned)

    def forget(self, number: int) -> None:
        """Forget the last values of a trial that does not run any more."""
        self._running.pop(number, None)

    def note_end(self, trial: FrozenTrial) -> None:
        """Note a trial's final values; one that failed, was stopped or is infeasible has none.

        Args:
            trial: The trial as the study knows it.
        """
        if is_candidate(trial):
            self._final.add(trial.number, self._minimised(trial.values))


class _Entries:
    """The values of all trials that have reached a rung, ready to be ranked.

    Args:
        n_objectives: Values of a trial.
    """

    def __init__(self, n_objectives: int) -> None:
        self._rows: dict[int, int] = {}
        self._held = np.empty((16, n_objectives))

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, number: int) -> bool:
        return number in self._rows

    @property
    def values(self) -> Values:
        """All values, [n, m], the latest trial's last."""
        return self._held[: len(self._rows)]

    def of(self, number: int) -> tuple[float, ...]:
        """Return a trial's values."""
        return tuple(self._held[self._rows[number]].tolist())

    def add(self, number: int, values: tuple[float, ...]) -> None:
        """Add a trial that is not there yet."""
        row = self._rows[number] = len(self._rows)
        if row == len(self._held):
            # Twice as much each time: a copy of everything for every trial would be quadratic.
            self._held = np.concatenate([self._held, np.empty_like(self._held)])
        self._held[row] = values


class Fifo(FIFOScheduler):
    """Runs trials by their numbers, each to its end.

    Ray's own goes through all trials since the beginning, twice at every step of its loop.

    Attributes:
        tune_controller: Ray's loop, by which single trials are ended from outside; None before
            it has a trial.
    """

    tune_controller: Any = None

    def on_trial_add(self, tune_controller: Any, trial: RayTrial) -> None:
        """Get to know Ray's loop."""
        self.tune_controller = tune_controller
        super().on_trial_add(tune_controller, trial)

    def note_end(self, trial: FrozenTrial) -> None:
        """Hear of a trial that the study knows to have ended, as only some need to."""

    def __getstate__(self) -> dict[str, Any]:
        """Leave Ray's loop out of its experiment snapshots."""
        return {key: value for key, value in vars(self).items() if key != "tune_controller"}

    def choose_trial_to_run(self, tune_controller: Any) -> RayTrial | None:
        """Return the first trial that waits for a worker, None where none does."""
        live: list[RayTrial] = sorted(tune_controller.get_live_trials(), key=_number)
        for status in (RayTrial.PENDING, RayTrial.PAUSED):
            for trial in live:
                if trial.status == status:
                    return trial
        return None


def _number(trial: RayTrial) -> int:
    return int(trial.config[ASSIGNMENT]["number"])


class MoAsha(Fifo):
    """The Ray Tune scheduler over :class:`Rungs`.

    Args:
        rungs: Loaded from the study.
        on_rung: Called with Ray's name of a trial and its values at all rungs, when it reaches
            one; writes them into the study.
    """

    def __init__(self, rungs: Rungs, on_rung: OnRung) -> None:
        super().__init__()
        self._rungs = rungs
        self._on_rung = on_rung

    def __getstate__(self) -> dict[str, Any]:
        """Leave nothing to Ray's experiment snapshots: the study has the rungs."""
        return {}

    def on_trial_result(
        self, tune_controller: Any, trial: RayTrial, result: dict[str, Any]
    ) -> str:
        """Stop a trial that is not among the best of its rung.

        What its first seed has passed holds for its further ones.
        """
        metrics, assignment = metrics_of(result), trial.config[ASSIGNMENT]
        if "epoch" not in metrics or assignment.get("replicate"):
            return TrialScheduler.CONTINUE
        number = assignment["number"]
        before = len(self._rungs.reached(number))
        goes_on = self._rungs.goes_on(number, int(metrics["epoch"]), metrics)
        reached = self._rungs.reached(number)
        if len(reached) > before:
            self._on_rung(trial.trial_id, reached)
        if not goes_on:
            self._rungs.forget(number)
        return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP

    def on_trial_complete(
        self, tune_controller: Any, trial: RayTrial, result: dict[str, Any]
    ) -> None:
        """Forget a trial's last values: :meth:`note_end` hears of its final ones."""
        self._rungs.forget(trial.config[ASSIGNMENT]["number"])

    def note_end(self, trial: FrozenTrial) -> None:
        """Note a trial's final values, which are on the front if nobody dominates them."""
        self._rungs.note_end(trial)

    def on_trial_error(self, tune_controller: Any, trial: RayTrial) -> None:
        """Forget the last values of a trial that lost its worker; it will tell them again."""
        self._rungs.forget(trial.config[ASSIGNMENT]["number"])
