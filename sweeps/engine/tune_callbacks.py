"""Ray Tune's callbacks, turned into the few calls that a listener knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as RayTrial

from sweeps.cluster.node_watch import FittingNodes
from sweeps.cluster.shared_storage import SharedStorage
from sweeps.engine.study_searcher import StudySearcher
from sweeps.storage.disk_watch import DiskWatch
from sweeps.trials.checkpoint_files import SweepCheckpoints
from sweeps.trials.listener import SweepListener
from trainables.result_keys import ASSIGNMENT, METRICS, TRIAL_SECONDS, USAGE


class TuneEvents(tune.Callback):
    """Tells the listeners what Ray Tune does.

    Args:
        searcher: Counts the attempts of trials, and the losses of their workers.
        checkpoints: Those of the sweep.
        listeners: Are told in this order.
        nodes: Looks at nodes that have joined before one of them trains; None does not.
        fitting: Looks whether nodes are left; None does not.
        disk: Looks whether the sweep's folder can be written; None does not.
        steer: Called at each step with all of Ray's trials; None does nothing.
    """

    def __init__(
        self,
        searcher: StudySearcher,
        checkpoints: SweepCheckpoints,
        listeners: Sequence[SweepListener],
        nodes: SharedStorage | None = None,
        fitting: FittingNodes | None = None,
        disk: DiskWatch | None = None,
        steer: Callable[[Sequence[RayTrial]], None] | None = None,
    ) -> None:
        self._searcher = searcher
        self._checkpoints = checkpoints
        self._listeners = listeners
        self._nodes = nodes
        self._fitting = fitting
        self._disk = disk
        self._steer = steer

    def __getstate__(self) -> dict[str, Any]:
        """Leave nothing to Ray's experiment snapshots: listeners hold connections."""
        return {"_listeners": ()}

    def on_step_begin(self, iteration: int, trials: list[RayTrial], **info: Any) -> None:
        """Give up where no node is left that a trial fits on, or no disk to write on.

        Ray would wait for ever for the one, and lose trial after trial by the other.
        """
        for watch in (self._fitting, self._disk):
            if watch is not None and (reason := watch.give_up()) is not None:
                self._searcher.stop_reason = reason
        if self._steer is not None:
            self._steer(trials)

    def on_trial_start(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any
    ) -> None:
        """Tell that a trial got its worker; on a node without the storage nothing shall train."""
        if self._nodes is not None and (faults := self._nodes.new_faults()) is not None:
            self._searcher.stop_reason = faults
        assignment = trial.config[ASSIGNMENT]
        resumed = self._searcher.note_start(trial.trial_id) > 1
        if _is_further(trial):
            return
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
        """Tell an epoch's metrics, and what the trial has cost so far; a failure has none.

        Of a trial's further seeds only its end tells, by what all of them come to.
        """
        metrics = result.get(METRICS)
        if metrics is None or _is_further(trial):
            return
        occupied = trial.placement_group_factory
        gpus = occupied.required_resources.get("GPU", 0.0) if occupied else 0.0
        cost = {"seconds": result[TRIAL_SECONDS], "gpu_seconds": gpus * result[TRIAL_SECONDS]}
        for listener in self._listeners:
            listener.epoch_finished(
                trial.config[ASSIGNMENT]["number"],
                int(metrics["epoch"]),
                {**metrics, **cost, **result.get(USAGE, {})},
            )

    def on_trial_complete(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any
    ) -> None:
        """Forget what Ray gathered of a trial's metrics: the study has them, and nobody asks."""
        trial.metric_analysis.clear()
        trial.metric_n_steps.clear()

    def on_trial_recover(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any
    ) -> None:
        """Count the loss of a trial's worker, and let a trial give up that causes it each time.

        A disk that is full or gone makes workers fail, too, and is no trial's fault.
        """
        if self._disk is not None and (reason := self._disk.fault()) is not None:
            self._searcher.stop_reason = reason
            return
        losses = self._searcher.note_loss(trial.trial_id)
        if losses is not None:
            assignment = {**trial.config[ASSIGNMENT], "losses": losses}
            trial.set_config({**trial.config, ASSIGNMENT: assignment})

    def on_trial_save(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any
    ) -> None:
        """Forget the losses of a trial's worker: it has got further in the meantime."""
        self._searcher.forget_losses(trial.trial_id)
        assignment = trial.config[ASSIGNMENT]
        if assignment["resume_from"] is not None:
            self._checkpoints.remove_superseded(assignment["number"], assignment["replicate"])


def _is_further(trial: RayTrial) -> bool:
    """Tell whether a trial of Ray's is of another seed than its trial's first."""
    return bool(trial.config[ASSIGNMENT].get("replicate"))


class StopAll(tune.Stopper):
    """Ends all trials once too many of the first ones failed, or the budget is used up.

    Args:
        searcher: Knows.
    """

    def __init__(self, searcher: StudySearcher) -> None:
        self._searcher: StudySearcher | None = searcher

    def __getstate__(self) -> dict[str, Any]:
        """Leave nothing to Ray's experiment snapshots."""
        return {"_searcher": None}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Stop a trial that somebody has asked to stop."""
        return self._searcher is not None and self._searcher.ends_early(trial_id)

    def stop_all(self) -> bool:
        """Tell whether to stop."""
        searcher = self._searcher
        return searcher is not None and (
            searcher.stop_reason is not None or searcher.leaves_running
        )
