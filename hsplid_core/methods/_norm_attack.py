"""One-step and iterative ascent on the loss, each regularised by another norm of the change.

Source: Gong, Dou and Farnia, CVPR 2024 (arXiv 2404.04647), as their released code computes it.
Symbols: x [B, C, H, W] normalised images; u perturbed ones; g(u) the gradient of the SUM over the
batch of the cross-entropy at u; eps, eps2 the two coefficients, in normalised units. Nothing is
clipped to an image range.

    l1, fast           x + eps sign(g(x))
    l1, iterative      u <- u + 0.3 eps sign(g(u));  u <- x + clip(u - x, -eps, eps)
    elastic, fast      x + eps sign(g(x)) + 2 eps2 g(x)
    elastic, iterative u <- u + 0.3 v / |v|,  v = g(u) - relu(|u - x| - eps) sign(u - x) / (2 eps2)
    group, fast        x + eps g(x) / (L2 norm of g in the same patch of the same channel)
    group, iterative   d <- d + g(x + d) / |g|;  each patch of d is shrunk to an L2 norm <= eps
    human attention    x + 2 eps (g(x) / |g|) (1/2 - s), s the object's mask in [0, 1]

Norms without a name are L2 over an image. Kept quirks: elastic depends on the size of gradients,
and its iterative form never projects, so a change can exceed eps by far.

Deviation: where a norm is zero, in dead patches for instance, the released code divides 0 by 0 and
trains on NaN. Here such a direction is zero.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hsplid_core.errors import ConfigError

Gradient = Callable[[Tensor], Tensor]
"""Normalised images [B, C, H, W] to the gradient of the summed loss, same shape, detached."""

_RELATIVE_STEP = 0.3


def l1_fast(x: Tensor, gradient: Gradient, *, epsilon: float) -> Tensor:
    """Step once by epsilon along the sign."""
    return x + epsilon * gradient(x).sign()


def l1_iterative(x: Tensor, gradient: Gradient, *, epsilon: float, iterations: int) -> Tensor:
    """Step along signs and stay within epsilon of each value."""
    u = x
    for _ in range(iterations):
        u = u + _RELATIVE_STEP * epsilon * gradient(u).sign()
        u = x + (u - x).clamp(-epsilon, epsilon)
    return u


def elastic_fast(x: Tensor, gradient: Gradient, *, epsilon: float, epsilon2: float) -> Tensor:
    """Step once along the sign and along the gradient itself."""
    g = gradient(x)
    return x + epsilon * g.sign() + 2 * epsilon2 * g


def elastic_iterative(
    x: Tensor, gradient: Gradient, *, epsilon: float, epsilon2: float, iterations: int
) -> Tensor:
    """Climb the loss minus a penalty on what exceeds epsilon; the step has length 0.3."""
    u = x
    for _ in range(iterations):
        change = u - x
        penalty = torch.relu(change.abs() - epsilon) * change.sign() / (2 * epsilon2)
        u = u + _RELATIVE_STEP * _per_image(gradient(u) - penalty)
    return u


def group_fast(x: Tensor, gradient: Gradient, *, epsilon: float, patch: int) -> Tensor:
    """Step once so that every patch of every channel changes by epsilon.

    Raises:
        ConfigError: The patches do not tile the images.
    """
    patches = _patches(gradient(x), patch)
    return x + epsilon * _divided(patches, _patch_norms(patches)).flatten(4, 5).flatten(2, 3)


def group_iterative(
    x: Tensor, gradient: Gradient, *, epsilon: float, patch: int, iterations: int
) -> Tensor:
    """Take steps of length one and shrink each patch's change back to epsilon.

    Raises:
        ConfigError: The patches do not tile the images.
    """
    delta = torch.zeros_like(x)
    for _ in range(iterations):
        patches = _patches(delta + _per_image(gradient(x + delta)), patch)
        excess = (_patch_norms(patches) / epsilon).clamp(min=1)
        delta = (patches / excess).flatten(4, 5).flatten(2, 3)
    return x + delta


def away_from_the_object(x: Tensor, gradient: Gradient, *, epsilon: float, mask: Tensor) -> Tensor:
    """Climb the loss outside the object and descend inside, by epsilon along the unit gradient.

    Args:
        x: Normalised images, [B, C, H, W].
        gradient: Gradient of the summed loss.
        epsilon: Length of the step over an image, were it all of one kind.
        mask: 1 inside the object, 0 outside, between for soft masks (1/2 stays as it is),
            [B, 1, H, W].
    """
    return x + 2 * epsilon * _per_image(gradient(x)) * (0.5 - mask.to(x.dtype))


def _per_image(g: Tensor) -> Tensor:
    """Scale each image of [B, C, H, W] to L2 norm one; zero stays zero."""
    return _divided(g, torch.linalg.vector_norm(g, dim=(1, 2, 3), keepdim=True))


def _divided(g: Tensor, norm: Tensor) -> Tensor:
    return g / torch.where(norm > 0, norm, 1)


def _patches(image: Tensor, patch: int) -> Tensor:
    """Cut [B, C, H, W] into a grid, [B, C, H / p, p, W / p, p]."""
    batch, channels, height, width = image.shape
    if height % patch or width % patch:
        raise ConfigError(
            f"patch is {patch}, but images are {height}x{width}: use a number of pixels that "
            "divides both sides"
        )
    return image.reshape(batch, channels, height // patch, patch, width // patch, patch)


def _patch_norms(patches: Tensor) -> Tensor:
    """Return each patch's L2 norm, [B, C, H / p, 1, W / p, 1]."""
    norms: Tensor = torch.linalg.vector_norm(patches, dim=(3, 5), keepdim=True)
    return norms
