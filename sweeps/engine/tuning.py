"""Handing a study's trials to Ray Tune."""

from __future__ import annotations

from collections.abc import Sequence

from ray import tune

from sweeps.engine.callbacks import TuneEvents
from sweeps.engine.context import SweepContext
from sweeps.events import SweepListener
from sweeps.searcher import ASSIGNMENT, StudySearcher
from sweeps.trial_files import attempts_folder, trial_folder
from trainables.trainable import SweepTrainable


def fit(
    context: SweepContext, searcher: StudySearcher, listeners: Sequence[SweepListener]
) -> None:
    """Run trials until the searcher has no more.

    Args:
        context: What the sweep works with.
        searcher: Hands out the trials.
        listeners: Are told what happens.
    """
    spec = context.spec
    attempts = attempts_folder(context.folder)
    attempts.mkdir(parents=True, exist_ok=True)
    attempt = len(list(attempts.iterdir())) + 1
    trainable = tune.with_resources(
        SweepTrainable, {"cpu": spec.resources.cpu, "gpu": spec.resources.gpu}
    )
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=searcher.remaining,
            max_concurrent_trials=spec.resources.max_concurrent,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial_folder(trial.config[ASSIGNMENT]["number"]),
        ),
        run_config=tune.RunConfig(
            name=f"attempt_{attempt:03d}",
            storage_path=str(attempts),
            callbacks=[TuneEvents(listeners)],
            failure_config=tune.FailureConfig(max_failures=spec.max_failures),
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
