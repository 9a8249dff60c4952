"""Trainables that the engine's tests run: real trials, with something happening to them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any
from unittest import mock

import ray
import torch

from trainables.result_keys import METRICS
from trainables.trainable import SweepTrainable

TOTAL_MIB, PEAK_MIB = 24_000.0, 9_000.0


class OnCountedGpu(SweepTrainable):
    """A trial that takes its CPU for a GPU of 24,000 MiB, and needs 9,000 of them.

    All but the first wait until three of them run at once.
    """

    def setup(self, config: dict[str, Any]) -> None:
        mock.patch("trainables.gpu_memory.gpu_memory_mib", return_value=TOTAL_MIB).start()
        mock.patch("trainables.trainable.gpu_memory_mib", return_value=TOTAL_MIB).start()
        mock.patch("trainables.trial._peak_memory_mib", return_value=PEAK_MIB).start()
        self.limit = mock.patch("torch.cuda.set_per_process_memory_fraction").start()
        super().setup(config)

    def step(self) -> dict[str, Any]:
        number = self._assignment["number"]
        if number:
            meeting = Path(str(self.base.data.cache_dir)) / "meeting"
            meeting.mkdir(exist_ok=True)
            (meeting / str(number)).touch()
            deadline = time.monotonic() + 240
            while len(list(meeting.iterdir())) < 3:
                assert time.monotonic() < deadline, "three trials never ran at once"
                time.sleep(0.05)
        result = super().step()
        ((fraction,), _) = self.limit.call_args
        seen = {"fraction": fraction, "threads": torch.get_num_threads()}
        seen["spins"] = os.environ.get("OMP_WAIT_POLICY") != "PASSIVE"
        (gpu,) = ray.get_gpu_ids()
        return {**result, METRICS: {**result[METRICS], **seen, "gpu": gpu}}


class Killed(SweepTrainable):
    """A trial that kills its worker once before its second epoch, and always before its third."""

    def step(self) -> dict[str, Any]:
        once = Path(str(self.base.data.cache_dir)) / "killed"
        first = self.iteration == 1 and not once.exists()
        if first or (self.iteration == 2 and "losses" not in self._assignment):
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step()
