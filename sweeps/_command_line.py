"""Command-line parts that commands share: errors as lines, ``--debug``, NAME, ``storage=``."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hsplid_core.bucket_path import AnyPath, any_path
from hsplid_core.errors import ConfigError, SaliencyError
from sweeps.terminal.stop_signals import GOES_ON, orderly_stop, stopped_by, stopped_exit_code

if TYPE_CHECKING:
    from sweeps.study.stored_sweep import StoredSweep

# What libraries raise where something outside of the program fails, or a file is not what it was.
# A command imports few of them, and only from one that is imported can an error come.
_FROM_OUTSIDE = (
    ("builtins", "OSError"),
    ("builtins", "UnicodeDecodeError"),
    ("json", "JSONDecodeError"),
    ("pyarrow.lib", "ArrowException"),
    ("sqlite3", "Error"),
    ("sqlalchemy.exc", "SQLAlchemyError"),
    ("mlflow.exceptions", "MlflowException"),
    ("ray.exceptions", "RayError"),
)
# A fault in what runs there, of which only the traceback tells.
_FROM_INSIDE = (("ray.exceptions", "RayTaskError"),)
_MAX_TEXT = 300


def command_parser(module: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Make the parser of a command, with ``--debug``.

    Args:
        module: The command's module, such as ``sweeps.pareto``.
        description: What it does, a sentence.
        examples: Text below the options.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_debug(parser)
    return parser


def sweep_parser(module: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Make the parser of a command on one sweep; arguments as of `command_parser`."""
    parser = command_parser(module, description, examples)
    parser.add_argument("sweep", metavar="NAME", help="name of a sweep, or its folder")
    parser.add_argument(
        "overrides", nargs="*", metavar="storage=FOLDER", help="where the sweeps are (runs)"
    )
    return parser


def add_debug(parser: argparse.ArgumentParser) -> None:
    """Let a command have ``--debug``, as each has."""
    parser.add_argument(
        "--debug", action="store_true", help="show where in the program an error comes from, too"
    )


def trial_numbers(text: str) -> tuple[int, ...]:
    """Read numbers of trials with commas, as ``--trials`` takes them."""
    return tuple(int(part) for part in text.split(","))


def report_errors(run: Callable[[], int], *, debug: bool, about: str = "") -> int:
    """Run a command; an error that its user can mend becomes one line, and exit code 2.

    Errors from outside of the program, such as of a disk, a database or a server, are among them,
    wherever they were not told better. Faults of the program keep their traceback.

    Args:
        run: The command.
        debug: Print the traceback in any case.
        about: Begins the line, where a command does several things.
    """
    try:
        return run()
    except Exception as error:
        line = _told(error)
        if line is None:
            raise
        if debug:
            traceback.print_exception(error)
        sys.stderr.write(f"error: {about}{line}\n")
        return 2


def _told(error: Exception) -> str | None:
    """Say in a line what went wrong; None where that is the program's fault."""
    if isinstance(error, SaliencyError):
        return str(error)
    if isinstance(error, _imported(_FROM_INSIDE)) or not isinstance(
        error, _imported(_FROM_OUTSIDE)
    ):
        return None
    text = _shortened((str(error).strip() or type(error).__name__).partition("\n")[0])
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{_shortened(str(error.filename))}: {error.strerror}"
    return f"{text} ({type(error).__name__}; --debug shows where)"


def _imported(names: Sequence[tuple[str, str]]) -> tuple[type[Exception], ...]:
    return tuple(getattr(sys.modules[m], name) for m, name in names if m in sys.modules)


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."


def run_resumable(run: Callable[[], int]) -> int:
    """Run a command that the same command line goes on with; its user or system may stop it.

    Returns:
        Its exit code; 130, 143 or 129 where SIGINT, SIGTERM or SIGHUP has ended it on the way.
    """
    with orderly_stop():
        try:
            return run()
        except (KeyboardInterrupt, SystemExit) as end:
            # Ray answers some signals by SystemExit.
            if isinstance(end, SystemExit) and stopped_by() is None:
                raise
            sys.stderr.write(f"{GOES_ON}\n")
            return stopped_exit_code()


def open_named(arguments: argparse.Namespace, *, complete: bool = True) -> StoredSweep:
    """Open the sweep that a command line names.

    Args:
        arguments: Of a parser by :func:`sweep_parser`.
        complete: Refuse a sweep without a complete trial.

    Raises:
        ConfigError: There is no such sweep, or none of its trials is complete.
    """
    from sweeps.study.stored_sweep import check_complete, open_sweep

    sweep = open_sweep(arguments.sweep, storage_of(arguments.overrides))
    if complete:
        check_complete(sweep)
    return sweep


def storage_of(texts: Sequence[str]) -> AnyPath:
    """Read ``storage=FOLDER`` from a command line, as ``sweeps.run`` takes it.

    Raises:
        ConfigError: Something else is set.
    """
    return read_places(texts, ("storage",)).get("storage", Path("runs"))


def read_places(texts: Sequence[str], names: Sequence[str]) -> dict[str, AnyPath]:
    """Read places such as ``storage=FOLDER`` from a command line.

    Args:
        texts: Words of the command line.
        names: What may be set.

    Raises:
        ConfigError: Something else is set.
    """
    from sweeps.spec.overrides import parse_overrides

    places: dict[str, AnyPath] = {}
    for override in parse_overrides(texts):
        if override.path not in names or not isinstance(override.value, str):
            allowed = " and ".join(f"{name}=FOLDER" for name in names)
            raise ConfigError(f"override {override.path}: only {allowed} can be given here")
        places[override.path] = any_path(override.value)
    return places
