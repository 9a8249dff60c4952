"""Handing a study's trials to Ray Tune."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ray import tune
from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import TrialScheduler

from sweeps.cluster.node_watch import FittingNodes
from sweeps.engine.context import SweepContext
from sweeps.engine.study_searcher import StudySearcher
from sweeps.engine.tune_callbacks import StopAll, TuneEvents
from sweeps.storage.disk_watch import DiskWatch
from sweeps.trials.checkpoint_files import SweepCheckpoints, attempts_folder, trial_folder
from sweeps.trials.listener import SweepListener
from trainables.result_keys import ASSIGNMENT


def fit(
    context: SweepContext,
    searcher: StudySearcher,
    scheduler: TrialScheduler,
    checkpoints: SweepCheckpoints,
    resources: Mapping[str, float],
    listeners: Sequence[SweepListener],
    trainable: type[tune.Trainable],
    steer: Callable[[Sequence[RayTrial]], None] | None = None,
) -> None:
    """Run trials until the searcher has no more.

    Args:
        context: What the sweep works with.
        searcher: Hands out the trials.
        scheduler: Ends some of them early.
        checkpoints: Those of the sweep.
        resources: What a trial occupies: ``cpu`` and ``gpu``.
        listeners: Are told what happens.
        trainable: Runs a trial; its subclass for this sweep has the configuration as ``base``.
        steer: Called at each step with all of Ray's trials; None does nothing.
    """
    spec = context.spec
    attempts = attempts_folder(context.folder)
    attempts.mkdir(parents=True, exist_ok=True)
    of_sweep = tune.with_resources(trainable, dict(resources))  # a class of its own
    of_sweep.base = spec.trial_config(context.weights)
    tuner = tune.Tuner(
        of_sweep,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=-1,  # the searcher says when there are no more
            max_concurrent_trials=spec.resources.max_concurrent,
            reuse_actors=True,
            trial_dirname_creator=_folder_of,
        ),
        run_config=tune.RunConfig(
            name=checkpoints.next_attempt(),
            storage_path=str(attempts),
            callbacks=[
                TuneEvents(
                    searcher,
                    checkpoints,
                    listeners,
                    context.nodes,
                    FittingNodes(resources, spec.cluster.lost_after),
                    DiskWatch(context.folder),
                    steer,
                )
            ],
            stop=StopAll(searcher),
            # Whoever loses its worker is tried again: a machine's fault is not the trial's. The
            # searcher counts the losses and ends a trial that never gets any further.
            failure_config=tune.FailureConfig(max_failures=-1),
            checkpoint_config=tune.CheckpointConfig(
                # One would make Ray wait for a full synchronisation at each checkpoint.
                num_to_keep=2,
                checkpoint_frequency=1,
                checkpoint_at_end=True,
            ),
            verbose=0,
        ),
    )
    tuner.fit()


def _folder_of(trial: RayTrial) -> str:
    assignment = trial.config[ASSIGNMENT]
    return trial_folder(assignment["number"], assignment["replicate"])
