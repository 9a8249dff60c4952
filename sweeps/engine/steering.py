"""Steering of running trials: at each step of Ray's loop, what the sweep's budget decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ray.tune.experiment import Trial as RayTrial

from sweeps.engine.budget import Budget
from sweeps.engine.study_searcher import StudySearcher
from sweeps.search.mo_asha import Fifo


class Steering:
    """Ends what runs once the budget is used up.

    Args:
        searcher: Hands out the trials.
        scheduler: Knows Ray's loop.
        budget: The sweep's.
        say: Tells people a line.
    """

    def __init__(
        self,
        searcher: StudySearcher,
        scheduler: Fifo,
        budget: Budget,
        say: Callable[[str], None],
    ) -> None:
        self._searcher = searcher
        self._scheduler = scheduler
        self._budget = budget
        self._say = say

    def step(self, trials: Sequence[RayTrial]) -> None:
        """Look at the budget.

        Args:
            trials: All of Ray's.
        """
        if self._searcher.closed is None and (reason := self._budget.used_up()) is not None:
            self._searcher.closed = reason
            stops = self._budget.spec.at_end == "stop"
            running = "stop at their last epoch" if stops else "go on to their ends"
            self._say(f"{reason}: no further trial starts, those that run {running}")
            self._searcher.leaves_running = stops
        if self._searcher.closed is not None:
            self._withdraw(trials)

    def _withdraw(self, trials: Sequence[RayTrial]) -> None:
        """Take back what Ray has asked for ahead and not begun; a later run begins with it."""
        controller = self._scheduler.tune_controller
        for trial in trials:
            waits = trial.status == RayTrial.PENDING
            if waits and not self._searcher.has_begun(trial.trial_id):
                controller.stop_trial(trial)
