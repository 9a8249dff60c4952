"""FAB-T: walk along the border between two classes, towards the clean image.

From x_0 = the clean image x, for one goal t and f = z_t - z_y, each step linearises f at x_i,

    pi:      f(x_i) + <w, x - x_i> = 0,     w = gradient of f at x_i,

takes d_i and d, the smallest changes of x_i and of x onto pi inside the box, and goes to

    x_{i+1} = P((1 - a)(x_i + eta d_i) + a (x + eta d)),    a = min(|d_i| / (|d_i| + |d|), a_max).

An iterate that fools is kept if it is the nearest to x so far, and pulled back towards it by
1 - beta. The box is [0, 1] on the allowed pixels and the image itself elsewhere.

The walk does not know epsilon, so one search serves every radius (`smallest`).

Reference: Croce and Hein 2020, Minimally distorted adversarial examples with a fast adaptive
boundary attack (arXiv 1907.02044), algorithm 1; targeted as in AutoAttack (arXiv 2003.01690).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hsplid_core.attacks._attempt import Attempt
from hsplid_core.attacks._fab_walk import Walker, WalkSettings
from hsplid_core.attacks._rules import Rule, count_rules
from hsplid_core.attacks.attack import Attack
from hsplid_core.attacks.losses import logit_difference, lost_lead, ranked_goals


@dataclass(frozen=True, kw_only=True)
class FAB(Attack):
    """Settings of a targeted FAB attack; calling it attacks a batch, as every `Attack`.

    An image leaves once it fools within the radius.

    Attributes:
        n_targets: Goals: the likeliest wrong classes of the clean image, at most all of them.
        steps: Steps towards each goal (AutoAttack: 100).
        restarts: Walks for each goal. The first starts at the image; others at a random point of
            half the radius.
        overshoot: Factor eta on the way to the hyperplane, at least 1.
        bias: Largest weight a_max of the clean image's own way, in [0, 1].
        pull: Share beta of its way that a fooling iterate keeps, in (0, 1).
        targeted: Lead to the classes given, instead of to the likeliest wrong ones; f is then
            the lead of that class over all others.

    Raises:
        ConfigError: A value is out of range; all faults are named together.
    """

    n_targets: int = 9
    steps: int = 100
    restarts: int = 1
    overshoot: float = 1.05
    bias: float = 0.1
    pull: float = 0.9

    def rules(self) -> list[Rule]:
        """List what must hold for the settings."""
        return [
            *count_rules(n_targets=self.n_targets, steps=self.steps, restarts=self.restarts),
            (self.overshoot >= 1, f"overshoot is {self.overshoot}: use at least 1"),
            (0 <= self.bias <= 1, f"bias is {self.bias}: use a share in [0, 1]"),
            (0 < self.pull < 1, f"pull is {self.pull}: use a share between 0 and 1"),
        ]

    def search(self, attempt: Attempt) -> Tensor:
        """Attack a batch; see `Attack`. Changes found that are too large are cut to the ball."""
        found, _ = self.smallest(attempt, enough=self.epsilon)
        return attempt.ball(self.norm, self.epsilon).project_(found)

    def smallest(self, attempt: Attempt, *, enough: float) -> tuple[Tensor, Tensor]:
        """Search for a change, of any size, that fools the model.

        Args:
            attempt: The images and the model.
            enough: A change of this size needs not get smaller.

        Returns:
            The nearest image found that fools, [B, C, H, W], and the size of its change, [B]; an
            image that nothing fools comes back as it is, with an infinite size.
        """
        image, target = attempt.image, attempt.target
        logits = attempt.scorer.logits(image)
        if self.targeted:
            goals, border = target.unsqueeze(1), lost_lead
        else:
            goals, border = ranked_goals(logits, target, self.n_targets), logit_difference
        found = image.clone()
        size = torch.full_like(image[:, 0, 0, 0], torch.inf)
        size[attempt.scorer.fooled(logits, target)] = 0
        settings = WalkSettings(
            self.norm,
            self.steps,
            self.epsilon / 2,
            self.overshoot,
            self.bias,
            self.pull,
            enough,
            border,
        )
        walker = Walker(attempt, found, size, settings)
        for again in range(self.restarts):
            for rank in range(goals.shape[1]):
                walker.run(goals[:, rank], again=again)
        return found, size
