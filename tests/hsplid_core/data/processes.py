"""Run code in other Python processes that import this checkout."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


@contextlib.contextmanager
def started(
    code: str, *arguments: object, count: int = 1
) -> Iterator[list[subprocess.Popen[str]]]:
    """Start `python -c code arguments...` so many times; none outlives the block."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def outputs(code: str, *arguments: object, count: int = 1) -> list[str]:
    """Run `python -c code arguments...` so many times at once; returns what each printed."""
    printed = []
    with started(code, *arguments, count=count) as processes:
        for process in processes:
            text, errors = process.communicate()
            assert process.returncode == 0, errors
            printed.append(text)
    return printed
