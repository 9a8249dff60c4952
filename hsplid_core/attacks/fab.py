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
from typing import NamedTuple

import torch
from torch import Tensor

from hsplid_core.attacks._attacked_batch import AttackedBatch
from hsplid_core.attacks._setting_rules import Rule, count_rules
from hsplid_core.attacks.attack import Attack
from hsplid_core.attacks.balls import Norm, sizes, take
from hsplid_core.attacks.losses import Loss, logit_difference, lost_lead, ranked_goals


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

    def search(self, attempt: AttackedBatch) -> Tensor:
        """Attack a batch; see `Attack`. Changes found that are too large are cut to the ball."""
        found, _ = self.smallest(attempt, enough=self.epsilon)
        return attempt.ball(self.norm, self.epsilon).project_(found)

    def smallest(self, attempt: AttackedBatch, *, enough: float) -> tuple[Tensor, Tensor]:
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


_STREAM = 2 << 20  # of its random starts


_TINY = 1e-12


class WalkSettings(NamedTuple):
    """Numbers of a walk, as in `FAB`.

    Attributes:
        norm: What a change's size is measured in.
        steps: Steps of a walk.
        start_radius: Distance of random starts.
        overshoot: Factor eta on the way to the hyperplane.
        bias: Largest weight a_max of the clean image's own way.
        pull: Share beta of its way that a fooling iterate keeps.
        enough: A change of this size needs not get smaller.
        border: The function f whose zero is the border.
    """

    norm: Norm
    steps: int
    start_radius: float
    overshoot: float
    bias: float
    pull: float
    enough: float
    border: Loss


class Walker:
    """Walks to one goal after another and keeps the nearest image found that fools.

    Args:
        attempt: The images and the model.
        found: Nearest fooling images so far, [B, C, H, W]; written to.
        size: Sizes of their changes, infinite where there is none, [B]; written to.
        settings: Numbers of the attack.
    """

    def __init__(
        self, attempt: AttackedBatch, found: Tensor, size: Tensor, settings: WalkSettings
    ) -> None:
        self._attempt = attempt
        self._scorer = attempt.scorer
        self._settings = settings
        self._found = found
        self._size = size

    def run(self, goal: Tensor, *, again: int) -> None:
        """Walk from one start to one goal [B], with the images that are not near enough yet.

        Args:
            goal: Classes to reach, int64, [B].
            again: Number of the start; 0 starts at the images themselves.
        """
        rows = (self._size > self._settings.enough).nonzero().squeeze(1)
        if not len(rows):
            return
        part = self._attempt.take(rows)
        current = self._random_start(part, again) if again else part.image.clone()
        for _ in range(self._settings.steps):
            value, gradient = self._linearise_(current, part, goal[rows], rows)
            current = self._step(current, part, value, gradient)
            open_ = self._size[rows] > self._settings.enough
            if not open_.all():
                kept = open_.nonzero().squeeze(1)
                rows, current, part = rows[kept], take(current, kept), part.take(kept)
                if not len(rows):
                    return
        self._keep(current, part.image, self._scorer.judge(current, part.target)[0], rows)

    def _linearise_(
        self, current: Tensor, part: AttackedBatch, goal: Tensor, rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Evaluate f and its gradient; fooling iterates are kept and, in place, pulled back."""
        image, target = part.image, part.target
        fooled, value, gradient = self._scorer.differentiate(
            current, target, goal, self._settings.border
        )
        if fooled.any():
            self._keep(current, image, fooled, rows)
            back = fooled.nonzero().squeeze(1)
            pulled = torch.lerp(take(image, back), take(current, back), self._settings.pull)
            current[back] = pulled
            fooling, new_value, new_gradient = self._scorer.differentiate(
                pulled, target[back], goal[back], self._settings.border
            )
            self._keep(pulled, take(image, back), fooling, rows[back])
            # Autograd may hand out an expanded tensor, which cannot be written to.
            value, gradient = value.clone(), gradient.clone()
            value[back], gradient[back] = new_value, new_gradient
        return value, gradient

    def _keep(self, current: Tensor, image: Tensor, fooled: Tensor, rows: Tensor) -> None:
        size = sizes(current - image, self._settings.norm)
        better = fooled & (size < self._size[rows])
        self._found[rows[better]] = take(current, better)
        self._size[rows[better]] = size[better]

    def _step(
        self, current: Tensor, part: AttackedBatch, value: Tensor, gradient: Tensor
    ) -> Tensor:
        settings, image, allowed = self._settings, part.image, part.allowed
        lower, upper = image.where(~allowed, 0), image.where(~allowed, 1)
        normal = gradient * allowed
        drift = (normal * (current - image)).flatten(1).sum(1)
        own = towards_plane(current, normal, -value, lower, upper, settings.norm)
        direct = towards_plane(image, normal, drift - value, lower, upper, settings.norm)
        far, near = sizes(own, settings.norm), sizes(direct, settings.norm)
        weight = (far / (far + near + _TINY)).clamp_(max=settings.bias).view(-1, 1, 1, 1)
        moved = torch.lerp(
            current.add(own, alpha=settings.overshoot),
            image.add(direct, alpha=settings.overshoot),
            weight,
        )
        return moved.clamp_(lower, upper)

    def _random_start(self, part: AttackedBatch, again: int) -> Tensor:
        noise = part.noise(_STREAM + again).view(part.image.shape)
        return part.ball(self._settings.norm, self._settings.start_radius).random_point(noise)


_NEWTON_STEPS = 12  # 3 to 6 do for images; in between, the result falls short of the plane


def towards_plane(
    point: Tensor, normal: Tensor, rest: Tensor, lower: Tensor, upper: Tensor, norm: Norm
) -> Tensor:
    """Find the smallest change that brings each image onto its hyperplane without leaving a box.

    Args:
        point: Images p inside the box, [B, C, H, W].
        normal: Normals w of the hyperplanes, [B, C, H, W].
        rest: What <w, d> must be, [B].
        lower: Lower corner of the box, [B, C, H, W].
        upper: Upper corner of the box, [B, C, H, W].
        norm: What is smallest.

    Returns:
        The changes d, [B, C, H, W]. Where a box does not reach its hyperplane, its corner nearest
        to it.
    """
    forward = normal.sign() * rest.sign().view(-1, 1, 1, 1)  # the way that helps
    room = torch.where(forward > 0, upper - point, point - lower).clamp_(min=0)
    room = room.where(forward != 0, 0).flatten(1)
    weight = normal.abs().flatten(1)
    speed = weight if norm == "l2" else torch.ones_like(weight)
    gain = weight * speed  # of g, for each unit of tau
    needed = rest.abs()
    tau = torch.zeros_like(needed)
    for _ in range(_NEWTON_STEPS):
        way = tau.unsqueeze(1) * speed
        free = way < room
        missing = needed - (weight * torch.minimum(way, room)).sum(1)
        slope = (gain * free).sum(1)
        # Without slope every coordinate is at the box, and no tau brings more.
        step = missing / slope
        tau = torch.where((slope > 0) & (missing > 0), tau + step, tau)
    # Where the box ends before the plane, tau has passed every breakpoint: the corner.
    way = torch.minimum(tau.unsqueeze(1) * speed, room)
    return forward * way.view_as(forward)
