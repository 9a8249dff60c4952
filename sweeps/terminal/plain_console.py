"""Console that prints text as it is: paths, names and reasons come from outside."""

from __future__ import annotations

from rich.console import Console


def plain_console(*, stderr: bool = False, width: int | None = None) -> Console:
    """Make a console to which ``[bold]`` and ``:dog:`` are text, in lines and in tables.

    Args:
        stderr: Print to standard error.
        width: Characters of a line; None asks the terminal.
    """
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)
