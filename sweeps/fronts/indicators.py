"""Indicators of a front: ranks, hypervolume, trade-offs, knee and ends.

The sorting and the hypervolume are moocore's, the field's reference implementation. The knee is
the point of the front that is the dearest to leave: with all objectives scaled to [0, 1] over the
front, moving from point i to point j costs the sum of what gets worse and gains the sum of what
gets better; a point's trade-off is its smallest ratio of cost to gain over all j, and the knee
has the largest trade-off.

Reference for the trade-off: Rachmawati and Srinivasan 2009, Multiobjective Evolutionary Algorithm
With Controllable Focus on the Knees of the Pareto Front (IEEE TEVC 13(4)).
"""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import NDArray

from sweeps.spec.objective import Objective
from sweeps.trials.labels import (
    is_share,
)
from sweeps.trials.record import TrialRecord

Points = NDArray[np.float64]  # [N, M]: N trials, M objectives

_FEWEST_FOR_KNEE = 3


def points_of(records: Sequence[TrialRecord], objectives: Sequence[Objective]) -> Points:
    """Stack the values of trials, [N, M]; all must have some."""
    values = [record.values for record in records]
    return np.array(values, dtype=np.float64).reshape(len(values), len(objectives))


def pareto_ranks(points: Points, objectives: Sequence[Objective]) -> NDArray[np.int64]:
    """Sort points into fronts.

    Args:
        points: [N, M], finite.
        objectives: What is better, M of them.

    Returns:
        The rank of each point, [N], from 1; equal points have equal ranks.
    """
    if not len(points):
        return np.zeros(0, dtype=np.int64)
    ranks: NDArray[np.int64] = moocore.pareto_rank(points, maximise=_maximise(objectives)) + 1
    return ranks


def hypervolume(
    points: Points, reference: Sequence[float], objectives: Sequence[Objective]
) -> float:
    """Measure the volume that points dominate, down to a reference point.

    Args:
        points: [N, M], finite; dominated ones and equal ones change nothing.
        reference: A point that is no better than what shall count, M values.
        objectives: What is better, M of them.

    Returns:
        The volume in the product of the objectives' units; 0 without a point.
    """
    if not len(points):
        return 0.0
    maximise = _maximise(objectives)
    return float(moocore.hypervolume(points, ref=np.asarray(reference), maximise=maximise))


def default_reference(points: Points, objectives: Sequence[Objective]) -> tuple[float, ...]:
    """Choose a reference point: the worst possible share, or the worst value of any candidate.

    Shares such as accuracies are measured from 0 (from 1 where smaller is better), which stays
    the same while a sweep goes on and from one sweep to the next. Other metrics have no such end,
    so the worst of the candidates is taken; 0 without a candidate.
    """
    found = []
    for column, objective in enumerate(objectives):
        is_max = objective.direction == "maximize"
        if is_share(objective.metric):
            found.append(0.0 if is_max else 1.0)
        elif len(points):
            values = points[:, column]
            found.append(float(values.min() if is_max else values.max()))
        else:
            found.append(0.0)
    return tuple(found)


def trade_offs(front: Points, objectives: Sequence[Objective]) -> NDArray[np.float64]:
    """Tell how dear each point of a front is to leave.

    Args:
        front: Points of which none dominates another, [N, M].
        objectives: What is better, M of them.

    Returns:
        The smallest ratio of what gets worse to what gets better over all moves to another point,
        [N]; infinite where there is no other point.
    """
    if not len(front):
        return np.zeros(0)
    losses = np.where(_maximise(objectives), -front, front)
    spread = np.ptp(losses, axis=0)
    scaled = (losses - losses.min(axis=0)) / np.where(spread > 0, spread, 1)
    found = np.full(len(front), np.inf)
    for index, point in enumerate(scaled):
        moves = scaled - point
        cost, gain = np.maximum(0, moves).sum(axis=1), np.maximum(0, -moves).sum(axis=1)
        others = gain > 0  # neither the point itself nor one that equals it
        if others.any():
            found[index] = (cost[others] / gain[others]).min()
    return found


def knee_index(front: Points, objectives: Sequence[Objective]) -> int | None:
    """Find the knee of a front [N, M]; of points with equal values the first.

    Returns:
        None where no point is dearer to leave than all others: the largest trade-off is shared, as
        on a straight line, or fewer than three points differ, which are nothing but ends.
    """
    if len(np.unique(front, axis=0)) < _FEWEST_FOR_KNEE:
        return None
    found = trade_offs(front, objectives)
    dearest = np.flatnonzero(np.isclose(found, found.max()))
    return int(dearest[0]) if len(np.unique(front[dearest], axis=0)) == 1 else None


def end_indices(front: Points, objectives: Sequence[Objective]) -> list[int]:
    """Find the point that is best in each objective; of equal ones the best in the next."""
    if not len(front):
        return []
    losses = np.where(_maximise(objectives), -front, front)
    count = len(objectives)
    ends = []
    for column in range(count):
        # lexsort sorts by its last key first, and keeps the order of what is equal in all.
        order = [(column + step) % count for step in reversed(range(count))]
        ends.append(int(np.lexsort(losses[:, order].T)[0]))
    return ends


def _maximise(objectives: Sequence[Objective]) -> list[bool]:
    return [objective.direction == "maximize" for objective in objectives]


def best_values(
    records: Sequence[TrialRecord], objectives: Sequence[Objective]
) -> tuple[float, ...] | None:
    """Find the best value of each objective on its own; None without a complete trial."""
    values = [record.values for record in records if record.values is not None]
    if not values:
        return None
    return tuple(
        max(column) if objective.direction == "maximize" else min(column)
        for objective, column in zip(objectives, zip(*values, strict=True), strict=True)
    )
