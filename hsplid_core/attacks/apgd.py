"""Auto-PGD: projected gradient ascent that chooses its own step size.

Three of AutoAttack's members are this attack: APGD-CE, APGD-DLR and the targeted APGD-T, which
aims at the likeliest wrong classes one after another.

Reference: Croce and Hein 2020, Reliable evaluation of adversarial robustness with an ensemble of
diverse parameter-free attacks (arXiv 2003.01690).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from torch import Tensor

from hsplid_core.attacks._ascent import is_better
from hsplid_core.attacks._attacked_batch import AttackedBatch
from hsplid_core.attacks._setting_rules import Rule, count_rules, iterate_rule
from hsplid_core.attacks.attack import Attack
from hsplid_core.attacks.balls import Ball, take
from hsplid_core.attacks.losses import LOSSES, Loss, LossName, ranked_goals
from hsplid_core.attacks.model_queries import ModelQueries

_STREAM = 1 << 20  # of its random starts: PGD's restarts use the streams from 0 on

_SHORT = 0.25  # share of the steps that a run from near the border takes


@dataclass(frozen=True, kw_only=True)
class APGD(Attack):
    """Settings of an Auto-PGD attack; calling it attacks a batch, as every `Attack`.

    Attributes:
        loss: What to climb: "ce", "dlr" (three classes or more), "targeted_dlr" (four or more)
            or "targeted_ce". A targeted loss makes one run for each goal.
        n_targets: Goals of a targeted loss: the likeliest wrong classes of the clean image, at
            most all of them.
        steps: Gradient steps of a run (AutoAttack: 100).
        restarts: Runs for each goal, from other random starts; each goes on with the images that
            still stand.
        samples: Passes that a gradient is averaged over (EOT), for models with random outputs;
            costs nothing on models without.
        iterate: What an attack returns: the "best" iterate of all steps, as published, or the
            "first_fooling", where an image leaves the batch as soon as it fools the model. Both
            fool on the same images.
        targeted: As in `Attack`, by "ce" or "dlr"; a targeted loss chooses goals of its own.

    Raises:
        ConfigError: A value is out of range; all faults are named together.
    """

    loss: LossName = "ce"
    n_targets: int = 9
    steps: int = 100
    restarts: int = 1
    samples: int = 1
    iterate: Literal["best", "first_fooling"] = "first_fooling"

    def rules(self) -> list[Rule]:
        """List what must hold for the settings."""
        return [
            (self.loss in LOSSES, f"loss is {self.loss!r}: use one of {sorted(LOSSES)}"),
            *count_rules(
                n_targets=self.n_targets,
                steps=self.steps,
                restarts=self.restarts,
                samples=self.samples,
            ),
            iterate_rule(self.iterate, ("best", "first_fooling")),
            (
                not (self.targeted and self.has_goals),
                f"targeted is set and loss is {self.loss!r}, which chooses goals of its own: "
                "use 'ce' or 'dlr'",
            ),
        ]

    @property
    def has_goals(self) -> bool:
        """Whether each run aims at one of the likeliest wrong classes."""
        return self.loss.startswith("targeted")

    def stopping_early(self) -> APGD:
        """Return the same attack with the first iterate that fools."""
        return replace(self, iterate="first_fooling")

    def search(self, attempt: AttackedBatch) -> Tensor:
        """Make one run after another, each on the images that stand; see `Attack`.

        Where nothing fools, the best of the first run returns.
        """
        if self.has_goals:
            logits = attempt.scorer.logits(attempt.image)
            goals = ranked_goals(logits, attempt.target, self.n_targets)  # [B, T]
        else:
            goals = attempt.target.unsqueeze(1)
        result = attempt.image.clone()
        standing = torch.arange(len(attempt), device=attempt.image.device)
        runs = [(rank, again) for again in range(self.restarts) for rank in range(goals.shape[1])]
        for number, (rank, again) in enumerate(runs):
            if not len(standing):
                break
            part = attempt if number == 0 else attempt.take(standing)
            noise = part.noise(_STREAM + again).view(part.image.shape)
            start = part.ball(self.norm, self.epsilon).random_point(noise)
            attacked, fooled = self._climb(
                part, start, goals[standing, rank], 2 * self.epsilon, self.steps
            )
            written = fooled | (number == 0)
            result[standing[written]] = take(attacked, written)
            standing = standing[~fooled]
        return result

    @property
    def goes_on(self) -> bool:
        """Whether it can `resume`: with goals, each has a way of its own."""
        return not self.has_goals

    def resume(self, attempt: AttackedBatch, start: Tensor) -> Tensor:
        """Climb from images near the border, with fewer and shorter steps; see `Attack`."""
        steps = max(1, round(_SHORT * self.steps))
        again = replace(attempt, scorer=ModelQueries(attempt.scorer.model, targeted=self.targeted))
        attacked, _ = self._climb(again, start, again.target, self.epsilon / 2, steps)
        return attacked

    def _climb(
        self, attempt: AttackedBatch, start: Tensor, goal: Tensor, step: float, steps: int
    ) -> tuple[Tensor, Tensor]:
        """Climb from a start: the best iterates, [B, C, H, W], and whether they fool, [B]."""
        ball = attempt.ball(self.norm, self.epsilon)
        attacked, fooled, _ = climb(
            attempt.scorer,
            ball,
            ball.project_(start.clone()),
            attempt.target,
            goal,
            LOSSES[self.loss],
            step=step,
            steps=steps,
            samples=self.samples,
            leave=self.iterate == "first_fooling",
        )
        return attacked, fooled


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
    scorer: ModelQueries,
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
    scorer: ModelQueries, state: _Climb, loss: Loss, *, samples: int, last: bool
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
