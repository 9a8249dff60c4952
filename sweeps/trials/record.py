"""Record of a trial, as the study tells it to tracker, report and progress view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from trainables.config import ParameterValue

TrialState = Literal["waiting", "running", "complete", "failed", "stopped"]

# Where nothing more happens to a trial. A stopped one was worse than others so far, and ended
# early: it has metrics, but no values.
ENDED_STATES: tuple[TrialState, ...] = ("complete", "failed", "stopped")

# How the tags begin that give reasons to distrust a trial's numbers.
WARNING_TAG = "warning."

Cause = Literal["diverged", "out_of_memory", "worker_lost", "no_objective", "error"]


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial as the study knows it.

    Attributes:
        number: Position in the study, from 0; the same after every resumption.
        state: Where the trial stands.
        parameters: Searched parameters by their dotted path in the spec.
        values: The objectives, in the spec's order; None until complete.
        metrics: The last epoch's metrics.
        seconds: Time spent training and evaluating, over all attempts.
        failure: Why a failed trial failed, one line.
        on_front: Whether no other complete, feasible trial dominates this one.
        cause: What kind of failure that was; it decides what is tried again.
        traceback: Where in the code it failed.
        attempts: How often it got a worker.
        resources: What it occupied: ``cpu`` and ``gpu``.
        host: Machine of its last worker.
        infeasible: Which constraint its last metrics violate, one line; None where none.
        tags: What else is worth telling, such as a batch that had to be split to fit the memory.
    """

    number: int
    state: TrialState
    parameters: Mapping[str, ParameterValue]
    values: tuple[float, ...] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    failure: str | None = None
    on_front: bool = False
    cause: Cause | None = None
    traceback: str | None = None
    attempts: int = 0
    resources: Mapping[str, float] = field(default_factory=dict)
    host: str | None = None
    infeasible: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def warnings(self) -> dict[str, str]:
        """Reasons to distrust the trial's robust accuracy: code to message."""
        return {
            tag.removeprefix(WARNING_TAG): message
            for tag, message in self.tags.items()
            if tag.startswith(WARNING_TAG)
        }
