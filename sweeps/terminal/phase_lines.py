"""Phase lines of a sweep: what it does before its first trial, said before it takes a while."""

from __future__ import annotations

import sys


def say_phase(phase: str, text: str, *, json_lines: bool) -> None:
    """Say that a phase begins.

    Args:
        phase: One word, such as ``Data``.
        text: What is done.
        json_lines: Whether standard output is for JSON alone.
    """
    stream = sys.stderr if json_lines else sys.stdout
    stream.write(f"{phase:<12} {text}\n")
    stream.flush()
