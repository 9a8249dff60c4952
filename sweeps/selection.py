"""Choosing among trials: ranks, the front, its hypervolume, its knee and its ends.

The sorting and the hypervolume are moocore's, the field's reference implementation. The knee is
the point of the front that is the dearest to leave: with all objectives scaled to [0, 1] over the
front, moving from point i to point j costs the sum of what gets worse and gains the sum of what
gets better; a point's trade-off is its smallest ratio of cost to gain over all j, and the knee
has the largest trade-off.

Reference for the trade-off: Rachmawati and Srinivasan 2009, Multiobjective Evolutionary Algorithm
With Controllable Focus on the Knees of the Pareto Front (IEEE TEVC 13(4)).
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray

from hsplid_core.errors import ConfigError
from sweeps._labels import is_share
from sweeps.events import TrialRecord
from sweeps.feasibility import Constraint
from sweeps.results import Objective

Points = NDArray[np.float64]  # [N, M]: N trials, M objectives


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a set of trials has to offer under some objectives.

    Attributes:
        objectives: What is better, M of them.
        records: All trials by number; ``values`` are those of the objectives, None unless
            feasible, and ``on_front`` says whether the rank is 1.
        ranks: Rank of each feasible trial by its number: 1 on the front, 2 on the front that is
            left without those, and so on.
        infeasible: Why a complete trial is not among the candidates, by its number.
        reference: Reference point of the hypervolume, in the objectives' order.
        hypervolume: Volume between the front and the reference point; a point that is not better
            than it in every objective adds nothing.
        knee: Number of the front's trial that is the dearest to leave; None without a front.
        ends: Number of the trial that is best in an objective, by the objective's metric.
        ties: Numbers of the front's trials that have equal values, two or more each.
    """

    objectives: tuple[Objective, ...]
    records: tuple[TrialRecord, ...]
    ranks: Mapping[int, int]
    infeasible: Mapping[int, str]
    reference: tuple[float, ...]
    hypervolume: float
    knee: int | None
    ends: Mapping[str, int]
    ties: tuple[tuple[int, ...], ...]

    @property
    def front(self) -> list[TrialRecord]:
        """The trials of rank 1, by number."""
        return [record for record in self.records if record.on_front]


def select(
    records: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    *,
    constraints: Sequence[Constraint] = (),
    reference: Sequence[float] | None = None,
) -> Selection:
    """Rank the trials.

    Args:
        records: Trials in any order and state; only complete ones are candidates.
        objectives: Metrics of the trials' last epoch, in any number.
        constraints: What a candidate must satisfy.
        reference: Reference point of the hypervolume; None takes :func:`default_reference`.

    Raises:
        ConfigError: No complete trial has one of the metrics, or the reference point has another
            number of values than there are objectives, or values that are not finite.
    """
    complete = [record for record in records if record.state == "complete"]
    for objective in objectives:
        _check_known(objective.metric, complete)
    infeasible: dict[int, str] = {}
    candidates: list[TrialRecord] = []
    for record in sorted(complete, key=lambda record: record.number):
        reason = _exclusion(record, objectives, constraints)
        if reason is None:
            candidates.append(dataclasses.replace(record, values=_values(record, objectives)))
        else:
            infeasible[record.number] = reason
    points = points_of(candidates, objectives)
    ranks = pareto_ranks(points, objectives)
    if reference is None:
        reference = default_reference(points, objectives)
    _check_reference(reference, objectives)
    front = points[ranks == 1]
    numbers = [record.number for record, rank in zip(candidates, ranks, strict=True) if rank == 1]
    ranked = dict(zip((record.number for record in candidates), ranks.tolist(), strict=True))
    known = {record.number: record for record in candidates}
    knee = knee_index(front, objectives)
    return Selection(
        objectives=tuple(objectives),
        records=tuple(
            dataclasses.replace(
                known.get(record.number, dataclasses.replace(record, values=None)),
                on_front=ranked.get(record.number) == 1,
            )
            for record in sorted(records, key=lambda record: record.number)
        ),
        ranks=ranked,
        infeasible=infeasible,
        reference=tuple(reference),
        hypervolume=hypervolume(front, reference, objectives),
        knee=None if knee is None else numbers[knee],
        ends={
            objective.metric: numbers[end]
            for objective, end in zip(objectives, end_indices(front, objectives), strict=False)
        },
        ties=_ties(front, numbers),
    )


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
    """Find the knee of a front [N, M]; of equal ones the first, None without a point."""
    return int(np.argmax(trade_offs(front, objectives))) if len(front) else None


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


def _values(record: TrialRecord, objectives: Sequence[Objective]) -> tuple[float, ...]:
    return tuple(record.metrics[objective.metric] for objective in objectives)


def _exclusion(
    record: TrialRecord, objectives: Sequence[Objective], constraints: Sequence[Constraint]
) -> str | None:
    if record.infeasible is not None:
        return record.infeasible
    for objective in objectives:
        value = record.metrics.get(objective.metric)
        if value is None:
            return f"has no {objective.metric}"
        if not math.isfinite(value):
            return f"{objective.metric} is {value}"
    for constraint in constraints:
        reason = constraint.violation(record)
        if reason is not None:
            return reason
    return None


def _check_known(metric: str, complete: Sequence[TrialRecord]) -> None:
    if not complete or any(metric in record.metrics for record in complete):
        return
    known = sorted({name for record in complete for name in record.metrics})
    raise ConfigError(f"metric {metric}: no complete trial has it; they have {', '.join(known)}")


def _check_reference(reference: Sequence[float], objectives: Sequence[Objective]) -> None:
    if len(reference) != len(objectives) or not all(map(math.isfinite, reference)):
        metrics = ", ".join(objective.metric for objective in objectives)
        given = ",".join(f"{value:g}" for value in reference)
        raise ConfigError(f"reference is {given}: give a finite number for each of {metrics}")


def _ties(front: Points, numbers: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    groups: defaultdict[tuple[float, ...], list[int]] = defaultdict(list)
    for point, number in zip(front.tolist(), numbers, strict=True):
        groups[tuple(point)].append(number)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)
