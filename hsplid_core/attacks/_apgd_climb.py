"""One run of Auto-PGD: momentum steps whose length falls where the loss stalls.

From a start x_0 with step s = 2 epsilon, for each image on its own,

    z       = P(x_k + s d(g_k))
    x_{k+1} = P(x_k + a (z - x_k) + (1 - a) (x_k - x_{k-1})),    a = 0.75; x_1 = z,

with d the steepest direction of the norm and P the projection into the set. At checkpoints w_j,
an image whose loss rose in less than 75% of the steps since w_{j-1}, or whose best loss has not
changed since then although the step had not been halved there, goes back to its best iterate
with half the step.

Reference: Croce and Hein 2020 (arXiv 2003.01690), algorithm 1 and section 3.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from hsplid_core.attacks._ascent import is_better
from hsplid_core.attacks.balls import Ball, take
from hsplid_core.attacks.losses import Loss
from hsplid_core.attacks.scoring import Scorer

_MOMENTUM = 0.75
_RISING = 0.75  # share of steps that must raise the loss to keep the step's length


@dataclass
class _Climb:
    """Where the images that still climb are; every field is a row per image.

    The images carry over to a further step, `found` is what the attack would return.
    """

    row: Tensor
    target: Tensor
    goal: Tensor
    current: Tensor
    previous: Tensor
    gradient: Tensor
    loss: Tensor
    best: Tensor
    best_gradient: Tensor
    best_loss: Tensor
    step: Tensor  # [B, 1, 1, 1]
    rises: Tensor
    loss_at_checkpoint: Tensor
    halved: Tensor  # at the last checkpoint

    def take(self, kept: Tensor) -> _Climb:
        values = {field.name: take(getattr(self, field.name), kept) for field in fields(self)}
        return replace(self, **values)


def climb(
    scorer: Scorer,
    ball: Ball,
    start: Tensor,
    target: Tensor,
    goal: Tensor,
    loss: Loss,
    *,
    step: float,
    steps: int,
    samples: int,
    leave: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Climb a loss from a start in each image's ball.

    Args:
        scorer: The model.
        ball: The sets to stay in.
        start: Images in their sets, [B, C, H, W]; overwritten.
        target: True classes, or those to reach, int64, [B].
        goal: Classes that a targeted loss aims at, int64, [B].
        loss: What to climb.
        step: Length of the first step (published: 2 epsilon).
        steps: Steps of each image.
        samples: Passes that a gradient is averaged over.
        leave: Let an image go as soon as it fools, instead of climbing on.

    Returns:
        The best iterate of each image, fooling ones first, [B, C, H, W]; whether it fools, bool,
        [B]; and its loss, [B].
    """
    found = start.clone()
    fooled, value, gradient = scorer.differentiate(start, target, goal, loss, samples=samples)
    found_fooled, found_loss = fooled.clone(), value.clone()
    n_images = len(start)
    state = _Climb(
        row=torch.arange(n_images, device=start.device),
        target=target,
        goal=goal,
        current=start,
        previous=start.clone(),
        gradient=gradient,
        loss=value,
        best=start.clone(),
        best_gradient=gradient.clone(),
        best_loss=value.clone(),
        step=value.new_full((n_images, 1, 1, 1), step),
        rises=torch.zeros_like(target),
        loss_at_checkpoint=value.clone(),
        halved=torch.ones_like(fooled),  # no interval lies before the first to compare with
    )
    ends = _checkpoints(steps)
    begin = 0
    for number in range(1, steps + 1):
        if leave and fooled.any():
            kept = (~fooled).nonzero().squeeze(1)
            state, ball = state.take(kept), ball.take(kept)
        if not len(state.row):
            break
        _move(ball, state, first=number == 1)
        fooled, value = _evaluate(scorer, state, loss, samples=samples, last=number == steps)
        better = is_better(fooled, value, found_fooled[state.row], found_loss[state.row])
        rows = state.row[better]
        found[rows], found_loss[rows] = take(state.current, better), value[better]
        found_fooled[rows] |= fooled[better]
        if number in ends:
            _checkpoint(state, length=number - begin)
            begin = number
    return found, found_fooled, found_loss


def _move(ball: Ball, state: _Climb, *, first: bool) -> None:
    moved = state.current + state.step * ball.direction(state.gradient)
    ball.project_(moved)
    if not first:
        inertia = state.current - state.previous
        moved.sub_(state.current).mul_(_MOMENTUM).add_(inertia, alpha=1 - _MOMENTUM)
        ball.project_(moved.add_(state.current))
    state.previous, state.current = state.current, moved


def _evaluate(
    scorer: Scorer, state: _Climb, loss: Loss, *, samples: int, last: bool
) -> tuple[Tensor, Tensor]:
    """Score the current iterates, and remember the best of each."""
    if last and samples == 1:  # no step follows: the gradient would be thrown away
        return scorer.score(state.current, state.target, state.goal, loss)
    fooled, value, gradient = scorer.differentiate(
        state.current, state.target, state.goal, loss, samples=samples
    )
    state.rises += value > state.loss
    better = value > state.best_loss
    wide = better.view(-1, 1, 1, 1)
    state.best = torch.where(wide, state.current, state.best)
    state.best_gradient = torch.where(wide, gradient, state.best_gradient)
    state.best_loss = torch.where(better, value, state.best_loss)
    state.loss, state.gradient = value, gradient
    return fooled, value


def _checkpoint(state: _Climb, *, length: int) -> None:
    """Halve the step of the images that stall, and send them back to their best iterate."""
    few_rises = state.rises < _RISING * length
    stuck = ~state.halved & (state.best_loss <= state.loss_at_checkpoint)
    stalled = few_rises | stuck
    wide = stalled.view(-1, 1, 1, 1)
    state.step = torch.where(wide, state.step / 2, state.step)
    state.current = torch.where(wide, state.best, state.current)
    state.gradient = torch.where(wide, state.best_gradient, state.gradient)
    state.loss = torch.where(stalled, state.best_loss, state.loss)
    state.halved = stalled
    state.loss_at_checkpoint = state.best_loss.clone()
    state.rises = torch.zeros_like(state.rises)


def _checkpoints(steps: int) -> frozenset[int]:
    """Ends of the intervals: p_{j+1} = p_j + max(p_j - p_{j-1} - 3, 6) percent of the steps."""
    percents = [0, 22]  # whole numbers, for 0.22 + 0.19 + 0.16 is more than 0.57
    while percents[-1] < 100:
        percents.append(percents[-1] + max(percents[-1] - percents[-2] - 3, 6))
    return frozenset(-(-percent * steps // 100) for percent in percents[1:] if percent <= 100)
