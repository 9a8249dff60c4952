"""Steering of running trials: what the sweep's budget decides, and what people ask for.

Ray's loop calls it at each of its steps, some ten times in a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import optuna
from ray.tune.experiment import Trial as RayTrial

from sweeps.engine.budget import Budget
from sweeps.engine.request_desk import RequestDesk
from sweeps.engine.study_searcher import StudySearcher
from sweeps.search.mo_asha import Fifo
from sweeps.study.steered import is_finishing, is_paused, steer

_FINISHED = "somebody has asked it to finish"


class Steering:
    """Decides whether trials start and go on.

    Args:
        study: The sweep's study.
        budget: What the sweep may spend.
        desk: Takes requests up.
        say: Tells people a line.
    """

    def __init__(
        self, study: optuna.Study, budget: Budget, desk: RequestDesk, say: Callable[[str], None]
    ) -> None:
        self._study = study
        self._budget = budget
        self._desk = desk
        self._say = say
        self._searcher: StudySearcher | None = None
        self._scheduler: Fifo | None = None

    def reason_to_end(self) -> str | None:
        """Say why no further trial starts, before any has; None where nothing is against it."""
        self._desk.look()
        return _FINISHED if is_finishing(self._study) else self._budget.used_up()

    def ended_by(self) -> str | None:
        """Say, after the trials, what has ended the sweep before it had all, and how it goes on.

        None where nothing has. A wish to finish is fulfilled then.
        """
        if is_finishing(self._study):
            steer(self._study, finishing=False)
            return f"{_FINISHED}; the same command goes on"
        used_up = self._budget.used_up()
        return (
            None if used_up is None else f"{used_up}; with a larger one the same command goes on"
        )

    def hold(self, searcher: StudySearcher, scheduler: Fifo) -> None:
        """Steer the trials of a searcher.

        Args:
            searcher: Hands out the trials.
            scheduler: Knows Ray's loop.
        """
        self._searcher, self._scheduler = searcher, scheduler
        searcher.paused = is_paused(self._study)
        searcher.on_ask = self._look
        if searcher.paused:
            self._say("the sweep is paused: python -m sweeps.control NAME resume lets it go on")

    def step(self, trials: Sequence[RayTrial]) -> None:
        """Look at the budget and at requests.

        Args:
            trials: All of Ray's.
        """
        self._look()
        searcher = self._searcher
        if searcher is not None and (searcher.closed is not None or searcher.paused):
            self._withdraw(searcher, trials)

    def _look(self) -> None:
        searcher = self._searcher
        if searcher is None or searcher.closed is not None:
            return
        self._desk.look(searcher)
        if is_finishing(self._study):
            searcher.closed = _FINISHED
        elif (reason := self._budget.used_up()) is not None:
            searcher.closed = reason
            searcher.leaves_running = self._budget.spec.at_end == "stop"
            running = "stop at their last epoch" if searcher.leaves_running else "go on"
            self._say(f"{reason}: no further trial starts, those that run {running}")

    def _withdraw(self, searcher: StudySearcher, trials: Sequence[RayTrial]) -> None:
        """Take back what Ray has asked for ahead and not begun; it is handed out again first."""
        if self._scheduler is None:
            return
        for trial in trials:
            if trial.status == RayTrial.PENDING and not searcher.has_begun(trial.trial_id):
                self._scheduler.tune_controller.stop_trial(trial)
