"""Ray Tune's plain scheduler, which looks for the next trial among those that still live."""

from __future__ import annotations

from typing import Any

from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import FIFOScheduler

from trainables.result_keys import ASSIGNMENT


class Fifo(FIFOScheduler):
    """Runs trials by their numbers, each to its end.

    Ray's own goes through all trials since the beginning, twice at every step of its loop.
    """

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
