"""The orthonormal cosine transform of images, one axis after the other.

With N the length of an axis, n a pixel and u a frequency, the DCT-II is the orthogonal matrix

    D[u, n] = s_u cos(pi (2 n + 1) u / (2 N)),    s_0 = sqrt(1 / N),  s_u = sqrt(2 / N) else,

and an image X of H rows and W columns has the coefficients D_H X D_W^T. Two products with small
matrices cost H + W multiplications a pixel, on every device and with gradients; a matrix over
whole images would have (C H W)^2 entries, 90 GB at 3x224x224.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor


@functools.cache
def _exact_matrix(size: int) -> Tensor:
    pixel = torch.arange(size, dtype=torch.float64)
    angle = torch.pi / (2 * size) * (2 * pixel + 1) * pixel.unsqueeze(1)
    matrix = angle.cos().mul_((2 / size) ** 0.5)
    matrix[0] *= 0.5**0.5
    return matrix


def dct_matrix(
    size: int, *, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
) -> Tensor:
    """Return the cosine transform of an axis as a matrix.

    Args:
        size: Length N of the axis, at least 1.
        dtype: Type of the result; computed in float64 whatever it is.
        device: Where the result lives.

    Returns:
        D, [N, N], row u for frequency u; its inverse is its transpose.
    """
    return _exact_matrix(size).to(device=device, dtype=dtype, copy=True)


def separable(left: Tensor, image: Tensor, right: Tensor) -> Tensor:
    """Apply one matrix along the rows' axis and one along the columns' axis.

    Args:
        left: [..., M, H].
        image: [..., H, W].
        right: [..., N, W].

    Returns:
        left image right^T, [..., M, N].
    """
    return left @ image @ right.mT
