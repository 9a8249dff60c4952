"""Outcome of a trial's last result for the study: state, values, constraints, attributes.

=========================  ========  ===================================================
how the trial ended        state     told besides
=========================  ========  ===================================================
all epochs                 COMPLETE  values, and each constraint of the spec
diverged                   PRUNED    the constraint ``diverged``, violated: samplers pass
                                     over failed trials, and these they must learn from
stopped by the scheduler   PRUNED    metrics so far, but no values: they would be of
                                     fewer epochs than those of the others
any other failure          FAIL      cause and traceback
=========================  ========  ===================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import TrialState
from ray.tune.result import HOSTNAME

from hsplid_core.errors import ConfigError, did_you_mean
from sweeps.spec.search_spec import ConstraintSpec
from sweeps.trials import attributes as names
from sweeps.trials.feasibility import excess, limits_of
from trainables.result_keys import (
    CAUSE,
    ENDED,
    FAILURE,
    GPU_MEMORY,
    METRICS,
    PARTS,
    TABLES,
    TRACEBACK,
    TRIAL_SECONDS,
    WORKER_LOST,
)

DIVERGED = "diverged"
PEAK_MEMORY = "memory_mib"


@dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """How a trial ended, in the study's terms.

    Attributes:
        state: COMPLETE, PRUNED or FAIL.
        values: The objectives; None unless complete.
        constraints: By name, how far each was violated; 0 or less where it was kept.
        attributes: What the study keeps besides.
    """

    state: TrialState
    values: Sequence[float] | None = None
    constraints: Mapping[str, float] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def counts_as_failure(self) -> bool:
        """Whether the code or the machine is to blame, and not the trial's parameters."""
        return self.state == TrialState.FAIL


def outcome_of(
    result: Mapping[str, Any], objectives: Sequence[str], constraints: Sequence[ConstraintSpec]
) -> TrialOutcome:
    """Read a trial's last result.

    Args:
        result: As Ray Tune flattens it, with ``/`` between the keys.
        objectives: Names of the metrics that are optimised.
        constraints: The spec's limits.
    """
    metrics = metrics_of(result)
    attributes: dict[str, Any] = {METRICS: metrics, names.SECONDS: result.get(TRIAL_SECONDS)}
    attributes |= {key: result[key] for key in (TABLES, GPU_MEMORY) if key in result}
    if HOSTNAME in result:
        attributes[names.HOST] = result[HOSTNAME]
    if PARTS in result:
        attributes[names.TAGS] = {"out_of_memory": f"batch split into {result[PARTS]} parts"}
    if FAILURE in result:
        return _failed(result, attributes)
    if ENDED not in result:
        return TrialOutcome(state=TrialState.PRUNED, attributes=attributes)
    return judged(metrics, attributes, objectives, constraints)


def judged(
    metrics: Mapping[str, float],
    attributes: dict[str, Any],
    objectives: Sequence[str],
    constraints: Sequence[ConstraintSpec],
) -> TrialOutcome:
    """Say what the metrics of a trial that ran to its end mean.

    Args:
        metrics: Of the last epoch, by name.
        attributes: What the study keeps besides; added to.
        objectives: Names of the metrics that are optimised.
        constraints: The spec's limits.
    """
    try:
        values = objective_values(metrics, objectives)
        limited = [(limit, _metric(metrics, limit.metric, "constraint")) for limit in constraints]
    except ConfigError as error:
        attributes |= {FAILURE: str(error), CAUSE: "no_objective"}
        return TrialOutcome(state=TrialState.FAIL, attributes=attributes)
    violations = (limit.violation(metrics) for limit in limits_of(constraints))
    if told := [text for text in violations if text is not None]:
        attributes[names.INFEASIBLE] = "; ".join(told)
    return TrialOutcome(
        state=TrialState.COMPLETE,
        values=values,
        constraints={limit.metric: excess(limit, value) for limit, value in limited},
        attributes=attributes,
    )


def lost_worker() -> TrialOutcome:
    """Say how a trial ended that Ray gave up for good, so that no result tells of it."""
    text = "Ray could not start its worker, or not tell what became of it"
    return TrialOutcome(state=TrialState.FAIL, attributes={FAILURE: text, CAUSE: WORKER_LOST})


def _failed(result: Mapping[str, Any], attributes: dict[str, Any]) -> TrialOutcome:
    attributes |= {key: result.get(key) for key in (FAILURE, CAUSE, TRACEBACK)}
    if result.get(CAUSE) == DIVERGED:
        return TrialOutcome(
            state=TrialState.PRUNED, constraints={DIVERGED: 1.0}, attributes=attributes
        )
    return TrialOutcome(state=TrialState.FAIL, attributes=attributes)


def metrics_of(result: Mapping[str, Any]) -> dict[str, float]:
    """Pick an epoch's metrics out of a result that Ray Tune has flattened."""
    prefix = f"{METRICS}/"
    return {
        name.removeprefix(prefix): float(value)
        for name, value in result.items()
        if name.startswith(prefix)
    }


def objective_values(metrics: Mapping[str, float], objectives: Sequence[str]) -> list[float]:
    """Pick a trial's objective values out of its last metrics.

    Args:
        metrics: Metrics of the last epoch by name.
        objectives: Names of the objectives.

    Raises:
        ConfigError: An objective is missing, or is NaN or infinite.
    """
    values = [_metric(metrics, name, "objective") for name in objectives]
    for name, value in zip(objectives, values, strict=True):
        if not math.isfinite(value):
            raise ConfigError(f"objective {name} is {value} in the last epoch")
    return values


def _metric(metrics: Mapping[str, float], name: str, role: str) -> float:
    if name in metrics:
        return metrics[name]
    raise ConfigError(
        f"{role} {name} is not among the metrics of the last epoch: {sorted(metrics)}"
        f"{did_you_mean(name, metrics)}"
    )
