"""Kernel matrices for HSIC.

Symbols: X [m, d] is one variable with m samples of dimension d; D [m, m] its squared Euclidean
distances; K [m, m] its kernel matrix. All results have the dtype and device of X.

Source: the estimators used by HBaR (Wang et al. 2021) and H-SPLID (arXiv 2510.20627).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hsplid_core.hsic.pixels import pixel_distances

# Rows per block of the symmetric product, and the width of X from which it pays: below it, one
# large product is faster than several small ones.
_BLOCK_ROWS = 32
_BLOCK_MIN_WIDTH = 4096


def gram(x: Tensor) -> Tensor:
    """Compute X X^T, [m, m].

    For wide X without gradient (images) only the blocks on and above the diagonal are multiplied,
    which leaves out almost half of the work; the result is then mirrored.
    """
    m, d = x.shape
    if x.requires_grad or d < _BLOCK_MIN_WIDTH or m <= _BLOCK_ROWS or x.device.type != "cpu":
        return x @ x.T
    out = x.new_empty(m, m)
    for start in range(0, m, _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, m)
        # A tall product with a narrow one is what the BLAS does best.
        torch.mm(x[start:], x[start:stop].T, out=out[start:, start:stop])
        out[start:stop, stop:] = out[stop:, start:stop].T
    return out


def squared_distances(x: Tensor) -> Tensor:
    """Compute |x_i|^2 - 2 x_i.x_j + |x_j|^2 for all pairs of rows, [m, m].

    The absolute value is taken, so rounding never gives a negative distance. Images of 8 bits,
    without gradient, are compared in whole numbers.
    """
    if not x.requires_grad and x.shape[1] >= _BLOCK_MIN_WIDTH:
        distances = pixel_distances(x)
        if distances is not None:
            return distances
    product = gram(x)
    norms = product.diagonal().clone()
    if x.requires_grad:
        return (norms[:, None] - 2 * product + norms[None, :]).abs()
    # In place: at the sizes of a batch, fresh memory costs more than the arithmetic.
    return product.mul_(-2).add_(norms).add_(norms[:, None]).abs_()


def median_scale(distances: Tensor) -> Tensor:
    """Take the published bandwidth for ``sigma=None``: a median of *squared* distances.

    The sample is stacked on itself first, so every pair counts four times in the strict lower
    triangle of the doubled matrix and the m pairs of a point with its copy count as zeros. The
    mean replaces a median of zero; the result is floored at 0.01 and carries no gradient.
    """
    with torch.no_grad():
        doubled = distances.detach().repeat(2, 2)
        below = torch.ones_like(doubled, dtype=torch.bool).tril(diagonal=-1)
        values = doubled[below]
        # The mean of the two middle values where their number is even; torch's own median takes
        # the lower one.
        ordered = values.sort().values
        middle = ordered[[(len(ordered) - 1) // 2, len(ordered) // 2]]
        median = middle.mean()
        return torch.where(median <= 0, values.mean(), median).clamp_min(0.01)


class _Gaussian(torch.autograd.Function):
    """K = exp(-a D(X)) with its gradient in one product instead of one for each term of D.

    With W = dK * K and S = W + W^T the gradient is -2 a (diag(S 1) - S) X.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor | float) -> Tensor:
        kernel = squared_distances(x.detach()).mul_(-scale).exp_()
        ctx.save_for_backward(x, kernel)
        ctx.scale = scale
        return kernel

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        x, kernel = ctx.saved_tensors
        weights = grads[0] * kernel
        weights = weights + weights.T
        grad = weights.sum(dim=1, keepdim=True) * x
        return grad.addmm_(weights, x, alpha=-1).mul_(-2 * ctx.scale), None


def gaussian_kernel(x: Tensor, sigma: float | None) -> Tensor:
    """Compute exp(-D / (2 sigma^2 d)), [m, m], differentiable in x once.

    Args:
        x: Samples, [m, d].
        sigma: Bandwidth per dimension; None takes the median of the squared distances s and
            uses exp(-D / (2 s^2)), without d, as the published code does.
    """
    scale: Tensor | float
    if sigma is None:
        scale = 1 / (2 * median_scale(squared_distances(x.detach())) ** 2)
    else:
        scale = 1 / (2 * sigma**2 * x.shape[1])
    kernel: Tensor = _Gaussian.apply(x, scale)
    return kernel


def centred(kernel: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Centre a symmetric kernel matrix on both sides, H K H with H = I - 11^T / m.

    Args:
        kernel: Kernel matrix, [m, m].
        dtype: Of the means and of the result; None keeps the kernel's.
    """
    means = kernel.mean(dim=0, dtype=dtype)
    # Half of the overall mean with each side's own: one pass less.
    means = means - means.mean() / 2
    return (kernel - means).sub_(means[:, None])
