"""Python interface: load a sweep, run it here or in the background, and read what it found.

    from sweeps import api

    sweep = api.load("coco_hsplid", "trials=8", {"training.epochs": 3})
    results = sweep.run()              # or: run = sweep.start(); ...; results = run.wait()
    results = api.open_results("coco_hsplid")
    table = results.trials()

A sweep runs in a process of its own, as from the command line: a notebook stays free, a script
needs no ``if __name__ == "__main__"``, and what happens to either does not end the sweep.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsplid_core.bucket_path import AnyPath, any_path
from hsplid_core.errors import ConfigError, SaliencyError
from hsplid_core.files import from_home

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from sweeps.fronts.selection import Selection
    from sweeps.spec.sweep_spec import SweepSpec
    from sweeps.study.stored_sweep import StoredSweep

_LOOKS_EVERY_S = 0.2
# By these rich takes a file for a terminal, and redraws its lines there.
_FORCED = ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE")
_STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGHUP)


class SweepStoppedError(SaliencyError):
    """A sweep was stopped before all its trials ran; running it again goes on."""


def load(
    name_or_file: str | Path, *overrides: str | Mapping[str, Any], small: bool = False
) -> Sweep:
    """Load a sweep and check it, as ``python -m sweeps.run`` does.

    Args:
        name_or_file: A named sweep, or a YAML file.
        overrides: Texts as on the command line, such as ``trials=8``, or mappings of dotted paths
            to values; the last of two wins.
        small: Take the sizes of the demo section with real data, too.

    Raises:
        ConfigError: Something is wrong; the message has one line for each fault.
    """
    from sweeps.search.checks import check_sweep
    from sweeps.spec.overrides import parse_overrides

    texts: list[str] = []
    for given in overrides:
        if isinstance(given, str):
            texts.append(given)
        else:
            texts += [f"{path}={json.dumps(value, default=str)}" for path, value in given.items()]
    checked = check_sweep(str(name_or_file), parse_overrides(texts), small=small)
    flags = ["--small"] * small
    return Sweep(spec=checked.spec, words=(str(name_or_file), *texts, *flags))


def open_results(name: str | Path, storage: str | AnyPath = "runs") -> Results:
    """Open what a sweep has found so far; it may still run.

    Args:
        name: A sweep's name, of which the newest study is taken, or its folder.
        storage: Folder of all sweeps, or ``s3://bucket/folder``.

    Raises:
        ConfigError: There is no such sweep, or it has no trial yet.
    """
    results = Results(str(name), any_path(str(storage)))
    results.stored()
    return results


@dataclass(frozen=True)
class Sweep:
    """A checked sweep that can be run.

    Attributes:
        spec: Its spec, overrides included.
        words: What stands for it on a command line.
    """

    spec: SweepSpec
    words: tuple[str, ...]

    def start(self, *, fresh: bool = False, allow_changed: bool = False) -> Run:
        """Run it in the background, or go on with it.

        Args:
            fresh: Start a new study beside an existing one.
            allow_changed: Go on although its spec, data or code has changed.
        """
        flags = ["--fresh"] * fresh + ["--allow-changed"] * allow_changed
        process, log = _start("run", [*self.words, *flags])
        storage = self.spec.storage
        here = from_home(storage).absolute() if isinstance(storage, Path) else storage
        return Run(process, log, Results(self.spec.name, here))

    def run(self, *, fresh: bool = False, allow_changed: bool = False) -> Results:
        """Run it to its end, and show how it goes.

        Control-C, or a notebook's interrupt, stops it in order; another call goes on.

        Args:
            fresh: Start a new study beside an existing one.
            allow_changed: Go on although its spec, data or code has changed.

        Raises:
            SaliencyError: The sweep cannot run; the message is the command's.
            SweepStoppedError: Something else has stopped it.
        """
        return self.start(fresh=fresh, allow_changed=allow_changed).wait(show=True)


@dataclass
class Run:
    """A sweep that runs in a process of its own.

    Attributes:
        process: That process.
        log: What it prints.
        results: What it has found so far.
    """

    process: subprocess.Popen[bytes]
    log: Path
    results: Results
    _shown: int = field(default=0, init=False)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def output(self) -> str:
        """All that it has printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """Ask it to stop in order, as Control-C does; its trials go on in the next run."""
        if self.is_running:
            self.process.send_signal(signal.SIGINT)

    def wait(self, *, show: bool = False) -> Results:
        """Wait for its end.

        Args:
            show: Show meanwhile what it prints.

        Raises:
            SaliencyError: It could not run; the message is the command's.
            SweepStoppedError: It was stopped before all trials ran.
        """
        try:
            while self.is_running:
                self._show(show)
                time.sleep(_LOOKS_EVERY_S)
        except KeyboardInterrupt:
            self.stop()
            self.process.wait()
            self._show(show)
            raise
        self._show(show)
        _check_ended(self.process.returncode, self.output)
        return self.results

    def _show(self, show: bool) -> None:
        if show and len(text := self.output) > self._shown:
            sys.stdout.write(text[self._shown :])
            sys.stdout.flush()
            self._shown = len(text)


