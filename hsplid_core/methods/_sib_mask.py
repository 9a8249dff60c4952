"""The integral density mask of S-IB: where, and how densely, a model's reconstruction is strong.

Source: S-IB, arXiv 2511.09239, as its released code computes it. Symbols: R [B, C, H, W] the
reconstruction; Q_q the soft quantile of an image's pixels at level q; a the slope; w the window;

    g = |mean over channels of R|                     [B, H, W]
    s = sigmoid(a (n - Q_.8(n))),  n = (g - Q_.05(g)) / (Q_.95(g) - Q_.05(g) + 1e-8)
    d = mean of s over w x w pixels around each; pixels outside the image count as zeros
    M = sigmoid(a (d - Q_.8(d)))                      [B, H, W], in (0, 1)

Nothing is detached: the gradient also runs through the quantiles. Because outside pixels count as
zeros, a wide window darkens the borders, which therefore are seldom foreground.

What makes it fast leaves the numbers as they are. Normalising is monotone and affine and the
weights of a quantile sum to one, so Q_.8(n) is the normalised Q_.8(g), and Q_.05 cancels from
n - Q_.8(n). The quantiles of g come from one selection. Sums take the place of means, with their
divisors moved into the slopes. A sum over a square is two products with bands of ones. The
published form in float32 differs from its own float64 values by more than this one does: where
rounding swaps two pixels at a quantile's rank, their gradients swap with them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hsplid_core.methods._quantile import soft_quantiles

# Keeps constant images finite: they have no spread to divide by.
_SMALLEST_SPREAD = 1e-8


def density_mask(
    reconstruction: Tensor, *, window: int, temperature: float, slope: float
) -> Tensor:
    """Compute the soft mask of the foreground.

    Constant and all-zero maps give finite values and gradients; only the border then stands out.

    Args:
        reconstruction: R, [B, C, H, W]; float32 or float64.
        window: Side length of the square in pixels, odd.
        temperature: Softness of the quantiles in ranks, above 0.
        slope: Steepness of both sigmoids.

    Returns:
        M, [B, H, W], in (0, 1); differentiable in R once.
    """
    channels = reconstruction.shape[1]
    # The sum over channels, unlike their mean, needs no array of R's size in its backward pass.
    grey = reconstruction.sum(dim=1).abs()
    low, threshold, high = _quantiles(grey, (0.05, 0.8, 0.95), temperature)
    steepness = slope / (high - low + channels * _SMALLEST_SPREAD)
    strong = _soft_step(grey, threshold, steepness)
    density = box_sum(strong, window)
    (threshold,) = _quantiles(density, (0.8,), temperature)
    return _soft_step(density, threshold, density.new_full((), slope / window**2))


def _quantiles(images: Tensor, levels: tuple[float, ...], temperature: float) -> list[Tensor]:
    """Take soft quantiles over the pixels of images [B, H, W]; each [B, 1, 1]."""
    return [q[:, :, None] for q in soft_quantiles(images.flatten(1), levels, temperature)]


def box_sum(images: Tensor, window: int) -> Tensor:
    """Sum over a square around each pixel, zeros outside.

    With 31 x 31 pixels in a 224 x 224 image these are 448 multiplications a pixel, in a form that
    every processor is fastest at. A running sum needs fewer, but loses digits in float32. The
    bands' zeros and ones are exact in reduced precision too.

    Args:
        images: [B, H, W].
        window: Side length in pixels, odd.

    Returns:
        [B, H, W].
    """
    rows = _band(images.shape[1], window, images)
    columns = _band(images.shape[2], window, images)
    return rows @ (images @ columns)


def _band(length: int, window: int, like: Tensor) -> Tensor:
    """Return ones where two positions are at most half a window apart, [length, length]."""
    position = torch.arange(length, device=like.device)
    return ((position[:, None] - position).abs() <= window // 2).to(like.dtype)


class _SoftStep(torch.autograd.Function):
    """sigmoid((x - t) a), in place after the subtraction: each pass over the images counts."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: Tensor, slope: Tensor) -> Tensor:
        out = (x - threshold).mul_(slope).sigmoid_()
        ctx.save_for_backward(x, threshold, slope, out)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        x, threshold, slope, out = ctx.saved_tensors
        inner = torch.ops.aten.sigmoid_backward(grads[0], out)
        grad_slope = None
        if ctx.needs_input_grad[2]:
            grad_slope = (x - threshold).mul_(inner).sum(dim=(1, 2), keepdim=True)
        grad_x = inner.mul_(slope)
        return grad_x, -grad_x.sum(dim=(1, 2), keepdim=True), grad_slope


def _soft_step(x: Tensor, threshold: Tensor, slope: Tensor) -> Tensor:
    """Compute sigmoid((x - threshold) slope).

    Args:
        x: [B, H, W].
        threshold: [B, 1, 1].
        slope: [B, 1, 1], or a scalar without gradient.
    """
    result: Tensor = _SoftStep.apply(x, threshold, slope)
    return result
