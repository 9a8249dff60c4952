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

from hsplid_core.attacks._apgd_climb import climb
from hsplid_core.attacks._attempt import Attempt
from hsplid_core.attacks._rules import Rule, count_rules, iterate_rule
from hsplid_core.attacks.attack import Attack
from hsplid_core.attacks.balls import take
from hsplid_core.attacks.losses import LOSSES, LossName, ranked_goals
from hsplid_core.attacks.scoring import Scorer

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

    def search(self, attempt: Attempt) -> Tensor:
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

    def resume(self, attempt: Attempt, start: Tensor) -> Tensor:
        """Climb from images near the border, with fewer and shorter steps; see `Attack`."""
        steps = max(1, round(_SHORT * self.steps))
        again = replace(attempt, scorer=Scorer(attempt.scorer.model, targeted=self.targeted))
        attacked, _ = self._climb(again, start, again.target, self.epsilon / 2, steps)
        return attacked

    def _climb(
        self, attempt: Attempt, start: Tensor, goal: Tensor, step: float, steps: int
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
