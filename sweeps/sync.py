"""Deliver what a killed sweep left: ``python -m sweeps.sync [NAME]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hsplid_core.errors import ConfigError
from sweeps._command_line import command_parser, report_errors, storage_of

_EXAMPLES = """\
examples:
  python -m sweeps.sync                     every sweep in runs/
  python -m sweeps.sync coco_hsplid
  python -m sweeps.sync coco_hsplid storage=/data/runs
  python -m sweeps.sync --again             to an MLflow whose database was lost

A sweep writes its log into a journal beside its study before training goes on, and MLflow gets it
from there. This delivers what a killed driver, or a server that did not answer, left in it, and
registers the front's models where all trials had ended. Doing it again changes nothing; running
the sweep again does it, too. The journal keeps what was delivered.
"""


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "sweeps.sync", "Deliver to MLflow what is still in the journals of sweeps.", _EXAMPLES
    )
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="NAME",
        help="a sweep, or its folder; without one, every sweep of the storage; storage=FOLDER "
        "names another folder of all sweeps",
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="deliver also what was delivered before, to an MLflow that has lost it",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None reads those of the process.

    Returns:
        The exit code: 0 all is delivered, 2 something is not, or a mistake in the call.
    """
    arguments = _parser().parse_args(argv)
    return report_errors(lambda: _run(arguments), debug=arguments.debug)


def _run(arguments: argparse.Namespace) -> int:
    names = [text for text in arguments.arguments if "=" not in text]
    storage = storage_of([text for text in arguments.arguments if "=" in text])
    from sweeps.storage.bucket_mirror import local_folder
    from sweeps.study.stored_sweep import find_folder
    from sweeps.study.study import study_folders

    folders = [find_folder(name, storage) for name in names]
    if not names:
        folders = study_folders(local_folder(storage))
    if not folders:
        raise ConfigError(f"{storage} has no sweeps; storage=FOLDER names another place")
    # An error of one does not stop the others.
    return max(
        report_errors(
            partial(_sync, folder, again=arguments.again),
            debug=arguments.debug,
            about=f"{folder.name}: ",
        )
        for folder in folders
    )


def _sync(folder: Path, *, again: bool) -> int:
    """Complete one sweep in MLflow and say so in lines."""
    from sweeps.outputs.late_delivery import deliver
    from sweeps.study.study import SweepBusyError, sole_driver

    try:
        with sole_driver(folder):
            for line in deliver(folder, again=again):
                sys.stdout.write(f"{folder.name}: {line}\n")
    except SweepBusyError as error:
        raise SweepBusyError(
            "a driver runs this sweep, and delivers its log itself; wait for it, or stop it"
        ) from error
    return 0


if __name__ == "__main__":
    sys.exit(main())
