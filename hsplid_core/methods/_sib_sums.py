"""Sums over the pixels of S-IB's images, with gradients in few passes over them.

Symbols: x [B, C, H, W] an image or a reconstruction, m [B, 1, H, W] a mask.

    U_ij = sum over channels and pixels of (m x)_i (m x)_j          [B, B]
    S = sum over channels of x,    Q = sum over channels of x^2     [B, H, W] each

What S-IB measures follows from these alone, so that nothing as large as the images is kept or made
but m x and one gradient: at these sizes fresh memory costs more than the arithmetic.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hsplid_core.hsic.kernels import gram


class _MaskedGram(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor) -> Tensor:
        masked = x * mask
        ctx.save_for_backward(x, mask, masked)
        return gram(masked.flatten(1))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, mask, masked = ctx.saved_tensors
        grad = ((grads[0] + grads[0].T) @ masked.flatten(1)).view_as(masked)
        of_mask = None
        if ctx.needs_input_grad[1]:
            of_mask = grad[:, :1] * x[:, :1]
            for channel in range(1, x.shape[1]):
                of_mask[:, 0].addcmul_(grad[:, channel], x[:, channel])
        return grad.mul_(mask) if ctx.needs_input_grad[0] else None, of_mask


def masked_gram(x: Tensor, mask: Tensor) -> Tensor:
    """Multiply masked images with each other, U.

    Args:
        x: [B, C, H, W].
        mask: [B, 1, H, W].

    Returns:
        [B, B]; differentiable once.
    """
    result: Tensor = _MaskedGram.apply(x, mask)
    return result


class _PixelSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x)
        squares = x[:, 0].square()
        for channel in range(1, x.shape[1]):
            squares.addcmul_(x[:, channel], x[:, channel])
        return x.sum(dim=1), squares

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        of_sum, of_squares = grads
        grad: Tensor = (2 * of_squares)[:, None] * x
        return grad.add_(of_sum[:, None])


def pixel_sums(x: Tensor) -> tuple[Tensor, Tensor]:
    """Sum the channels of images [B, C, H, W] and their squares: S and Q, differentiable once."""
    sums: tuple[Tensor, Tensor] = _PixelSums.apply(x)
    return sums
