"""Rebuild a lost study: ``python -m sweeps.repair NAME [storage=FOLDER]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from sweeps._command_line import report_errors, storage_of, sweep_parser

_EXAMPLES = """\
examples:
  python -m sweeps.repair coco_hsplid
  python -m sweeps.repair coco_hsplid storage=/data/runs

Takes what there is of the study's backup, MLflow's journal, MLflow itself and trials.parquet, and
says of each trial where it is from, and what could not be found. The damaged file is moved aside,
and nothing is deleted. A study that is whole is left as it is.
"""


def _parser() -> argparse.ArgumentParser:
    return sweep_parser(
        "sweeps.repair",
        "Rebuild the study of a sweep after its file was damaged or lost.",
        _EXAMPLES,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None reads those of the process.

    Returns:
        The exit code: 0 the study is whole, 2 it cannot be rebuilt, or a mistake in the call.
    """
    arguments = _parser().parse_intermixed_args(argv)
    return report_errors(lambda: _run(arguments), debug=arguments.debug)


def _run(arguments: argparse.Namespace) -> int:
    import optuna

    from sweeps.study.rebuild import rebuild
    from sweeps.study.stored_sweep import find_folder
    from sweeps.study.study import sole_driver

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = find_folder(arguments.sweep, storage_of(arguments.overrides))
    with sole_driver(folder):
        for line in rebuild(folder):
            sys.stdout.write(f"{line}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
