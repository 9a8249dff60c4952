"""Choose among a sweep's trials: ``python -m sweeps.pareto NAME [storage=FOLDER]``."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from rich.console import Console

from hsplid_core.errors import ConfigError, SaliencyError
from sweeps._command_line import open_named, report_errors, sweep_parser
from sweeps.fronts.export import selection_table
from sweeps.fronts.importances import importance_rows, importances
from sweeps.fronts.selection import Selection, select
from sweeps.study.stored_sweep import StoredSweep
from sweeps.terminal.trial_table import pareto_table, rich_table
from sweeps.trials.feasibility import check_constraints, parse_constraints
from sweeps.trials.labels import metric_label, metric_text
from sweeps.trials.objective import Goal
from sweeps.trials.table_file import FORMATS, write_table

_EXAMPLES = """\
examples:
  python -m sweeps.pareto coco_hsplid
  python -m sweeps.pareto coco_hsplid --metrics val/accuracy:max,hsplid/salient_dims:min
  python -m sweeps.pareto coco_hsplid --feasible "val/accuracy >= 0.7 and seconds < 600"
  python -m sweeps.pareto coco_hsplid --importances
  python -m sweeps.pareto coco_hsplid --reference 0.25,0 --json
  python -m sweeps.pareto coco_hsplid storage=/data/runs --export trials.parquet

