"""Projected gradient descent: steps along the loss's gradient, each pulled back into a ball.

From a start x_0 in the ball, T steps of

    x_{t+1} = P(x_t + s d(g_t)),    g_t = gradient of the cross-entropy at x_t,

with d the steepest direction of the norm (its sign for L-infinity), s the step size and P the
projection onto the ball, the region and [0, 1].

References: Madry et al. 2018 (arXiv 1706.06083); with a region, H-SPLID (arXiv 2510.20627)
and its published code, which adapts torchattacks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import Tensor

from hsplid_core.attacks._ascent import ASCENTS, Iterate, is_better
from hsplid_core.attacks._attacked_batch import AttackedBatch
from hsplid_core.attacks._setting_rules import Rule, count_rules, iterate_rule
from hsplid_core.attacks.attack import Attack
from hsplid_core.attacks.balls import Norm


@dataclass(frozen=True, kw_only=True)
class PGD(Attack):
    """Settings of a PGD attack; calling it attacks a batch, as every `Attack`.

    Attributes:
        steps: Gradient steps of one start, at least 1.
        step_size: Length of a step in pixel units (H-SPLID: 0.0156 whatever the epsilon).
        relative_step: Length of a step as a share of epsilon, instead of `step_size`. With
            neither, 2.5 / steps, which can cross the ball (Madry et al. 2018).
        random_start: Begin at a random point of the ball, not at the image.
        restarts: Starts per image, at least 1; each goes on with the images that still stand.
            More than one needs random starts.
        iterate: What an attack returns: the "last" iterate, as published; the "best", the one of
            largest loss with fooling ones first; or the "first_fooling", where an image leaves
            the batch as soon as it fools the model (the last where it never does): cheapest, and
            it breaks at least what the last iterate breaks.

    Raises:
        ConfigError: A value is out of range; all faults are named together.
    """

    steps: int = 10
    step_size: float | None = None
    relative_step: float | None = None
    random_start: bool = True
    restarts: int = 1
    iterate: Iterate = "last"

    def rules(self) -> list[Rule]:
        """List what must hold for the settings."""
        return [
            *count_rules(steps=self.steps, restarts=self.restarts),
            *(_step_rule("step_size", self.step_size)),
            *(_step_rule("relative_step", self.relative_step)),
            (
                self.step_size is None or self.relative_step is None,
                f"step_size is {self.step_size} and relative_step {self.relative_step}: "
                "give one of them",
            ),
            (
                self.restarts <= 1 or self.random_start,
                f"restarts is {self.restarts} without random_start: each would be the same; "
                "set random_start or use 1",
            ),
            iterate_rule(self.iterate, ASCENTS),
        ]

    @property
    def step(self) -> float:
        """Length of one step in pixel units."""
        if self.step_size is not None:
            return self.step_size
        share = 2.5 / self.steps if self.relative_step is None else self.relative_step
        return share * self.epsilon

    def stopping_early(self) -> PGD:
        """Return the same attack with the first iterate that fools."""
        return replace(self, iterate="first_fooling")

    def search(self, attempt: AttackedBatch) -> Tensor:
        """Attack from one start after another; see `Attack`."""
        result = self._run(attempt, restart=0)
        if self.restarts > 1:
            self._restart_(result, attempt)
        return result

    def _run(self, attempt: AttackedBatch, *, restart: int) -> Tensor:
        """Attack once from one start; returns new images."""
        ball = attempt.ball(self.norm, self.epsilon)
        if self.random_start:
            noise = attempt.noise(restart, more=1)
            # A start on the sphere itself would spend the steps on coming back: nearly all of a
            # ball's volume lies there, and all of it is far from where the loss is large.
            reach = noise[:, -1].abs().view(-1, 1, 1, 1) if self.norm == "l2" else 1.0
            start = ball.random_point(noise[:, :-1].reshape(attempt.image.shape), reach)
        else:
            start = attempt.image.clone()
        ascend = ASCENTS[self.iterate]
        return ascend(
            attempt.scorer, ball, start, attempt.target, step=self.step, steps=self.steps
        )

    def _restart_(self, result: Tensor, attempt: AttackedBatch) -> None:
        """Attack the images that still stand again, and keep in `result` what is better."""
        fooled, loss = attempt.scorer.judge(result, attempt.target)
        for restart in range(1, self.restarts):
            rows = (~fooled).nonzero().squeeze(1)
            if not len(rows):
                return
            again = attempt.take(rows)
            attacked = self._run(again, restart=restart)
            new_fooled, new_loss = attempt.scorer.judge(attacked, again.target)
            better = is_better(new_fooled, new_loss, fooled[rows], loss[rows])
            rows, attacked = rows[better], attacked[better]
            result[rows], fooled[rows], loss[rows] = attacked, new_fooled[better], new_loss[better]


def _step_rule(name: str, value: float | None) -> list[Rule]:
    return [] if value is None else [(0 < value < math.inf, f"{name} is {value}: use above 0")]


def fgsm(epsilon: float, *, norm: Norm = "linf", targeted: bool = False) -> PGD:
    """Return FGSM as the special case of PGD that it is.

    Every allowed pixel moves by epsilon along the sign of the cross-entropy's gradient, and is
    clipped to [0, 1].

    Args:
        epsilon: Radius of the ball in pixel units, above 0; at most 1 in L-infinity.
        norm: "linf", or "l2", where the step is the gradient at length epsilon.
        targeted: Lead to the classes given, instead of away from them.

    Raises:
        ConfigError: The radius is out of range.
    """
    return PGD(
        epsilon=epsilon,
        steps=1,
        relative_step=1.0,
        norm=norm,
        random_start=False,
        targeted=targeted,
    )