@dataclass(frozen=True)
class Results:
    """What a sweep has found; each call looks at what there is by then.

    Attributes:
        name: The sweep's name, or its folder.
        storage: Where all sweeps are.
    """

    name: str
    storage: AnyPath

    def stored(self) -> StoredSweep:
        """Return the study with all that is known about it.

        Raises:
            ConfigError: The sweep has no trial yet.
        """
        from sweeps.study.stored_sweep import open_sweep

        return open_sweep(self.name, self.storage)

    @property
    def folder(self) -> Path:
        """The sweep's folder."""
        return self.stored().folder

    def trials(self) -> pd.DataFrame:
        """Return all trials, one a row, by number.

        The columns are ``state``, ``rank`` (1 on the front), ``objective/NAME``, ``param/PATH``,
        ``metric/NAME``, ``seconds`` and the others of ``sweeps.fronts.export``.
        """
        from sweeps.fronts.export import selection_table

        frame: pd.DataFrame = selection_table(self._selection()).to_pandas()
        return frame.set_index("number")

    def front(self) -> pd.DataFrame:
        """Return the trials that none dominates, with the columns of :meth:`trials`."""
        frame = self.trials()
        return frame[frame["rank"] == 1]

    def knee(self) -> int | None:
        """Return the number of the front's trial that is dearest to leave; None without one."""
        return self._selection().knee

    def hypervolume(self) -> float:
        """Return the hypervolume of the front, as ``python -m sweeps.pareto`` shows it."""
        return self._selection().hypervolume

    def model(self, trial: int) -> nn.Module:
        """Open a trial's model, in eval mode: float32 pixels in [0, 1], [B, C, H, W], to logits.

        Args:
            trial: Its number.

        Raises:
            ConfigError: It has no checkpoint, for those off the front are not kept.
        """
        from hsplid_core.models.state_files import read_state
        from hsplid_core.models.trained import rebuild

        checkpoint = self.stored().checkpoints.find(trial)
        if checkpoint is None:
            front = ", ".join(map(str, self.front().index))
            raise ConfigError(
                f"trial {trial} has no checkpoint: those of the front are kept, trials {front}"
            )
        return rebuild(read_state(checkpoint), source=str(checkpoint)).model

    def confirm(
        self, *, seeds: int = 5, trials: Sequence[int] = (), options: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Train configurations anew under new seeds, and judge them on the test split.

        Args:
            seeds: New seeds.
            trials: Numbers of the trials; the front by default.
            options: Further ones of ``python -m sweeps.confirm``: ``["--suite", "paper"]``.

        Returns:
            The numbers, as ``python -m sweeps.confirm --json`` ends with them.
        """
        chosen = ["--trials", ",".join(map(str, trials))] if trials else []
        words = [str(self.folder), "--seeds", str(seeds), "--json", *chosen, *options]
        process, log = _start("confirm", words)
        run = Run(process, log, self)
        run.wait()
        events = [line for line in run.output.splitlines() if line.startswith('{"event": "conf')]
        found: dict[str, Any] = json.loads(events[-1])
        return found

    def report(self, output: Path | None = None) -> Path:
        """Write the page about the sweep.

        Args:
            output: The file; ``report.html`` in the sweep's folder by default.

        Returns:
            The file.
        """
        from sweeps.outputs.report import write_report
        from sweeps.study.stored_sweep import check_complete

        sweep = self.stored()
        check_complete(sweep)
        return write_report(sweep, output=output)

    def _selection(self) -> Selection:
        from sweeps.fronts.selection import select

        sweep = self.stored()
        return select(sweep.records, sweep.objectives, start=sweep.start)


def _start(command: str, words: Sequence[str]) -> tuple[subprocess.Popen[bytes], Path]:
    """Start a command; what it prints goes into a file, so that it needs nobody who reads it."""
    with tempfile.NamedTemporaryFile(
        prefix=f"sweeps-{command}-", suffix=".log", delete=False
    ) as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"sweeps.{command}", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Methods and spaces of one's own are found where this process finds them.
            env={**_environment(), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            # Control-C reaches it by way of :meth:`Run.stop` alone, once.
            start_new_session=True,
        )
    return process, Path(log.name)


def _environment() -> dict[str, str]:
    """Return the environment, without a notebook's word that whatever is printed is in colour."""
    return {name: value for name, value in os.environ.items() if name not in _FORCED}


def _check_ended(code: int, output: str) -> None:
    if code == 0:
        return
    if code in _STOPPED:
        raise SweepStoppedError(f"it was stopped before all trials ran (exit code {code})")
    told = output.rpartition("error: ")[2].strip() if "error: " in output else output[-2000:]
    raise SaliencyError(told or f"exit code {code}")