The columns of an export are documented in sweeps/fronts/export.py.
"""
_DIRECTIONS: Mapping[str | None, Literal["maximize", "minimize"]] = {
    None: "maximize",
    "max": "maximize",
    "min": "minimize",
}
_METRIC = re.compile(r"(?P<name>[^:,\s]+)(:(?P<direction>max|min))?")


def _parser() -> argparse.ArgumentParser:
    parser = sweep_parser(
        "sweeps.pareto",
        "Show the Pareto front of a sweep, its hypervolume, its knee and its ends.",
        _EXAMPLES,
    )
    parser.add_argument(
        "--metrics",
        metavar="NAME:max,NAME:min",
        help="metrics of the last epoch to choose by; the sweep's objectives by default",
    )
    parser.add_argument(
        "--feasible", metavar="EXPR", help="what a trial must satisfy: NAME >= NUMBER and ..."
    )
    parser.add_argument(
        "--reference",
        metavar="X,Y",
        help="reference point of the hypervolume, in the order of the metrics; by default the "
        "worst share (0 or 1), or the worst value of a feasible trial",
    )
    parser.add_argument(
        "--export", type=Path, metavar="FILE", help=f"write all trials ({', '.join(FORMATS)})"
    )
    parser.add_argument(
        "--importances",
        action="store_true",
        help="tell which parameters decide the sweep's objectives and its hypervolume, too",
    )
    parser.add_argument("--all", action="store_true", help="show all dominated trials")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None reads those of the process.

    Returns:
        The exit code: 0 done, 2 a mistake in the call, or a sweep without a front.
    """
    arguments = _parser().parse_intermixed_args(argv)
    return report_errors(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    sweep = open_named(arguments)
    objectives = parse_metrics(arguments.metrics) if arguments.metrics else sweep.objectives
    constraints = parse_constraints(arguments.feasible) if arguments.feasible else []
    check_constraints(constraints, sweep.records)
    selection = select(
        sweep.records,
        objectives,
        constraints=constraints,
        reference=_parse_reference(arguments.reference),
    )
    if arguments.export is not None:
        _export(selection, arguments.export)
    if arguments.json:
        found = described(sweep, selection)
        if arguments.importances:
            found["importances"] = asdict(importances(sweep.study, sweep.objectives))
        sys.stdout.write(json.dumps(found, allow_nan=False) + "\n")
    else:
        _print(sweep, selection, show_all=arguments.all)
        if arguments.importances:
            _print_importances(sweep)
        if arguments.export is not None:
            sys.stdout.write(f"Trials  {arguments.export}\n")
    if not selection.front:
        raise SaliencyError(f"{sweep.folder}: no trial is feasible; {_first_reason(selection)}")
    return 0


def _export(selection: Selection, path: Path) -> None:
    try:
        write_table(selection_table(selection), path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error


def parse_metrics(text: str) -> tuple[Goal, ...]:
    """Read metrics with their directions.

    Args:
        text: For instance ``val/accuracy:max,hsplid/salient_dims:min``; without a direction more
            is better.

    Raises:
        ConfigError: A part is malformed, or a metric is given twice.
    """
    goals = []
    for part in text.split(","):
        match = _METRIC.fullmatch(part.strip())
        if match is None:
            raise ConfigError(f"metrics {part!r}: write NAME:max or NAME:min, joined by commas")
        goals.append(Goal(metric=match["name"], direction=_DIRECTIONS[match["direction"]]))
    names = [goal.metric for goal in goals]
    if len(set(names)) < len(names):
        raise ConfigError(f"metrics is {text}: give each metric once")
    return tuple(goals)


def _parse_reference(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"reference is {text}: give numbers joined by commas") from error


def described(sweep: StoredSweep, selection: Selection) -> dict[str, object]:
    """Return a selection as plain JSON data."""
    names = [objective.metric for objective in selection.objectives]
    failures = {
        record.number: record.failure for record in selection.records if record.state == "failed"
    }
    return {
        "sweep": sweep.name,
        "is_demo": sweep.about.is_demo if sweep.about else None,
        "objectives": [
            {"metric": objective.metric, "direction": objective.direction}
            for objective in selection.objectives
        ],
        "reference": list(selection.reference),
        "hypervolume": selection.hypervolume,
        "knee": selection.knee,
        "ends": dict(selection.ends),
        "ties": [list(group) for group in selection.ties],
        "front": [
            {
                "trial": record.number,
                "values": dict(zip(names, record.values or (), strict=True)),
                "parameters": dict(record.parameters),
            }
            for record in selection.front
        ],
        "ranks": {str(number): rank for number, rank in selection.ranks.items()},
        "infeasible": {str(number): reason for number, reason in selection.infeasible.items()},
        "failed": {str(number): reason for number, reason in failures.items()},
    }


def _print(sweep: StoredSweep, selection: Selection, *, show_all: bool) -> None:
    console = Console()
    console.print(
        pareto_table(
            selection.records, selection.objectives, max_dominated=None if show_all else 10
        )
    )
    for line in _lines(selection):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    if sweep.about is not None and sweep.about.is_demo:
        console.print("Demo data: these figures say nothing about the real data set.")


def _print_importances(sweep: StoredSweep) -> None:
    found = importances(sweep.study, sweep.objectives)
    console = Console()
    if found.shares:
        console.print(rich_table("Importances (PED-ANOVA)", *importance_rows(found)))
    if found.warning is not None:
        console.print(
            f"Importances {found.warning}", soft_wrap=True, markup=False, highlight=False
        )


def _lines(selection: Selection) -> list[str]:
    objectives = selection.objectives
    reference = ", ".join(
        f"{metric_label(objective.metric)} {metric_text(objective.metric, value)}"
        for objective, value in zip(objectives, selection.reference, strict=True)
    )
    lines = [f"Hypervolume {selection.hypervolume:.6g}, from the reference point {reference}"]
    if selection.knee is not None:
        lines.append(f"Knee        trial {selection.knee}, the dearest to leave")
    for metric, number in selection.ends.items():
        lines.append(f"Best        trial {number} in {metric_label(metric)}")
    for group in selection.ties:
        lines.append(f"Tied        trials {', '.join(map(str, group))} have equal values")
    for number, reason in selection.infeasible.items():
        lines.append(f"Infeasible  trial {number}: {reason}")
    return lines


def _first_reason(selection: Selection) -> str:
    number, reason = next(iter(selection.infeasible.items()))
    return f"trial {number} {reason}"


if __name__ == "__main__":
    sys.exit(main())
