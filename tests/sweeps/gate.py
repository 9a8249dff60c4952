"""Holding the trials of a real sweep at an epoch, by the method ``tests.faults:GateConfig``."""

from __future__ import annotations

from pathlib import Path

GATE = "tests.faults:GateConfig"


class Gate:
    """Trials wait before an epoch until they are let through, and keep a diary.

    Args:
        folder: Made here; the method's.
        held: The epoch before which all wait at first, from 0.
    """

    def __init__(self, folder: Path, held: int) -> None:
        folder.mkdir()
        self.folder = folder
        self.open_until(held)

    def open_until(self, epoch: int, trial: int | None = None) -> None:
        name = "all" if trial is None else f"trial_{trial:05d}"
        temporary = self.folder / ".new"
        temporary.write_text(str(epoch))
        temporary.replace(self.folder / name)

    def begun(self, trial: int) -> dict[int, list[int]]:
        """Epochs that a trial began, by process in order."""
        diary = self.folder / "diary.txt"
        found: dict[int, list[int]] = {}
        for line in diary.read_text().splitlines() if diary.is_file() else []:
            name, pid, epoch = line.split()
            if name == f"trial_{trial:05d}":
                found.setdefault(int(pid), []).append(int(epoch))
        return found

    def waiting(self, trial: int, epoch: int) -> int | None:
        """The process in which a trial waits before an epoch; None while there is none."""
        last = list(self.begun(trial).items())[-1:]
        return next((pid for pid, epochs in last if epochs[-1] == epoch), None)
