"""Auto-PGD: projected gradient ascent that chooses its own step size.

Three of AutoAttack's members are this attack: APGD-CE, APGD-DLR and the targeted APGD-T, which
aims at the likeliest wrong classes one after another.

Reference: Croce and Hein 2020, Reliable evaluation of adversarial robustness with an ensemble of
diverse parameter-free attacks (arXiv 2003.01690).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from hsplid_core._noise import signed_uniform
from hsplid_core.attacks._apgd_climb import climb
from hsplid_core.attacks._attempt import attempt
from hsplid_core.attacks._rules import count_rules, radius_rules
from hsplid_core.attacks.attack import Model
from hsplid_core.attacks.balls import BALLS, Ball, Norm, take
from hsplid_core.attacks.losses import LOSSES, LossName, ranked_goals
from hsplid_core.attacks.scoring import Scorer
from hsplid_core.config import check

_STREAM = 1 << 20  # of its random starts: PGD's restarts use the streams from 0 on


@dataclass(frozen=True, kw_only=True)
class APGD:
    """Settings of an Auto-PGD attack; calling it attacks a batch.

    Attributes:
        epsilon: Radius of the ball in pixel units, above 0; at most 1 in L-infinity.
        norm: "linf" or "l2".
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
        targeted: Lead to the classes given, instead of away from them, by "ce" or "dlr"; a
            targeted loss chooses goals of its own.

    Raises:
        ConfigError: A value is out of range; all faults are named together.
    """

    epsilon: float
    norm: Norm = "linf"
    loss: LossName = "ce"
    n_targets: int = 9
    steps: int = 100
    restarts: int = 1
    samples: int = 1
    iterate: Literal["best", "first_fooling"] = "first_fooling"
    targeted: bool = False

    def __post_init__(self) -> None:
        check(
            [
                *radius_rules(self.epsilon, self.norm),
                (self.loss in LOSSES, f"loss is {self.loss!r}: use one of {sorted(LOSSES)}"),
                *count_rules(
                    n_targets=self.n_targets,
                    steps=self.steps,
                    restarts=self.restarts,
                    samples=self.samples,
                ),
                (
                    self.iterate in ("best", "first_fooling"),
                    f"iterate is {self.iterate!r}: use 'best' or 'first_fooling'",
                ),
                (
                    not (self.targeted and self.has_goals),
                    f"targeted is set and loss is {self.loss!r}, which chooses goals of its own: "
                    "use 'ce' or 'dlr'",
                ),
            ]
        )

    @property
    def has_goals(self) -> bool:
        """Whether each run aims at one of the likeliest wrong classes."""
        return self.loss.startswith("targeted")

    def with_epsilon(self, epsilon: float) -> APGD:
        """Return the same attack with another radius."""
        return replace(self, epsilon=epsilon)

    def stopping_early(self) -> APGD:
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
        """Attack a batch; see `Attack`. Where nothing fools, the best of the first run returns."""
        with attempt(model, image, target, allowed, index, targeted=self.targeted) as scorer:
            target = target.clone()
            ball: Ball = BALLS[self.norm](image, allowed, self.epsilon)
            return self._attack(scorer, ball, image, target, seed=seed, index=index)

    def _attack(
        self,
        scorer: Scorer,
        ball: Ball,
        image: Tensor,
        target: Tensor,
        *,
        seed: int,
        index: Tensor,
    ) -> Tensor:
        """Make one run after another, each on the images that stand."""
        if self.has_goals:
            goals = ranked_goals(scorer.logits(image), target, self.n_targets)  # [B, T]
        else:
            goals = target.unsqueeze(1)
        result = image.clone()
        standing = torch.arange(len(image), device=image.device)
        runs = [(rank, again) for again in range(self.restarts) for rank in range(goals.shape[1])]
        for number, (rank, again) in enumerate(runs):
            if not len(standing):
                break
            inside = ball if number == 0 else ball.take(standing)
            start = self._start(inside, take(image, standing), seed, again, index[standing])
            attacked, fooled, _ = climb(
                scorer,
                inside,
                start,
                target[standing],
                goals[standing, rank],
                LOSSES[self.loss],
                epsilon=self.epsilon,
                steps=self.steps,
                samples=self.samples,
                leave=self.iterate == "first_fooling",
            )
            written = fooled | (number == 0)
            result[standing[written]] = take(attacked, written)
            standing = standing[~fooled]
        return result

    def _start(self, ball: Ball, image: Tensor, seed: int, again: int, index: Tensor) -> Tensor:
        count = image.shape[1:].numel()
        noise = signed_uniform(seed, _STREAM + again, index, count, dtype=image.dtype)
        return ball.random_point(noise.view(image.shape))
