"""Names of the tags that a sweep's runs and models have in MLflow."""

from __future__ import annotations

# Which sweep a run or a model is of, and which trial: found again by these.
SWEEP_ID = "sweep.id"
TRIAL = "sweep.trial"
PARENT_RUN = "mlflow.parentRunId"
# Where a run stands, and what became of it.
STATE = "sweep.state"
ATTEMPT = "sweep.attempt"
FAILURE_TAG = "sweep.failure"
CAUSE_TAG = "sweep.failure_cause"
# What the sweep's end says of a trial.
ON_FRONT = "sweep.on_front"
RANK = "sweep.pareto_rank"
# Reasons to distrust a model's robust accuracy, as codes.
WARNINGS = "sweep.warnings"
# What MLflow could not take: metrics that are not finite, parameters that have changed.
NON_FINITE = "sweep.non_finite"
SPEC_CHANGED = "sweep.spec_changed"
# What a sweep was trained and judged on.
DATA_KEY = "data.key"
DATA_SPLIT = "data.split.{}"
DATA_DEMO = "data.demo"
DATA_MASKS = "data.masks"
