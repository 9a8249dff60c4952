"""Objectives and trials as the tests of results, plots, tracking and progress need them."""

from __future__ import annotations

import dataclasses

from sweeps.spec.objective import Objective
from sweeps.trials.record import WARNING_TAG, TrialRecord

GOALS = [Objective(metric="val/accuracy"), Objective(metric="val/robust_accuracy")]


def complete(
    number: int, *values: float, on_front: bool = True, epoch: int | None = None
) -> TrialRecord:
    """Make a complete trial; its metrics are its objectives and, if given, the last epoch."""
    metrics = {goal.metric: value for goal, value in zip(GOALS, values, strict=False)}
    return TrialRecord(
        number=number,
        state="complete",
        parameters={
            "method.hsplid.rho_s": 0.5 * number,
            "training.learning_rate": 5e-4,
            "training.weight_decay": 1e-5 * (number + 1),
        },
        values=values,
        metrics={**metrics, "hsplid/salient_dims": 10.0 + number}
        | ({} if epoch is None else {"epoch": float(epoch)}),
        seconds=30.4,
        on_front=on_front,
    )


def warned(record: TrialRecord, *codes: str) -> TrialRecord:
    """Let the evaluation have warned of a trial's robust accuracy."""
    tags = {f"{WARNING_TAG}{code}": f"message of {code}" for code in codes}
    return dataclasses.replace(record, tags=tags)


def failed(number: int, failure: str = "loss is nan in epoch 2") -> TrialRecord:
    """Make a failed trial."""
    return TrialRecord(number=number, state="failed", parameters={}, seconds=2.0, failure=failure)


def running(number: int, *, attempts: int = 0) -> TrialRecord:
    """Make a trial on a worker."""
    return TrialRecord(number=number, state="running", parameters={}, attempts=attempts)
