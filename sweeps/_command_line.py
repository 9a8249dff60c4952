"""Command-line parts that the commands on stored sweeps share: NAME, ``storage=``, errors."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hsplid_core.bucket_path import AnyPath, any_path
from hsplid_core.errors import ConfigError, SaliencyError

if TYPE_CHECKING:
    from sweeps.study.stored_sweep import StoredSweep


def sweep_parser(module: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Make the parser of a command on one sweep.

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
    parser.add_argument("sweep", metavar="NAME", help="name of a sweep, or its folder")
    parser.add_argument(
        "overrides", nargs="*", metavar="storage=FOLDER", help="where the sweeps are (runs)"
    )
    return parser


def report_errors(run: Callable[[], int]) -> int:
    """Run a command; an error that its user can mend becomes one line, and exit code 2."""
    try:
        return run()
    except SaliencyError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


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
