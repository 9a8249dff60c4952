"""Budget of a sweep in its spec: what it may spend, what is good enough, and how it ends then."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hsplid_core.config.rules import MOST_EPOCHS
from sweeps.spec.cluster_spec import MOST_TRIALS, SpecSection

_MOST_HOURS = 1_000_000  # a hundred years


class NoImprovementSpec(SpecSection):
    """How long a sweep may go on without getting any better.

    Attributes:
        trials: Ended trials, failed ones left out.
        share: Growth of the hypervolume over these trials, relative to what it was before, that
            is an improvement. With one objective its best value counts.
    """

    trials: int = Field(default=20, ge=1, le=MOST_TRIALS)
    share: float = Field(default=0.01, ge=0, le=1)


class BudgetSpec(SpecSection):
    """When a sweep ends before it has all its trials: as soon as one of these is reached.

    What earlier runs of the sweep have spent counts; pretraining and the report do not. Further
    seeds of a trial count when it ends, and are trained to the end where it has begun.

    Attributes:
        hours: Time that trials were run, whatever their number at a time.
        gpu_hours: Hours times GPUs of all trials.
        trials: Complete trials; failed ones and those that were stopped early do not count, as
            they do in the spec's own ``trials``.
        epochs: Epochs of all trials together.
        hypervolume: Hypervolume of the front that is good enough; the value of a single objective.
        no_improvement: How long without an improvement.
        at_end: ``finish`` lets the trials that run go on to their ends; ``stop`` leaves them at
            their last epoch, from which they go on where the budget is raised.
    """

    hours: float | None = Field(default=None, gt=0, le=_MOST_HOURS)
    gpu_hours: float | None = Field(default=None, gt=0, le=_MOST_HOURS)
    trials: int | None = Field(default=None, ge=1, le=MOST_TRIALS)
    epochs: int | None = Field(default=None, ge=1, le=MOST_TRIALS * MOST_EPOCHS)
    hypervolume: float | None = Field(default=None, ge=0, le=1_000_000)
    no_improvement: NoImprovementSpec | None = None
    at_end: Literal["finish", "stop"] = "finish"
