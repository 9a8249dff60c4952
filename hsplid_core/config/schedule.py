"""Learning-rate schedule of a training run, as typed and checked values."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from hsplid_core.config.rules import MOST_EPOCHS, Section, check, within


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig(Section):
    """How the learning rate changes while a model trains.

    ``training.learning_rate`` is the rate that the schedule scales: the first one after a warm-up,
    or the triangle's peak.

    Attributes:
        kind: ``constant``; ``cosine``, half a wave down to ``final``; ``step``, times ``factor``
            at certain epochs; ``triangle``, up from 0 in a line and back to 0, as Hold me tight!
            trains (2002.06349).
        per: Change the rate after each step or after each epoch only.
        warmup_epochs: Epochs in which the rate first rises in a line; what follows counts its
            epochs from their end.
        warmup_start: First rate of that rise as a share of the learning rate.
        final: Last rate of the cosine as a share of the learning rate.
        step_epochs: Epochs between two steps down.
        milestones: Epochs after which the rate steps down, instead of every ``step_epochs``.
        factor: What a step down multiplies the rate by.
        peak: Where the triangle has its peak, as a share of all steps (the released code of Hold
            me tight!: 2/5).
    """

    kind: Literal["constant", "cosine", "step", "triangle"] = "constant"
    per: Literal["step", "epoch"] = "step"
    warmup_epochs: int = 0
    warmup_start: float = 0.01
    final: float = 0.0
    step_epochs: int = 30
    milestones: tuple[int, ...] = ()
    factor: float = 0.1
    peak: float = 0.4

    def __post_init__(self) -> None:
        marks = self.milestones
        check(
            [
                *within(self, 0, MOST_EPOCHS, "warmup_epochs"),
                (
                    # At 0 the first steps would do nothing but wait.
                    0 < self.warmup_start <= 1,
                    f"warmup_start is {self.warmup_start}: use a share in (0, 1]",
                ),
                # Above 1 the rate would rise, which no cosine is meant to do.
                (0 <= self.final <= 1, f"final is {self.final}: use a share in [0, 1]"),
                *within(self, 1, MOST_EPOCHS, "step_epochs"),
                (
                    all(1 <= mark <= MOST_EPOCHS for mark in marks)
                    and all(earlier < later for earlier, later in pairwise(marks)),
                    f"milestones is {list(marks)}: use epochs from 1 on, in ascending order",
                ),
                # A factor of 1 would change nothing, and one above it would go up.
                (0 < self.factor < 1, f"factor is {self.factor}: use a value in (0, 1)"),
                (0 < self.peak < 1, f"peak is {self.peak}: use a share between 0 and 1"),
                (
                    self.kind != "triangle" or self.per == "step",
                    f"per is {self.per}: a triangle ends at 0, and a whole epoch would train at "
                    "that rate; use step",
                ),
                (
                    self.kind != "triangle" or self.warmup_epochs == 0,
                    f"warmup_epochs is {self.warmup_epochs}: a triangle begins at 0 by itself, "
                    "use 0",
                ),
            ]
        )
