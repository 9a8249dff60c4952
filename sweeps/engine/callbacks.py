"""Ray Tune's callbacks, turned into the few calls that a listener knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as RayTrial

from sweeps.events import SweepListener
from sweeps.searcher import ASSIGNMENT
from trainables.trainable import METRICS


class TuneEvents(tune.Callback):
    """Tells the listeners what Ray Tune does."""

    def __init__(self, listeners: Sequence[SweepListener]) -> None:
        self._listeners = listeners

    def __getstate__(self) -> dict[str, Any]:
        """Leave nothing to Ray's experiment snapshots: listeners hold connections."""
        return {"_listeners": ()}

    def on_trial_start(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any
    ) -> None:
        """Tell that a trial got its worker."""
        assignment = trial.config[ASSIGNMENT]
        resumed = assignment["resume_from"] is not None or trial.num_failures > 0
        for listener in self._listeners:
            listener.trial_started(assignment["number"], assignment["parameters"], resumed=resumed)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[RayTrial],
        trial: RayTrial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """Tell an epoch's metrics; a failure has none."""
        metrics = result.get(METRICS)
        if metrics is None:
            return
        for listener in self._listeners:
            listener.epoch_finished(
                trial.config[ASSIGNMENT]["number"], int(metrics["epoch"]), metrics
            )
