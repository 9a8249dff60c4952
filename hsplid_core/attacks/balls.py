"""The sets an attacked image may lie in: a ball around the clean image, cut by [0, 1] and region.

A ball knows three things: a random point of itself, the direction of steepest ascent in its norm,
and the way back into itself. `x_0` is the clean image, `A` the attackable pixels, `v` uniform
noise in (-1, 1).

Reference: Madry et al. 2018, Towards Deep Learning Models Resistant to Adversarial Attacks
(arXiv 1706.06083), section 2.1.
"""

from __future__ import annotations

from typing import Literal, Protocol, Self

import torch
from torch import Tensor

Norm = Literal["linf", "l2"]


def take(tensor: Tensor, rows: Tensor) -> Tensor:
    """Selects images [N] out of [B, ...], keeping channels_last where the input has it."""
    picked = tensor[rows]
    if tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return picked.contiguous(memory_format=torch.channels_last)
    return picked


class Ball(Protocol):
    """One norm's ball around a batch of images [B, C, H, W]."""

    def random_point(self, noise: Tensor, reach: Tensor | float = 1.0) -> Tensor:
        """Turn uniform noise in (-1, 1), [B, C, H, W], into new images in the set.

        Args:
            noise: Decides the direction.
            reach: Share of the radius that is used, in (0, 1], [B, 1, 1, 1] or one for all.
        """
        ...

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the step of length one that climbs most in this norm, [B, C, H, W]."""
        ...

    def project_(self, image: Tensor) -> Tensor:
        """Move images back into the set, in place."""
        ...

    def take(self, rows: Tensor) -> Self:
        """Return the ball around some of the images."""
        ...


class LinfBall:
    """Images whose allowed pixels differ from the origin by at most epsilon.

    Kept as two corners. Outside the region both are the origin, so one clamp does the work of the
    published code's masking, clip to epsilon and clip to [0, 1].

    Args:
        origin: The clean images in [0, 1], [B, C, H, W].
        allowed: True where a pixel may change, bool, [B, 1, H, W].
        epsilon: Radius in pixel units.
    """

    def __init__(self, origin: Tensor, allowed: Tensor, epsilon: float) -> None:
        self._origin = origin
        self._allowed = allowed
        self._epsilon = epsilon
        radius = allowed.to(origin.dtype).mul_(epsilon)
        self._lower = (origin - radius).clamp_(min=0)
        self._upper = (origin + radius).clamp_(max=1)

    def random_point(self, noise: Tensor, reach: Tensor | float = 1.0) -> Tensor:
        """Return x_0 + epsilon v, clipped into the set."""
        return self.project_(self._origin.clone().add_(noise * reach, alpha=self._epsilon))

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the gradient's sign."""
        return gradient.sign()

    def project_(self, image: Tensor) -> Tensor:
        """Clamp images between the corners."""
        return image.clamp_(self._lower, self._upper)

    def take(self, rows: Tensor) -> LinfBall:
        """Return the ball around some of the images."""
        return LinfBall(take(self._origin, rows), take(self._allowed, rows), self._epsilon)


class L2Ball:
    """Images whose allowed pixels differ from the origin by at most epsilon in Euclidean length.

    Args:
        origin: The clean images in [0, 1], [B, C, H, W].
        allowed: True where a pixel may change, bool, [B, 1, H, W].
        epsilon: Radius in pixel units, over all of an image's channels and pixels.
    """

    def __init__(self, origin: Tensor, allowed: Tensor, epsilon: float) -> None:
        self._origin = origin
        self._allowed = allowed
        self._epsilon = epsilon

    def random_point(self, noise: Tensor, reach: Tensor | float = 1.0) -> Tensor:
        """Return a point drawn from a sphere of a share of the radius."""
        direction = self.direction(torch.erfinv(noise)) * reach  # of a Gaussian: all are alike
        return self.project_(self._origin.clone().add_(direction, alpha=self._epsilon))

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the gradient's allowed part at length one; zero stays zero."""
        allowed = gradient * self._allowed
        length = _length(allowed)
        return allowed.div_(length.masked_fill_(length == 0, 1))

    def project_(self, image: Tensor) -> Tensor:
        """Shrink the differences that are too long, then clip to [0, 1]."""
        image.sub_(self._origin)
        excess = (_length(image) / self._epsilon).clamp_(min=1)
        # Clipping moves every pixel towards the origin, so it cannot leave the ball again.
        return image.div_(excess).add_(self._origin).clamp_(0, 1)

    def take(self, rows: Tensor) -> L2Ball:
        """Return the ball around some of the images."""
        return L2Ball(take(self._origin, rows), take(self._allowed, rows), self._epsilon)


def sizes(change: Tensor, norm: Norm) -> Tensor:
    """Measure perturbations [B, C, H, W] in a norm.

    Returns:
        One size for each image, in pixel units, [B].
    """
    flat = change.flatten(1)
    size: Tensor = torch.linalg.vector_norm(flat, ord=torch.inf if norm == "linf" else 2, dim=1)
    return size


CHANGES = ("linf", "l2", "l0", "mse")
"""What `changes` measures."""


def changes(change: Tensor) -> Tensor:
    """Measure perturbations [B, C, H, W] in all ways that tables print.

    Returns:
        In the order of `CHANGES`, [B, 4]: the largest change of a value, the Euclidean length,
        the number of changed values (each channel of a pixel is one, as H-SPLID's released code
        counts) and the mean of the squares.
    """
    flat = change.flatten(1)
    length = sizes(change, "l2")
    changed = (flat != 0).sum(1).to(flat.dtype)
    return torch.stack([sizes(change, "linf"), length, changed, length**2 / flat.shape[1]], dim=1)


def _length(difference: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(difference, dim=(1, 2, 3), keepdim=True)
    return length


BALLS: dict[str, type[LinfBall] | type[L2Ball]] = {"linf": LinfBall, "l2": L2Ball}
"""The balls by the name of their norm."""
