"""Selection among trials: the front under objectives and conditions, its knee and its ends."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hsplid_core.errors import ConfigError
from sweeps.fronts.indicators import (
    Points,
    default_reference,
    end_indices,
    hypervolume,
    knee_index,
    pareto_ranks,
    points_of,
)
from sweeps.spec.objective import Objective
from sweeps.trials.feasibility import Constraint, named_values
from sweeps.trials.labels import metric_label
from sweeps.trials.record import TrialRecord

_NO_START: Mapping[str, float] = {}


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
        knee: Number of the front's trial that is the dearest to leave; None where there is none.
        ends: Number of the front's trial that is best in an objective, by the objective's metric.
        passed_over: Numbers of the front's trials that were no candidates for knee and ends, since
            they have more warnings than others of the front.
        start: Objectives of the pretrained model that the trials started from; None where there is
            none, or its values are not known.
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
    passed_over: tuple[int, ...]
    ties: tuple[tuple[int, ...], ...]
    start: tuple[float, ...] | None = None

    def end_label(self, metric: str) -> str:
        """Say in words what a trial of :attr:`ends` is best in, and among which."""
        among = " of those without warnings" if self.passed_over else ""
        return f"best {metric_label(metric)}{among}"

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
    start: Mapping[str, float] = _NO_START,
) -> Selection:
    """Rank the trials.

    Args:
        records: Trials in any order and state; only complete ones are candidates.
        objectives: Metrics of the trials' last epoch, in any number.
        constraints: What a candidate must satisfy.
        reference: Reference point of the hypervolume; None takes :func:`default_reference`.
        start: Metrics of the pretrained model that the trials started from, as far as known.

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
    members = [record for record, rank in zip(candidates, ranks, strict=True) if rank == 1]
    numbers = [record.number for record in members]
    # No trial is recommended whose numbers are less to be trusted than others'. What all are
    # warned of, as of masks that the data lack, tells nothing between them.
    fewest = min((len(record.warnings) for record in members), default=0)
    trusted = [record for record in members if len(record.warnings) == fewest]
    trusted_front = points_of(trusted, objectives)
    ranked = dict(zip((record.number for record in candidates), ranks.tolist(), strict=True))
    known = {record.number: record for record in candidates}
    knee = knee_index(trusted_front, objectives)
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
        knee=None if knee is None else trusted[knee].number,
        ends={
            objective.metric: trusted[end].number
            for objective, end in zip(
                objectives, end_indices(trusted_front, objectives), strict=False
            )
        },
        passed_over=tuple(each.number for each in members if len(each.warnings) > fewest),
        ties=_ties(front, numbers),
        start=tuple(start[objective.metric] for objective in objectives)
        if all(objective.metric in start for objective in objectives)
        else None,
    )


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
    known = named_values(record)
    for constraint in constraints:
        reason = constraint.violation(known)
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
