"""The start of a sweep against its front: a search may end below the model that it began from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sweeps.fronts.indicators import (
    default_reference,
    hypervolume,
    pareto_ranks,
    points_of,
)
from sweeps.spec.objective import Objective
from sweeps.trials.labels import START_LABEL, metric_label, metric_text
from sweeps.trials.record import TrialRecord


def shortfall_text(
    records: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    start: Sequence[float] | None,
    *,
    reference: Sequence[float] | None = None,
) -> str | None:
    """Say that nothing on a front dominates the start, and whether the start outweighs the front.

    Args:
        records: The trials; those on the front have values.
        objectives: What is better.
        start: Objectives of the pretrained model; None where there is none.
        reference: Reference point of the hypervolume; None takes that of the candidates.

    Returns:
        A sentence; None where a trial dominates the start, or there is nothing to compare.
    """
    front = points_of([record for record in records if record.on_front], objectives)
    if start is None or not len(front):
        return None
    begun = np.array([start], dtype=np.float64)
    ranks = [pareto_ranks(np.concatenate([begun, point[None]]), objectives) for point in front]
    if any(start_rank > rank for start_rank, rank in ranks):
        return None
    values = ", ".join(
        f"{metric_label(objective.metric)} {metric_text(objective.metric, value)}"
        for objective, value in zip(objectives, start, strict=True)
    )
    text = f"No trial dominates the {START_LABEL} ({values})"
    if len(objectives) > 1:
        if reference is None:
            known = points_of([record for record in records if record.values], objectives)
            reference = default_reference(known, objectives)
        own, reached = (hypervolume(each, reference, objectives) for each in (begun, front))
        if own > reached:
            text += (
                f", whose hypervolume of {own:.3g} is above the front's {reached:.3g}: the sweep "
                "ended below its start"
            )
    return f"{text}."
