"""Ray Tune's callbacks, turned into the few calls that a listener knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as RayTrial

from sweeps.events import SweepListener
from sweeps.searcher import ASSIGNMENT, StudySearcher
from trainables.trainable import METRICS


class TuneEvents(tune.Callback):
    """Tells the listeners what Ray Tune does.

    Args:
        searcher: Counts the attempts of trials.
        listeners: Are told in this order.
    """

    def __init__(self, searcher: StudySearcher, listeners: Sequence[SweepListener]) -> None:
        self._searcher = searcher
        self._listeners = listeners

    def __getstate__(self) -> dict[str, Any]:
        """Leave nothing to Ray's experiment snapshots: listeners hold connections."""
        return {"_listeners": ()}

    def on_trial_start(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any
    ) -> None:
        """Tell that a trial got its worker."""
        assignment = trial.config[ASSIGNMENT]
        resumed = self._searcher.note_start(trial.trial_id) > 1
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

    def on_trial_save(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any
    ) -> None:
        """Forget the losses of a trial's worker: it has got further in the meantime.

        What is left of Ray's limit is for a trial that kills its worker again and again.
        """
        trial.run_metadata.num_failures = 0


class StopWhenFailing(tune.Stopper):
    """Ends all trials once too many of the first ones failed.

    Args:
        searcher: Knows.
    """

    def __init__(self, searcher: StudySearcher) -> None:
        self._searcher: StudySearcher | None = searcher

    def __getstate__(self) -> dict[str, Any]:
        """Leave nothing to Ray's experiment snapshots."""
        return {"_searcher": None}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Stop no trial for what it reports."""
        return False

    def stop_all(self) -> bool:
        """Tell whether to stop."""
        return self._searcher is not None and self._searcher.stop_reason is not None
