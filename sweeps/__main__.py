"""All commands by one name: ``python -m sweeps COMMAND``, or ``saliency-sweeps COMMAND``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from hsplid_core.errors import did_you_mean
from sweeps._completion import complete, is_asked

# What each does; the command is the module of its name.
COMMANDS = {
    "run": "run a sweep, or go on with it",
    "control": "steer a running sweep: add points, stop trials, pause, finish",
    "submit": "send a sweep to a Ray cluster or to SLURM",
    "jobs": "list, follow and stop sweeps that run as such jobs",
    "pareto": "choose among a sweep's trials: front, hypervolume, knee",
    "confirm": "train the front again, and judge it on the test split",
    "claims": "try the papers' claims, and say which are reproduced",
    "report": "write a sweep's report, one HTML page",
    "evaluate": "judge saved models",
    "ui": "look at a sweep in MLflow's UI",
    "sync": "deliver to MLflow what a killed sweep left",
    "repair": "rebuild a study whose file was lost or damaged",
    "data": "get data sets ready: list, fetch, check, build",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first word names.

    Args:
        argv: Arguments without the program's name; None reads those of the process.

    Returns:
        The command's exit code; 2 where there is no such command.
    """
    if is_asked():
        complete(COMMANDS)
    words = sys.argv[1:] if argv is None else argv
    command = words[0] if words else None
    if command in COMMANDS:
        code: int = importlib.import_module(f"sweeps.{command}").main(words[1:])
        return code
    if command in (None, "-h", "--help"):
        sys.stdout.write(_usage())
        return 0 if command else 2
    hint = did_you_mean(str(command), COMMANDS, cutoff=0.4)
    sys.stderr.write(f"error: {command} is no command: use {', '.join(COMMANDS)}{hint}\n")
    return 2


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items()]
    return (
        "usage: saliency-sweeps COMMAND ...  or  python -m sweeps COMMAND ...\n\n"
        + "\n".join(lines)
        + "\n\nexamples:\n"
        "  python -m sweeps run coco_hsplid trials=30\n"
        "  python -m sweeps run --help       what a command takes\n"
    )


if __name__ == "__main__":
    sys.exit(main())
