"""The Ray Tune trainable: one epoch of a :class:`Trial` per step."""

from __future__ import annotations

import json
import logging
import random
import time
import traceback
from pathlib import Path
from typing import Any, ClassVar, NotRequired, TypedDict

import numpy as np
import torch
from ray import tune

from hsplid_core.bucket_path import SCHEME, AnyPath, BucketPath, any_path
from hsplid_core.errors import CheckpointError, SaliencyError, TrainingDivergedError
from hsplid_core.models.state_files import STATE_FILE, read_state, write_state
from hsplid_core.training import pick_device, set_arithmetic
from trainables.checkpoints import IDENTITY, TrialIdentity, newest_readable
from trainables.config import ParameterValue, TrialConfig
from trainables.gpu_memory import free_memory, gpu_memory_mib, is_out_of_memory, limit_memory
from trainables.internals import storage_of
from trainables.resource_usage import Usage
from trainables.result_keys import (
    ASSIGNMENT,
    CAUSE,
    ENDED,
    FAILURE,
    GPU_MEMORY,
    METRICS,
    PARTS,
    TABLES,
    TRACEBACK,
    TRIAL_SECONDS,
    USAGE,
    WORKER_LOST,
)
from trainables.trial import Trial

logger = logging.getLogger(__name__)


class Assignment(TypedDict):
    """What the searcher hands to a worker.

    Attributes:
        number: The trial's number in the study.
        parameters: What this trial changes of the sweep's configuration, by dotted path.
        threads: CPU threads for torch.
        resume_from: Checkpoint file of an interrupted attempt, or its URL, if there is one.
        memory_retries: How often a batch may be halved when the GPU's memory is not enough; never,
            if left out.
        memory_share: Part of the GPU's memory that the trial may take; None or left out for all.
        losses: How often the trial lost its worker without finishing an epoch in between, where
            that is too often: it then only tells so.
        sweep: Identity of the sweep, which its checkpoints carry; none, if left out.
        replicate: Which of the trial's seeds it has, from 0; the first, if left out.
    """

    number: int
    parameters: dict[str, ParameterValue]
    threads: int
    resume_from: str | None
    memory_retries: NotRequired[int]
    memory_share: NotRequired[float | None]
    losses: NotRequired[int]
    sweep: NotRequired[str | None]
    replicate: NotRequired[int]


