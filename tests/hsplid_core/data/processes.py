"""Run code in other Python processes that import this checkout."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
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
    """Run a program in so many processes at once; returns what each printed.

    They are forked from one process that has imported what all need, as that takes seconds.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hsplid_core.data"])
    given = [str(argument) for argument in arguments]
    ends = [context.Pipe(duplex=False) for _ in range(count)]
    processes = [context.Process(target=_run, args=(code, given, end)) for _, end in ends]
    for process in processes:
        process.start()
    for _, end in ends:
        end.close()  # so that a process that dies ends the wait for it
    printed = [str(reader.recv()) for reader, _ in ends]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * count
    return printed


def _run(code: str, arguments: list[str], end: Connection) -> None:
    sys.argv = ["-c", *arguments]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {"__name__": "__main__"})
    end.send(printed.getvalue())
