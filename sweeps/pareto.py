"""Choose among a sweep's trials: ``python -m sweeps.pareto NAME [storage=FOLDER]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from hsplid_core.errors import ConfigError, SaliencyError
from sweeps._command_line import open_named, report_errors, sweep_parser

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
        "--export", type=Path, metavar="FILE", help="write all trials (.parquet, .csv)"
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
    return report_errors(lambda: _run(arguments), debug=arguments.debug)


def _run(arguments: argparse.Namespace) -> int:
    from sweeps.fronts.export import export_selection, selection_json
    from sweeps.fronts.importances import importances
    from sweeps.fronts.selection import select
    from sweeps.spec.objective import parse_objectives
    from sweeps.terminal.front_text import print_front, print_importances
    from sweeps.trials.feasibility import check_constraints, parse_constraints

    sweep = open_named(arguments)
    objectives = parse_objectives(arguments.metrics) if arguments.metrics else sweep.objectives
    constraints = parse_constraints(arguments.feasible) if arguments.feasible else []
    check_constraints(constraints, sweep.records)
    selection = select(
        sweep.records,
        objectives,
        constraints=constraints,
        reference=_parse_reference(arguments.reference),
        start=sweep.start,
    )
    decides = importances(sweep.study, sweep.objectives) if arguments.importances else None
    if arguments.export is not None:
        export_selection(selection, arguments.export)
    is_demo = sweep.info.is_demo if sweep.info else None
    if arguments.json:
        found = {"sweep": sweep.name, "is_demo": is_demo, **selection_json(selection)}
        if decides is not None:
            found["importances"] = asdict(decides)
        sys.stdout.write(json.dumps(found, allow_nan=False) + "\n")
    else:
        print_front(selection, show_all=arguments.all, is_demo=bool(is_demo))
        if decides is not None:
            print_importances(decides)
        if arguments.export is not None:
            sys.stdout.write(f"Trials  {arguments.export}\n")
    if not selection.front:
        number, reason = next(iter(selection.infeasible.items()))
        raise SaliencyError(f"{sweep.folder}: no trial is feasible; trial {number} {reason}")
    return 0


def _parse_reference(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"reference is {text}: give numbers joined by commas") from error


if __name__ == "__main__":
    sys.exit(main())
