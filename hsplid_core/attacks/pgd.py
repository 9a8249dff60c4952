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

from hsplid_core._noise import signed_uniform
from hsplid_core.attacks._ascent import ASCENTS, Iterate, is_better
from hsplid_core.attacks._attempt import attempt
from hsplid_core.attacks._rules import count_rules, radius_rules
from hsplid_core.attacks.attack import Model
from hsplid_core.attacks.balls import BALLS, Ball, Norm, take
from hsplid_core.attacks.scoring import Scorer
from hsplid_core.config import check


@dataclass(frozen=True, kw_only=True)
class PGD:
    """Settings of a PGD attack; calling it attacks a batch, as `pgd` does.

    Attributes:
        epsilon: Radius of the ball in pixel units, above 0; at most 1 in L-infinity, where 1
            already frees every pixel.
        steps: Gradient steps of one start, at least 1.
        step_size: Length of a step in pixel units (H-SPLID: 0.0156 whatever the epsilon).
        relative_step: Length of a step as a share of epsilon, instead of `step_size`. With
            neither, 2.5 / steps, which can cross the ball (Madry et al. 2018).
        norm: "linf" or "l2".
        random_start: Begin at a random point of the ball, not at the image.
        restarts: Starts per image, at least 1; each goes on with the images that still stand.
            More than one needs random starts.
        iterate: What an attack returns: the "last" iterate, as published; the "best", the one of
            largest loss with fooling ones first; or the "first_fooling", where an image leaves
            the batch as soon as it fools the model (the last where it never does): cheapest, and
            it breaks at least what the last iterate breaks.
        targeted: Lead to the classes given, instead of away from them.

    Raises:
        ConfigError: A value is out of range; all faults are named together.
    """

    epsilon: float
    steps: int = 10
    step_size: float | None = None
    relative_step: float | None = None
    norm: Norm = "linf"
    random_start: bool = True
    restarts: int = 1
    iterate: Iterate = "last"
    targeted: bool = False

    def __post_init__(self) -> None:
        check(
            [
                *radius_rules(self.epsilon, self.norm),
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
                (
                    self.iterate in ASCENTS,
                    f"iterate is {self.iterate!r}: use one of {sorted(ASCENTS)}",
                ),
            ]
        )

    @property
    def step(self) -> float:
        """Length of one step in pixel units."""
        if self.step_size is not None:
            return self.step_size
        share = 2.5 / self.steps if self.relative_step is None else self.relative_step
        return share * self.epsilon

    def with_epsilon(self, epsilon: float) -> PGD:
        """Return the same attack with another radius; an absolute step stays as it is."""
        return replace(self, epsilon=epsilon)

    def stopping_early(self) -> PGD:
        """Return the same attack with the first iterate that fools."""
        return replace(self, iterate="first_fooling")

    def __call__(
        self,
        model: Model,
        image: Tensor,
        target: Tensor,
        allowed: Tensor,
        *,
        seed: int,
        index: Tensor,
    ) -> Tensor:
        """Attack a batch; see `pgd`."""
        return pgd(model, image, target, allowed, self, seed=seed, index=index)


def _step_rule(name: str, value: float | None) -> list[tuple[bool, str]]:
    return [] if value is None else [(0 < value < math.inf, f"{name} is {value}: use above 0")]


def pgd(
    model: Model,
    image: Tensor,
    target: Tensor,
    allowed: Tensor,
    config: PGD,
    *,
    seed: int,
    index: Tensor,
) -> Tensor:
    """Run PGD on a batch: arguments, result and errors are those of `Attack`.

    Args:
        model: Pixels to logits; a module in eval mode.
        image: Pixels in [0, 1], float, [B, C, H, W]; not changed.
        target: True classes, or those to reach, int64, [B].
        allowed: True where a pixel may change, bool, [B, 1, H, W].
        config: Settings of the attack.
        seed: Seed of the random starts.
        index: Row of each image in its data set, int64, [B].

    Returns:
        The attacked images, [B, C, H, W].

    Raises:
        ConfigError: The model is in training mode.
        DataError: The tensors do not fit together, or pixels lie outside [0, 1].
        TrainingDivergedError: The model's logits are NaN or infinite.

    Reference:
        Madry et al. 2018 (arXiv 1706.06083); H-SPLID (arXiv 2510.20627) for the regions.
    """
    with attempt(model, image, target, allowed, index, targeted=config.targeted) as scorer:
        target = target.clone()  # one made in inference mode could not be saved for a gradient
        ball: Ball = BALLS[config.norm](image, allowed, config.epsilon)
        result = _run(scorer, ball, image, target, config, seed=seed, index=index, restart=0)
        if config.restarts > 1:
            _restart_(result, scorer, ball, image, target, config, seed=seed, index=index)
    return result


def _run(
    scorer: Scorer,
    ball: Ball,
    image: Tensor,
    target: Tensor,
    config: PGD,
    *,
    seed: int,
    index: Tensor,
    restart: int,
) -> Tensor:
    """Attack once from one start; returns new images."""
    if config.random_start:
        count = image.shape[1:].numel()
        noise = signed_uniform(seed, restart, index, count + 1, dtype=image.dtype)
        # A start on the sphere itself would spend the steps on coming back: nearly all of a
        # ball's volume lies there, and all of it is far from where the loss is large.
        reach = noise[:, -1].abs().view(-1, 1, 1, 1) if config.norm == "l2" else 1.0
        start = ball.random_point(noise[:, :-1].reshape(image.shape), reach)
    else:
        start = image.clone()
    ascend = ASCENTS[config.iterate]
    return ascend(scorer, ball, start, target, step=config.step, steps=config.steps)


def _restart_(
    result: Tensor,
    scorer: Scorer,
    ball: Ball,
    image: Tensor,
    target: Tensor,
    config: PGD,
    *,
    seed: int,
    index: Tensor,
) -> None:
    """Attack the images that still stand again, and keeps in `result` what is better."""
    fooled, loss = scorer.judge(result, target)
    for restart in range(1, config.restarts):
        rows = (~fooled).nonzero().squeeze(1)
        if not len(rows):
            return
        attacked = _run(
            scorer,
            ball.take(rows),
            take(image, rows),
            target[rows],
            config,
            seed=seed,
            index=index[rows],
            restart=restart,
        )
        new_fooled, new_loss = scorer.judge(attacked, target[rows])
        better = is_better(new_fooled, new_loss, fooled[rows], loss[rows])
        rows, attacked = rows[better], attacked[better]
        result[rows], fooled[rows], loss[rows] = attacked, new_fooled[better], new_loss[better]
