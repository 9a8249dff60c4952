"""The walks of FAB-T, from one start to one goal at a time; `fab` has the equations."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hsplid_core._noise import signed_uniform
from hsplid_core.attacks._planes import towards_plane
from hsplid_core.attacks.balls import BALLS, Norm, sizes, take
from hsplid_core.attacks.losses import Loss
from hsplid_core.attacks.scoring import Scorer

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
        scorer: The model.
        image: Clean images, [B, C, H, W].
        target: True classes, or those to reach, int64, [B].
        allowed: True where a pixel may change, bool, [B, 1, H, W].
        found: Nearest fooling images so far, [B, C, H, W]; written to.
        size: Sizes of their changes, infinite where there is none, [B]; written to.
        settings: Numbers of the attack.
    """

    def __init__(
        self,
        scorer: Scorer,
        image: Tensor,
        target: Tensor,
        allowed: Tensor,
        found: Tensor,
        size: Tensor,
        settings: WalkSettings,
    ) -> None:
        self._scorer = scorer
        self._settings = settings
        self._image = image
        self._target = target
        self._allowed = allowed
        self._found = found
        self._size = size

    def run(self, goal: Tensor, *, seed: int, index: Tensor, again: int) -> None:
        """Walk from one start to one goal [B], with the images that are not near enough yet.

        Args:
            goal: Classes to reach, int64, [B].
            seed: Seed of the random starts.
            index: Row of each image in its data set, int64, [B].
            again: Number of the start; 0 starts at the images themselves.
        """
        rows = (self._size > self._settings.enough).nonzero().squeeze(1)
        if not len(rows):
            return
        current = take(self._image, rows)
        if again:
            current = self._random_start(current, rows, seed, index[rows], again)
        for _ in range(self._settings.steps):
            image, target, aim = take(self._image, rows), self._target[rows], goal[rows]
            value, gradient = self._linearise_(current, image, target, aim, rows)
            current = self._step(current, image, self._allowed[rows], value, gradient)
            open_ = self._size[rows] > self._settings.enough
            if not open_.all():
                rows, current = rows[open_], take(current, open_)
                if not len(rows):
                    return
        image, target = take(self._image, rows), self._target[rows]
        self._keep(current, image, self._scorer.judge(current, target)[0], rows)

    def _linearise_(
        self, current: Tensor, image: Tensor, target: Tensor, goal: Tensor, rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Evaluate f and its gradient; fooling iterates are kept and, in place, pulled back."""
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
        self, current: Tensor, image: Tensor, allowed: Tensor, value: Tensor, gradient: Tensor
    ) -> Tensor:
        settings = self._settings
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

    def _random_start(
        self, image: Tensor, rows: Tensor, seed: int, index: Tensor, again: int
    ) -> Tensor:
        settings = self._settings
        noise = signed_uniform(
            seed, _STREAM + again, index, image.shape[1:].numel(), dtype=image.dtype
        ).view(image.shape)
        ball = BALLS[settings.norm](image, self._allowed[rows], settings.start_radius)
        return ball.random_point(noise)
