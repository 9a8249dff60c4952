"""Restart of a command: the same command line anew, in the same process.

A library that has lost its servers may wait in the main thread for ever, or end the process when
it is shut down. What a sweep goes on from is on disk: a new beginning loses no finished epoch.
"""

from __future__ import annotations

import os
import sys

from sweeps.terminal.stop_signals import end_children, say_last

_RESTARTS = "SWEEP_RESTARTS"


def restarts() -> int:
    """Return how many times this process has begun anew."""
    return int(os.environ.get(_RESTARTS, "0"))


def can_restart() -> bool:
    """Tell whether this process is one of the commands, not a program that imports them."""
    spec = sys.modules["__main__"].__spec__
    return spec is not None and spec.name.startswith("sweeps.")


def restart(line: str) -> None:
    """Begin this command anew in the same process, without all that it has started.

    Args:
        line: Says why, on standard error.
    """
    os.environ[_RESTARTS] = str(restarts() + 1)
    say_last(line)
    end_children()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
