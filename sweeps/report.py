"""Write a sweep's report: ``python -m sweeps.report NAME [storage=FOLDER]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hsplid_core.errors import ConfigError
from sweeps._command_line import open_named, report_errors, sweep_parser

if TYPE_CHECKING:
    from sweeps.study.stored_sweep import StoredSweep

_EXAMPLES = """\
examples:
  python -m sweeps.report coco_hsplid
  python -m sweeps.report coco_hsplid storage=/data/runs --output sweep.html
  python -m sweeps.report coco_hsplid coco_hbar coco_hsplid-2 --output compare.html

Several sweeps are compared: fronts over each other, hypervolume over what was spent, what differs
in their specs, and, where there are several seeds, what of it is chance.
"""


def _parser() -> argparse.ArgumentParser:
    parser = sweep_parser(
        "sweeps.report",
        "Write one HTML page about a sweep, or several, which opens without a network.",
        _EXAMPLES,
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="report.html in the sweep's folder by default; of several sweeps compare.html here",
    )
    parser.add_argument(
        "--ui",
        metavar="URL",
        help="address of MLflow's UI that trials are linked to; by default that of the tracking "
        "server, or http://127.0.0.1:5000 for a local file",
    )
    parser.add_argument(
        "--running",
        action="store_true",
        help="mark the sweep as running; the page reloads itself each minute",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None reads those of the process.

    Returns:
        The exit code: 0 done, 2 a mistake in the call, or a sweep without a complete trial.
    """
    arguments = _parser().parse_intermixed_args(argv)
    return report_errors(lambda: _run(arguments), debug=arguments.debug)


def _run(arguments: argparse.Namespace) -> int:
    # Only now: --help needs neither torch nor a plotting library.
    from sweeps.outputs.report import write_report
    from sweeps.storage.bucket_mirror import publish

    others = [word for word in arguments.overrides if "=" not in word]
    arguments.overrides = [word for word in arguments.overrides if "=" in word]
    sweep = open_named(arguments)
    if others:
        return _compare(arguments, sweep, others)
    path = write_report(sweep, output=arguments.output, ui=arguments.ui, running=arguments.running)
    publish(sweep.folder)
    sys.stdout.write(f"{path}\n")
    return 0


def _compare(arguments: argparse.Namespace, first: StoredSweep, others: Sequence[str]) -> int:
    from sweeps.outputs.comparison import write_comparison

    if arguments.running or arguments.ui is not None:
        raise ConfigError("--running and --ui are of one sweep's page: leave them out")
    sweeps = [first]
    for name in others:
        sweeps.append(open_named(argparse.Namespace(**{**vars(arguments), "sweep": name})))
    path = write_comparison(sweeps, arguments.output or Path("compare.html"))
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