class SweepTrainable(tune.Trainable):
    """Runs one trial after another in the same process; nothing of one stays for the next.

    Whatever goes wrong inside a trial ends it with a result that names the cause, so the cause
    reaches the study and Ray restarts only what lost its process. Only a batch too large for the
    GPU's memory is tried again here: in twice as many parts, from the last finished epoch.

    Attributes:
        base: The sweep's configuration, which a sweep's own subclass has: Ray copies, pickles and
            prints what is in a trial's config a dozen times.
    """

    base: ClassVar[TrialConfig]

    def setup(self, config: dict[str, Any]) -> None:
        """Take an assignment; the trial is built in its first step."""
        self._assignment: Assignment = config[ASSIGNMENT]
        self._trial: Trial | None = None
        # What a trial is (re)built from: a state in memory, or the checkpoint saved last.
        self._state: dict[str, Any] | None = None
        self._saved: Any = None  # a Checkpoint of Ray
        self._seconds = 0.0
        self._usage = Usage()
        self._parts = 1
        if resume_from := self._assignment["resume_from"]:
            self._restore(any_path(resume_from))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Drop the finished trial and take the next one."""
        self._trial = None
        free_memory()
        self.setup(new_config)
        return True

    def _build(self) -> Trial:
        # Two trials on two cores would otherwise start four threads and fight over them.
        torch.set_num_threads(self._assignment["threads"])
        limit_memory(self._assignment.get("memory_share"))
        config = self.base.with_parameters(self._assignment["parameters"])
        _reset_process(config)
        trial = Trial(_in_parts(config, self._parts))
        if self._state is None and self._saved is not None:
            with self._saved.as_directory() as folder:
                self._restore(Path(folder) / STATE_FILE)
        if self._state is None:
            return trial
        try:
            trial.load_state_dict(self._state)
        except CheckpointError as error:
            number = self._assignment["number"]
            logger.warning("trial %d starts anew, not from its checkpoint: %s", number, error)
            self._state = self._saved = None
            return self._build()
        return trial

    def step(self) -> dict[str, Any]:
        """Run one epoch; the result says ``done`` after the last one or after a failure."""
        if losses := self._assignment.get("losses"):
            text = (
                f"its worker was lost, or could not write or read a checkpoint, {losses} times "
                "without finishing an epoch in between"
            )
            return {FAILURE: text, CAUSE: WORKER_LOST, "done": True, ENDED: True}
        begin = time.perf_counter()
        try:
            with self._usage.watched(pick_device(self.base.training.device)):
                result = self._epoch()
            result[USAGE] = {"cpu_seconds": self._usage.cpu_seconds, **self._usage.epoch}
        except Exception as error:
            # Half an epoch is no state to go on from.
            self._trial = None
            result = {**_failure(error), "done": True, ENDED: True}
        self._seconds += time.perf_counter() - begin
        if self._parts > 1:
            result[PARTS] = self._parts
        return {**result, TRIAL_SECONDS: self._seconds}

    def _epoch(self) -> dict[str, Any]:
        while True:
            try:
                if self._trial is None:
                    self._trial = self._build()
                result: dict[str, Any] = {METRICS: self._trial.epoch()}
                break
            except Exception as error:
                if not is_out_of_memory(error) or not self._may_halve():
                    raise
            # Outside of the handler: the exception holds on to the tensors of the failed step.
            self._trial = None
            self._parts *= 2
            free_memory()
        if (memory := gpu_memory_mib()) is not None:
            result[GPU_MEMORY] = memory
        if self._trial.finished:
            result |= {"done": True, ENDED: True}
            if self._trial.tables:
                result[TABLES] = json.dumps(self._trial.tables, allow_nan=False)
        return result

    def _may_halve(self) -> bool:
        parameters = self._assignment["parameters"]
        config = self.base.with_parameters(parameters).training
        parts = 2 * self._parts * config.accumulation
        return 2 * self._parts <= 2 ** self._assignment.get("memory_retries", 0) and (
            parts <= config.batch_size // 2
        )

    def save(self, checkpoint_dir: str | None = None) -> Any:
        """Save as Ray does, and remember where."""
        result = super().save(checkpoint_dir)
        if self._trial is not None:
            self._saved, self._state = result.checkpoint, None
        return result

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the state after the last finished epoch."""
        if self._trial is not None:
            own: dict[str, Any] = {
                "seconds": self._seconds,
                "cpu_seconds": self._usage.cpu_seconds,
                PARTS: self._parts,
            }
            if (identity := self._identity()) is not None:
                own[IDENTITY] = identity.described()
            write_state(Path(checkpoint_dir) / STATE_FILE, {**self._trial.state_dict(), **own})

    def restore(self, checkpoint_path: Any) -> None:
        """Go on from a checkpoint as Ray does; where its folder is gone, start anew."""
        if "losses" in self._assignment:
            return
        try:
            super().restore(checkpoint_path)
        except ValueError:  # what Ray says then
            self._iteration = 0

    def load_checkpoint(self, checkpoint: str | dict[str, Any] | None) -> None:
        """Go on from what :meth:`save_checkpoint` wrote, or from the one before if it is damaged.

        Without a whole one the trial starts anew.
        """
        if not isinstance(checkpoint, str):
            return
        try:
            self._restore(Path(checkpoint) / STATE_FILE)
        except CheckpointError:
            others = self._kept_in(Path(checkpoint)).glob(f"checkpoint_*/{STATE_FILE}")
            if (newest := newest_readable(others, self._identity())) is not None:
                self._restore(newest)

    def _identity(self) -> TrialIdentity | None:
        sweep = self._assignment.get("sweep")
        if sweep is None:
            return None
        return TrialIdentity(
            sweep=sweep,
            number=self._assignment["number"],
            parameters=self._assignment["parameters"],
        )

    def _kept_in(self, checkpoint: Path) -> AnyPath:
        """Return the folder of all checkpoints; of those in a bucket one was only copied here."""
        storage = storage_of(self)
        if storage is not None and storage.storage_filesystem.type_name == "s3":
            return BucketPath(f"{SCHEME}{storage.trial_fs_path}")
        return checkpoint.parent

    def _restore(self, path: AnyPath) -> None:
        state = read_state(path)
        self._trial, self._state = None, state
        self._seconds = float(state.pop("seconds", 0.0))
        self._usage.cpu_seconds = float(state.pop("cpu_seconds", 0.0))
        self._parts = max(self._parts, int(state.pop(PARTS, 1)))

    def cleanup(self) -> None:
        """Let go of the trial's memory."""
        self._trial = self._state = None


def _reset_process(config: TrialConfig) -> None:
    """Set back what a trial's code may have changed for the whole process."""
    random.seed(config.seed)
    np.random.seed(config.seed % 2**32)  # noqa: NPY002 (code of others still draws from it)
    torch.manual_seed(config.seed)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)
    set_arithmetic(config.training)


def _in_parts(config: TrialConfig, parts: int) -> TrialConfig:
    """Split the batches of training and evaluation to need less memory at a time."""
    if parts == 1:
        return config
    return config.with_parameters(
        {
            "training.accumulation": parts * config.training.accumulation,
            "evaluation.batch_size": max(1, config.evaluation.batch_size // parts),
        }
    )


def _failure(error: Exception) -> dict[str, str]:
    name = type(error).__name__
    text = str(error) if isinstance(error, SaliencyError) else f"{name}: {error}"
    return {
        FAILURE: text.splitlines()[0] if text else name,
        CAUSE: _cause(error),
        TRACEBACK: traceback.format_exc(),
    }


def _cause(error: Exception) -> str:
    if isinstance(error, TrainingDivergedError):
        return "diverged"
    return "out_of_memory" if is_out_of_memory(error) else "error"
