"""Replicates of a trial: the same configuration under further seeds, whose means decide.

A trial with replicates runs in the study until it has them all, and the study keeps what each seed
has brought meanwhile, so that a killed driver loses none. The first seed comes alone: a scheduler
may stop it, and it says whether the trial reaches the front.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import optuna
from optuna.trial import TrialState

from sweeps.spec.search_spec import ConstraintSpec
from sweeps.trials.attributes import METRICS, REPLICATES, SECONDS
from sweeps.trials.labels import DEVIATION, N_SEEDS
from sweeps.trials.outcome import TrialOutcome, judged

Results = dict[int, Mapping[str, Any]]


@dataclass(frozen=True)
class Job:
    """What one of Ray's trials runs: a trial of the study, under one of its seeds.

    Attributes:
        trial: The trial.
        replicate: Which of the seeds, from 0.
    """

    trial: optuna.Trial
    replicate: int = 0


def always(outcome: TrialOutcome) -> bool:
    """Find every trial worth its further seeds."""
    return True


@dataclass(frozen=True, kw_only=True)
class Replicates:
    """Which trials get further seeds, and what they come to.

    Attributes:
        seeds: All seeds of a trial; the first is the spec's own.
        is_worth: Whether a complete trial gets them, by its first.
    """

    seeds: Sequence[int] = (0,)
    is_worth: Callable[[TrialOutcome], bool] = always

    def lacking(self, trial: optuna.Trial) -> list[Job]:
        """Return what is still to run of a trial that an earlier driver asked for.

        One that was killed between the last result and the trial's end runs the last seed once
        more, from its last checkpoint.
        """
        known = results_of(trial)
        wanted = range(1, len(self.seeds)) if known else range(1)
        lacking = [Job(trial, k) for k in wanted if k not in known]
        return lacking or [Job(trial, wanted[-1] if wanted else 0)]

    def further(self, job: Job, outcome: TrialOutcome) -> list[Job]:
        """Return what a trial's first result brings about: nothing, or its further seeds."""
        wanted = (
            job.replicate == 0
            and len(self.seeds) > 1
            and outcome.state == TrialState.COMPLETE
            and self.is_worth(outcome)
        )
        return [Job(job.trial, k) for k in range(1, len(self.seeds))] if wanted else []


def results_of(trial: optuna.Trial) -> Results:
    """Return what a trial's seeds have brought so far, by their places."""
    return {int(k): found for k, found in trial.user_attrs.get(REPLICATES, {}).items()}


def keep(job: Job, outcome: TrialOutcome, seed: int) -> Results:
    """Keep in the study what a seed has brought; of the first one all, for it stands for them.

    Returns:
        All that its trial has now.
    """
    if job.replicate == 0:
        for key, value in outcome.attributes.items():
            job.trial.set_user_attr(key, value)
    found = {name: outcome.attributes.get(name) for name in (METRICS, SECONDS)}
    results = {**results_of(job.trial), job.replicate: {"seed": seed, **found}}
    job.trial.set_user_attr(REPLICATES, {str(k): each for k, each in results.items()})
    return results


def combined(
    results: Results, objectives: Sequence[str], constraints: Sequence[ConstraintSpec]
) -> TrialOutcome:
    """Judge a trial by the means over its seeds; deviations and their number are metrics, too.

    Args:
        results: Of two or more seeds.
        objectives: Names of the metrics that are optimised.
        constraints: The spec's limits.
    """
    every = [each[METRICS] for each in results.values()]
    names = [name for name in every[0] if all(name in each for each in every)]
    means = {name: fmean(each[name] for each in every) for name in names}
    spreads = {DEVIATION.format(name): stdev(each[name] for each in every) for name in names}
    metrics = {**means, **spreads, N_SEEDS: float(len(every))}
    attributes = {METRICS: metrics, SECONDS: seconds_of(results)}
    return judged(metrics, attributes, objectives, constraints)


def seconds_of(results: Results) -> float:
    """Return what some seeds have taken in all."""
    return sum(each[SECONDS] or 0.0 for each in results.values())
