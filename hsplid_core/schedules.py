"""Learning-rate schedules, by torch's own schedulers."""

from __future__ import annotations

from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    SequentialLR,
    StepLR,
)

from hsplid_core.config import TrainingConfig


def build_schedule(
    optimiser: Optimizer, config: TrainingConfig, *, steps_per_epoch: int
) -> LRScheduler | None:
    """Build the scheduler of an optimiser's learning rates.

    Args:
        optimiser: Fresh; its rates are set to the schedule's first.
        config: The schedule, the rate that it scales, and the number of epochs.
        steps_per_epoch: Steps of the optimiser in an epoch.

    Returns:
        A scheduler to be stepped after each step, or after each epoch where the schedule's ``per``
        says so; None where the rate stays as it is.
    """
    schedule = config.schedule
    unit = steps_per_epoch if schedule.per == "step" else 1
    warmup = schedule.warmup_epochs * unit
    if schedule.kind == "constant" and not warmup:
        return None
    phases: list[LRScheduler] = []
    if warmup:
        first = schedule.warmup_start
        phases.append(LinearLR(optimiser, start_factor=first, total_iters=warmup))
    if schedule.kind != "constant":  # a linear rise stays at its end by itself
        steps = max(1, config.epochs * unit - warmup)
        phases.append(_after_warmup(optimiser, config, steps, unit))
    return phases[0] if len(phases) == 1 else SequentialLR(optimiser, phases, [warmup])


def _after_warmup(
    optimiser: Optimizer, config: TrainingConfig, steps: int, unit: int
) -> LRScheduler:
    schedule = config.schedule
    if schedule.kind == "cosine":
        lowest = schedule.final * config.learning_rate
        return CosineAnnealingLR(optimiser, T_max=steps, eta_min=lowest)
    if schedule.kind == "triangle":
        return LambdaLR(optimiser, _triangle(steps, schedule.peak))
    if schedule.milestones:
        marks = [mark * unit for mark in schedule.milestones]
        return MultiStepLR(optimiser, milestones=marks, gamma=schedule.factor)
    return StepLR(optimiser, step_size=schedule.step_epochs * unit, gamma=schedule.factor)


def _triangle(steps: int, peak: float) -> Callable[[int], float]:
    """Make the factor of each step: no step trains at 0 but the last."""

    def factor(done: int) -> float:
        place = min(1.0, (done + 1) / steps)
        return place / peak if place <= peak else (1 - place) / (1 - peak)

    return factor
