"""Live report of a running sweep, written anew as trials end, in a process that gives way.

That process is the command ``sweeps.report``, at the lowest priority, at most once in a minute.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna

from sweeps.engine.context import SweepContext
from sweeps.outputs.write_all import write_all
from sweeps.trials.record import TrialRecord
from trainables.config import ParameterValue

_LOWEST_PRIORITY = 19


class LiveReport:
    """A listener that keeps the report of a running sweep up to date.

    Args:
        folder: The sweep's folder.
        interval_s: Shortest time between two beginnings.
        first_s: Shortest time before the first: a sweep of seconds has its last page alone.
    """

    def __init__(self, folder: Path, *, interval_s: float = 60.0, first_s: float = 20.0) -> None:
        self._folder = folder
        self._interval_s = interval_s
        self._not_before = time.monotonic() + first_s
        self._process: subprocess.Popen[bytes] | None = None

    def sweep_started(self, records: Sequence[TrialRecord]) -> None:
        """Do nothing: what earlier runs left has its report."""

    def trial_started(
        self, number: int, parameters: Mapping[str, ParameterValue], *, resumed: bool
    ) -> None:
        """Do nothing."""

    def epoch_finished(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Do nothing: a page of every epoch would cost more than it tells."""

    def trial_finished(self, record: TrialRecord, left: Sequence[int] = ()) -> None:
        """Begin to write the report, unless that was done a moment ago."""
        is_busy = self._process is not None and self._process.poll() is None
        if is_busy or time.monotonic() < self._not_before:
            return
        self._not_before = time.monotonic() + self._interval_s
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sweeps.report", str(self._folder), "--running"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            preexec_fn=_give_way,
            # Control-C is for the sweep.
            start_new_session=True,
        )

    def sweep_finished(self, records: Sequence[TrialRecord], *, interrupted: bool) -> None:
        """Leave the page to whoever writes the last one."""
        self.stop()

    def wait(self) -> int | None:
        """Wait for the page that is being written; return the exit code, None without one."""
        if self._process is None:
            return None
        code = self._process.wait()
        self._process = None
        return code

    def stop(self) -> None:
        """Write no more; what is half written is left out."""
        self._not_before = float("inf")
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class LiveOutputs:
    """The outputs of a sweep: its report while it runs, and all of them at its end."""

    def __init__(self) -> None:
        self._live: LiveReport | None = None

    def listener(self, folder: Path) -> LiveReport:
        """Make the listener that keeps the report up to date.

        Args:
            folder: The sweep's folder.
        """
        self._live = LiveReport(folder)
        return self._live

    def write(
        self, context: SweepContext, study: optuna.Study, records: Sequence[TrialRecord]
    ) -> list[Path]:
        """Write the last report and all else; see :func:`sweeps.outputs.write_all.write_all`."""
        if self._live is not None:
            # Its page says that the sweep runs.
            self._live.stop()
        return write_all(context, study, records)


def _give_way() -> None:
    os.nice(_LOWEST_PRIORITY)
