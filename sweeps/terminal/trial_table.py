"""The trials of a sweep as a table in the terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from sweeps.fronts.indicators import best_values
from sweeps.spec.objective import Objective
from sweeps.trials.labels import (
    N_SEEDS,
    START_LABEL,
    deviation_text,
    differing_parameters,
    is_share,
    metric_label,
    metric_text,
    parameters_text,
    warnings_text,
)
from sweeps.trials.record import TrialRecord

SALIENT_DIMS = "hsplid/salient_dims"

_FAILURE_WIDTH = 90


def pareto_table(
    records: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    *,
    start: Sequence[float] | None = None,
    max_dominated: int | None = 10,
) -> Table:
    """Lay out the front, the start, then the best other trials, best first objective on top.

    Members of the front carry a ``*``, trials with warnings a ``!``; the best value of each
    objective stands out. Only parameters that differ between the trials are shown, by short names,
    without those that are off. Failed trials are counted below with their reasons.

    Args:
        records: Trials in any order and state.
        objectives: The sweep's objectives.
        start: Objectives of the pretrained model that the trials started from; None without one.
        max_dominated: Most trials shown off the front; None shows all.

    Returns:
        A table to print on a rich console; made for 100 columns and more.
    """
    complete = _ranked(records, objectives)
    front = [record for record in complete if record.on_front]
    others = [record for record in complete if not record.on_front]
    shown = front + (others if max_dominated is None else others[:max_dominated])
    table = Table(box=box.SIMPLE_HEAD, caption_justify="left", caption_style="")
    table.add_column("trial", justify="right", no_wrap=True)
    for objective in objectives:
        table.add_column(_header(objective.metric), justify="right", no_wrap=True)
    has_dims = any(SALIENT_DIMS in record.metrics for record in shown)
    if has_dims:
        table.add_column(_header(SALIENT_DIMS), justify="right", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("parameters")  # last, as it is the one that wraps
    has_doubts = any(record.warnings for record in shown)
    names = differing_parameters(complete)
    best = best_values(complete, objectives)
    if not front and start is not None:
        _add_start(table, objectives, start, has_dims=has_dims)
    for position, record in enumerate(shown):
        cells = [
            Text(f"{record.number} {_star(record)}{_bang(record) if has_doubts else ''}"),
            *objective_cells(record, objectives, best),
        ]
        if has_dims:
            cells.append(Text(metric_text(SALIENT_DIMS, record.metrics.get(SALIENT_DIMS))))
        cells.append(Text("-" if record.seconds is None else f"{record.seconds:.0f}"))
        cells.append(Text(parameters_text(record.parameters, names)))
        table.add_row(
            *cells,
            style="" if record.on_front else "dim",
            end_section=position == len(front) - 1 and (bool(others) or start is not None),
        )
        if position == len(front) - 1 and start is not None:
            _add_start(table, objectives, start, has_dims=has_dims)
    table.caption = _caption(
        records,
        shown,
        hidden=len(complete) - len(shown),
        has_errors=any(_error_text(r, o.metric, 0.0) for r in shown for o in objectives),
    )
    return table


def _add_start(
    table: Table, objectives: Sequence[Objective], start: Sequence[float], *, has_dims: bool
) -> None:
    values = (
        metric_text(objective.metric, value)
        for objective, value in zip(objectives, start, strict=True)
    )
    table.add_row("start  ", *values, *["-"] * has_dims, "-", START_LABEL, end_section=True)


def rich_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Lay out a table of text whose first column names the rows."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for position, name in enumerate(header):
        table.add_column(name, justify="right" if position else "left")
    for row in rows:
        table.add_row(*row)
    return table


def objective_cells(
    record: TrialRecord,
    objectives: Sequence[Objective],
    best: tuple[float, ...] | None,
) -> list[Text]:
    """Write a trial's objectives with their errors, the best of all trials in bold."""
    values = record.values or (None,) * len(objectives)
    bests = best or (None,) * len(objectives)
    return [
        Text(
            metric_text(objective.metric, value)
            + (
                deviation_text(record.metrics, objective.metric)
                or _error_text(record, objective.metric, value)
            ),
            style="bold green" if value is not None and value == top else "",
        )
        for objective, value, top in zip(objectives, values, bests, strict=True)
    ]


def _error_text(record: TrialRecord, metric: str, value: float | None) -> str:
    """Write the standard error of what was measured on few images: ± 8.8."""
    error = record.metrics.get(f"{metric}_error")
    if value is None or error is None or N_SEEDS in record.metrics:
        return ""
    return f" ± {100 * error:.1f}" if is_share(metric) else f" ± {error:.2g}"


def _header(metric: str) -> str:
    return "\n".join(metric_label(metric).rsplit(" ", 1))


def _ranked(records: Sequence[TrialRecord], objectives: Sequence[Objective]) -> list[TrialRecord]:
    sign = -1 if objectives[0].direction == "maximize" else 1
    complete = [(record.values, record) for record in records if record.values is not None]
    complete.sort(key=lambda pair: (sign * pair[0][0], pair[1].number))
    return [record for _, record in complete]


def _star(record: TrialRecord) -> str:
    return "*" if record.on_front else " "


def _bang(record: TrialRecord) -> str:
    return "!" if record.warnings else " "


def _caption(
    records: Sequence[TrialRecord], shown: Sequence[TrialRecord], *, hidden: int, has_errors: bool
) -> Text:
    lines = [
        "* on the Pareto front; parameters that are the same in all trials, or off, are left out"
    ]
    if hidden:
        lines.append(f"{hidden} more dominated trials are not shown")
    if any(N_SEEDS in record.metrics for record in shown):
        lines.append("± with seeds: mean and one standard deviation over them")
    if has_errors:
        lines.append("± one standard error over the images that were attacked")
    lines += _warning_lines(shown)
    lines += failure_lines(records)
    return Text("\n".join(lines), style="dim")


def _warning_lines(records: Sequence[TrialRecord]) -> list[str]:
    codes: defaultdict[str, list[int]] = defaultdict(list)
    for record in records:
        if record.warnings:
            codes[warnings_text(record)].append(record.number)
    return [f"! {_trials(sorted(numbers))} {text}" for text, numbers in codes.items()]


def failure_lines(records: Sequence[TrialRecord]) -> list[str]:
    """Count the failed trials by reason, one line a reason, the most frequent first."""
    reasons: defaultdict[str, list[int]] = defaultdict(list)
    for record in records:
        if record.state == "failed":
            reasons[record.failure or "no cause recorded"].append(record.number)
    lines = []
    for reason, numbers in sorted(reasons.items(), key=lambda item: -len(item[1])):
        lines.append(f"{len(numbers)} failed ({_trials(numbers)}): {_clipped(reason)}")
    return lines


def _trials(numbers: Sequence[int]) -> str:
    which = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
    return f"trial{'s' if len(numbers) > 1 else ''} {which}"


def _clipped(text: str) -> str:
    return text if len(text) <= _FAILURE_WIDTH else text[: _FAILURE_WIDTH - 3] + "..."
