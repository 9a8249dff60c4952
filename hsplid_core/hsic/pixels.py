"""Squared distances between images of 8 bits, in whole numbers.

Pixels that were stored with 8 bits are k / 255 with k from 0 to 255, so their products are whole
numbers: the CPU's integer units multiply them several times faster than floats, and exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Rows that are read at a time: few enough to stay in a core's cache between two passes.
_ROWS = 16
# The most products of two numbers from -128 to 127 whose sum surely fits in 32 bits.
_COLUMNS = 2**17 - 1


def as_levels(x: Tensor) -> Tensor | None:
    """Read pixels as whole levels, shifted to lie around zero.

    Args:
        x: Pixels, [m, d]; float32 or float64.

    Returns:
        k - 128 where x = k / 255, int8, [m, d]; None if some value is no such fraction.
    """
    levels = torch.empty(x.shape, dtype=torch.int8, device=x.device)
    # Two buffers for all rows: fresh memory would cost more than the arithmetic.
    buffers = x.new_empty(2, min(_ROWS, len(x)), x.shape[1])
    for part, into in zip(torch.split(x, _ROWS), torch.split(levels, _ROWS), strict=True):
        scaled, whole = buffers[:, : len(part)]
        torch.mul(part, 255, out=scaled).sub_(128)
        whole.copy_(into.copy_(scaled))
        rest = scaled.sub_(whole).view(-1)
        if torch.dot(rest, rest) != 0:
            return None
    return levels


def level_distances(levels: Tensor) -> Tensor:
    """Compute squared Euclidean distances between rows of whole numbers, exactly.

    Args:
        levels: int8, [m, d].

    Returns:
        Distances, float64, [m, m].
    """
    product = torch.zeros(len(levels), len(levels), dtype=torch.float64, device=levels.device)
    for columns in torch.split(levels, _COLUMNS, dim=1):
        product += torch._int_mm(columns, columns.T)
    norms = product.diagonal().clone()
    return product.mul_(-2).add_(norms).add_(norms[:, None])


def pixel_distances(x: Tensor) -> Tensor | None:
    """Compute squared Euclidean distances between images of 8 bits.

    Args:
        x: Pixels in [0, 1], [m, d].

    Returns:
        Distances in pixel space, [m, m], rounded once to x's dtype and without gradient; None
        where this does not pay or does not apply: a device or processor without fast products of
        small integers, or pixels that are not of 8 bits.
    """
    if x.device.type != "cpu" or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return None
    levels = as_levels(x.detach())
    return None if levels is None else level_distances(levels).div_(255**2).to(x.dtype)
