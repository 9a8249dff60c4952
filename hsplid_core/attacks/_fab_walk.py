"""The walks of FAB-T, from one start to one goal at a time; `fab` has the equations."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hsplid_core.attacks._attempt import Attempt
from hsplid_core.attacks._planes import towards_plane
from hsplid_core.attacks.balls import Norm, sizes, take
from hsplid_core.attacks.losses import Loss

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
        self, attempt: Attempt, found: Tensor, size: Tensor, settings: WalkSettings
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
        self, current: Tensor, part: Attempt, goal: Tensor, rows: Tensor
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

    def _step(self, current: Tensor, part: Attempt, value: Tensor, gradient: Tensor) -> Tensor:
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

    def _random_start(self, part: Attempt, again: int) -> Tensor:
        noise = part.noise(_STREAM + again).view(part.image.shape)
        return part.ball(self._settings.norm, self._settings.start_radius).random_point(noise)
