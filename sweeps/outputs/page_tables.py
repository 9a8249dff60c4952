"""The report's tables: plain cells, so that keyboards and screen readers get what charts show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweeps.fronts.importances import Importances, importance_rows
from sweeps.fronts.selection import Selection
from sweeps.outputs.robust_curves import RobustCurve
from sweeps.terminal.trial_table import SALIENT_DIMS
from sweeps.trials.labels import (
    START_LABEL,
    deviation_text,
    differing_parameters,
    duration_text,
    metric_label,
    metric_text,
    parameters_text,
    warnings_text,
)
from sweeps.trials.record import TrialRecord


@dataclass(frozen=True)
class Cell:
    """Some text, possibly with a link.

    Attributes:
        text: What is shown.
        link: Where a click leads; None for plain text.
        is_number: Whether to align it right.
    """

    text: str
    link: str | None = None
    is_number: bool = False


@dataclass(frozen=True)
class Table:
    """A table with a caption.

    Attributes:
        caption: What it shows.
        header: Names of the columns.
        rows: Cells, as many a row as there are columns; the first one heads the row.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def trials_table(
    selection: Selection,
    links: Mapping[int, str],
    *,
    only_front: bool,
) -> Table:
    """List the front, or all trials with their ranks, the best first objective on top.

    The last row is what the trials started from.
    """
    marks = _marks(selection)
    names = differing_parameters([r for r in selection.records if r.values is not None])
    shown = [r for r in selection.records if r.on_front or not only_front]
    shown.sort(key=lambda record: _order(record, selection))
    has_dims = any(SALIENT_DIMS in record.metrics for record in shown)
    header = [
        "trial",
        *(() if only_front else ("state", "rank")),
        *(metric_label(objective.metric) for objective in selection.objectives),
        *((metric_label(SALIENT_DIMS),) if has_dims else ()),
        "time",
        "parameters",
        "note",
    ]
    rows = []
    for record in shown:
        rank = selection.ranks.get(record.number)
        values = record.values or (None,) * len(selection.objectives)
        rows.append(
            [
                _trial_cell(record.number, links),
                *(() if only_front else (Cell(record.state), _number(rank))),
                *(
                    Cell(
                        metric_text(objective.metric, value)
                        + deviation_text(record.metrics, objective.metric),
                        is_number=True,
                    )
                    for objective, value in zip(selection.objectives, values, strict=True)
                ),
                *((_metric_cell(record, SALIENT_DIMS),) if has_dims else ()),
                Cell("-" if record.seconds is None else duration_text(record.seconds)),
                Cell(parameters_text(record.parameters, names)),
                Cell("; ".join(marks[record.number])),
            ]
        )
    if selection.start is not None:
        blanks = len(header) - len(selection.start) - 2 - 2 * (not only_front)
        rows.append(
            [
                Cell("start"),
                *(() if only_front else (Cell("-"), _number(None))),
                *(
                    Cell(metric_text(objective.metric, value), is_number=True)
                    for objective, value in zip(selection.objectives, selection.start, strict=True)
                ),
                *[Cell("-")] * blanks,
                Cell(START_LABEL),
            ]
        )
    return Table("The Pareto front" if only_front else "All trials", header, rows)


def _order(record: TrialRecord, selection: Selection) -> tuple[bool, float, int]:
    sign = -1.0 if selection.objectives[0].direction == "maximize" else 1.0
    if record.values is None:
        return True, 0.0, record.number
    return False, sign * record.values[0], record.number


def _marks(selection: Selection) -> Mapping[int, list[str]]:
    marks: defaultdict[int, list[str]] = defaultdict(list)
    if selection.knee is not None:
        marks[selection.knee].append("knee")
    for metric, number in selection.ends.items():
        marks[number].append(selection.end_label(metric))
    for record in selection.records:
        if record.warnings:
            marks[record.number].append(warnings_text(record))
    for group in selection.ties:
        for number in group:
            others = ", ".join(str(other) for other in group if other != number)
            marks[number].append(f"equals trial {others}")
    for number, reason in selection.infeasible.items():
        marks[number].append(f"infeasible: {reason}")
    return marks


def failures_table(selection: Selection, links: Mapping[int, str]) -> Table | None:
    """List the failed trials by cause, the most frequent first; None without one."""
    groups: defaultdict[str, list[TrialRecord]] = defaultdict(list)
    for record in selection.records:
        if record.state == "failed":
            # Without a cause, equal messages are all that is known to belong together.
            groups[record.cause or record.failure or "unknown"].append(record)
    rows = []
    for members in sorted(groups.values(), key=lambda members: -len(members)):
        seconds = sum(member.seconds or 0.0 for member in members)
        first, *others = dict.fromkeys(member.failure or "no message" for member in members)
        more = f" (and {len(others)} like it)" if others else ""
        rows.append(
            [
                Cell((members[0].cause or "unknown").replace("_", " ")),
                _number(len(members)),
                Cell(", ".join(str(member.number) for member in members)),
                Cell(first + more, links.get(members[0].number)),
                Cell(duration_text(seconds)),
            ]
        )
    header = ["cause", "trials", "which", "message", "time lost"]
    return Table("Failed trials by cause", header, rows) if rows else None


def importances_table(found: Importances) -> Table:
    """List the importance of each parameter for each target, in percent."""
    header, content = importance_rows(found)
    rows = [
        [Cell(name), *(Cell(share, is_number=True) for share in shares)]
        for name, *shares in content
    ]
    return Table("Importance of the searched parameters", header, rows)


def curves_table(curves: Sequence[RobustCurve]) -> Table:
    """List robust accuracies by model, attack, region and radius."""
    rows = [
        [
            Cell(curve.model),
            Cell(f"{curve.attack}, {curve.region}"),
            Cell(f"{epsilon:g} ({curve.unit})", is_number=True),
            Cell(metric_text("accuracy", robust), is_number=True),
        ]
        for curve in curves
        for epsilon, robust in zip(curve.epsilons, curve.robust, strict=True)
    ]
    return Table("Robust accuracy", ["model", "attack", "epsilon", "robust accuracy"], rows)


def plain_table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Make a table of text without links."""
    return Table(caption, header, [[Cell(text) for text in row] for row in rows])


def facts_table(caption: str, facts: Mapping[str, str]) -> Table:
    """List names and their values."""
    rows = [[Cell(name), Cell(value)] for name, value in facts.items()]
    return Table(caption, ["what", "value"], rows)


def _trial_cell(number: int, links: Mapping[int, str]) -> Cell:
    return Cell(str(number), links.get(number), is_number=True)


def _metric_cell(record: TrialRecord, metric: str) -> Cell:
    return Cell(metric_text(metric, record.metrics.get(metric)), is_number=True)


def _number(value: int | None) -> Cell:
    return Cell("-" if value is None else str(value), is_number=True)
