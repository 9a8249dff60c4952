"""Progress bars of the data commands: bars on a terminal, else a line now and then."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

_PAUSE_S = 10.0


class ProgressBar:
    """Shows how far several tasks are, one after the other or at once.

    Args:
        in_bytes: Whether bytes are counted, or things.
        console: Where people look; standard error by default, so that standard output holds only
            results.
    """

    def __init__(self, *, in_bytes: bool = False, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, markup=False, emoji=False, highlight=False)
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, float] = {}
        self._in_bytes = in_bytes
        counts: list[ProgressColumn] = (
            [DownloadColumn(), TransferSpeedColumn()] if in_bytes else [MofNCompleteColumn()]
        )
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            *counts,
            TimeRemainingColumn(),
            console=self._console,
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:  # elsewhere it would print an empty line
            self._bars.stop()

    def show(self, task: str, done: int, total: int | None) -> None:
        """Say how far a task is.

        Args:
            task: In words.
            done: Bytes or things done.
            total: All of them; None if unknown.
        """
        if not self._console.is_terminal:
            self._tell(task, done, total)
            return
        if task not in self._tasks:
            self._tasks[task] = self._bars.add_task(task, total=total)
        self._bars.update(self._tasks[task], completed=done, total=total)

    def _tell(self, task: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        last = self._told.get(task)
        if last is not None and done != total and now - last < _PAUSE_S:
            return
        self._told[task] = now
        if total is None and done == 0:
            self._console.print(f"{task} ...")
            return
        of = f" of {self._amount(total)}" if total is not None else ""
        self._console.print(f"{task}: {self._amount(done)}{of}")

    def _amount(self, count: int) -> str:
        return f"{count / 1e6:.1f} MB" if self._in_bytes else str(count)
