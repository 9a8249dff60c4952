"""The Ray Tune trainable: one epoch of a :class:`Trial` per step."""

from __future__ import annotations

import json
import time
import traceback
from pathlib import Path
from typing import Any, TypedDict

import torch
from ray import tune

from hsplid_core.errors import SaliencyError
from trainables.checkpoints import STATE_FILE, read_state, write_state
from trainables.config import ParameterValue, TrialConfig
from trainables.trial import Trial

# Keys of a result: the epoch's metrics are nested, apart from Ray's own bookkeeping.
METRICS = "metrics"
FAILURE = "failure"
TRACEBACK = "traceback"
SECONDS = "trial_seconds"
# The tables of a finished trial, as one JSON text: Ray flattens what it can look into.
TABLES = "tables"


class Assignment(TypedDict):
    """What the searcher hands to a worker.

    Attributes:
        number: The trial's number in the study.
        base: The sweep's configuration.
        parameters: What this trial changes of it, by dotted path.
        threads: CPU threads for torch.
        resume_from: Checkpoint file of an interrupted attempt, if there is one.
    """

    number: int
    base: TrialConfig
    parameters: dict[str, ParameterValue]
    threads: int
    resume_from: str | None


class SweepTrainable(tune.Trainable):
    """Runs one trial after another in the same process; nothing of one stays for the next.

    Whatever goes wrong inside a trial ends it with a result that names the cause, so the cause
    reaches the study and Ray restarts only what lost its process.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Take an assignment; the trial is built in its first step."""
        self._assignment: Assignment = config["assignment"]
        self._trial: Trial | None = None
        self._state: dict[str, Any] | None = None
        self._seconds = 0.0
        if resume_from := self._assignment["resume_from"]:
            self._restore(Path(resume_from))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Drop the finished trial and take the next one."""
        self.setup(new_config)
        return True

    def _build(self) -> Trial:
        # Two trials on two cores would otherwise start four threads and fight over them.
        torch.set_num_threads(self._assignment["threads"])
        trial = Trial(self._assignment["base"].with_parameters(self._assignment["parameters"]))
        if self._state is not None:
            trial.load_state_dict(self._state)
            self._state = None
        return trial

    def step(self) -> dict[str, Any]:
        """Run one epoch; the result says ``done`` after the last one or after a failure."""
        begin = time.perf_counter()
        try:
            if self._trial is None:
                self._trial = self._build()
            result: dict[str, Any] = {METRICS: self._trial.epoch(), "done": self._trial.finished}
            if self._trial.finished and self._trial.tables:
                result[TABLES] = json.dumps(self._trial.tables, allow_nan=False)
        except Exception as error:
            result = {**_failure(error), "done": True}
        self._seconds += time.perf_counter() - begin
        return {**result, SECONDS: self._seconds}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the state after the last finished epoch."""
        if self._trial is not None:
            state = {**self._trial.state_dict(), "seconds": self._seconds}
            write_state(Path(checkpoint_dir) / STATE_FILE, state)

    def load_checkpoint(self, checkpoint: str | dict[str, Any] | None) -> None:
        """Go on from what :meth:`save_checkpoint` wrote."""
        if isinstance(checkpoint, str):
            self._restore(Path(checkpoint) / STATE_FILE)

    def _restore(self, path: Path) -> None:
        self._trial = None
        self._state = read_state(path)
        self._seconds = float(self._state.pop("seconds"))

    def cleanup(self) -> None:
        """Let go of the trial's memory."""
        self._trial = None


def _failure(error: Exception) -> dict[str, str]:
    name = type(error).__name__
    text = str(error) if isinstance(error, SaliencyError) else f"{name}: {error}"
    return {FAILURE: text.splitlines()[0] if text else name, TRACEBACK: traceback.format_exc()}
