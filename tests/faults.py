"""Methods that go wrong on purpose, for the tests of what a sweep does about it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from hsplid_core.config import Section
from hsplid_core.methods import ForwardPass, Shape, Summand, Term


class _Faulty(Term):
    def __init__(self, config: FaultyConfig) -> None:
        super().__init__()
        self.config = config
        self.epoch = 0

    def start_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def forward(self, step: ForwardPass) -> list[Summand]:
        config = self.config
        if self.epoch >= config.from_epoch:
            if config.mib_per_image:
                size = int(config.mib_per_image * 2**20) * len(step.batch.target)
                torch.empty(size, dtype=torch.uint8, device=step.logits.device)
            if len(step.batch.target) > config.max_images:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            if config.raises:
                raise KeyError("a mistake in somebody's method")
            if config.diverges:
                return [Summand("nan", 1.0, step.logits.sum() * torch.nan)]
        return [Summand("zero", 1.0, 0.0 * step.logits.sum())]


@dataclass(frozen=True, kw_only=True)
class FaultyConfig(Section):
    """Which fault, and from which epoch on (from 0)."""

    from_epoch: int = 0
    max_images: int = 10**6
    mib_per_image: float = 0.0
    raises: bool = False
    diverges: bool = False

    def build(self, shape: Shape) -> Term:
        return _Faulty(self)


class _Gate(Term):
    def __init__(self, config: GateConfig) -> None:
        super().__init__()
        self.folder = Path(config.folder)

    def start_epoch(self, epoch: int) -> None:
        trial = Path.cwd().name  # Ray Tune's folder of the trial
        with (self.folder / "diary.txt").open("a") as diary:
            diary.write(f"{trial} {os.getpid()} {epoch}\n")
        while epoch >= self._open_until(trial):
            time.sleep(0.05)

    def _open_until(self, trial: str) -> int:
        own = self.folder / trial
        return int((own if own.is_file() else self.folder / "all").read_text())

    def forward(self, step: ForwardPass) -> list[Summand]:
        return [Summand("zero", 1.0, 0.0 * step.logits.sum())]


@dataclass(frozen=True, kw_only=True)
class GateConfig(Section):
    """A method that writes down each epoch it begins, and waits until a test lets it.

    Attributes:
        folder: Where ``diary.txt`` is written: trial, process and epoch (from 0). A file with the
            trial's name, or else ``all``, says before which epoch to wait.
    """

    folder: str

    def build(self, shape: Shape) -> Term:
        return _Gate(self)
