"""Random fields that belong to an image, not to its place in a batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hsplid_core._noise import signed_uniform

# Attacks take the streams around 0 and up to 2**40 or so; these lie beyond them.
_STREAM = 1 << 50


def uniform(seed: int, stream: int, index: Tensor, shape: torch.Size, like: Tensor) -> Tensor:
    """Draw from (0, 1) for each image.

    Args:
        seed: Any integer.
        stream: Tells independent uses of one seed apart, 0 or more.
        index: Row of each image in its data set, int64, [B].
        shape: Shape of one image's numbers.
        like: Its floating type is taken.

    Returns:
        Numbers, [B, *shape].
    """
    values = signed_uniform(seed, _STREAM + stream, index, shape.numel(), dtype=like.dtype)
    return values.add_(1).div_(2).view(len(index), *shape)


def normal(seed: int, stream: int, index: Tensor, shape: torch.Size, like: Tensor) -> Tensor:
    """Draw from the standard normal distribution for each image; see `uniform`."""
    values = signed_uniform(seed, _STREAM + stream, index, shape.numel(), dtype=like.dtype)
    return torch.erfinv(values).mul_(math.sqrt(2)).view(len(index), *shape)


def poisson(rate: Tensor, uniforms: Tensor) -> Tensor:
    """Turn uniform numbers into Poisson counts, by inversion.

    Args:
        rate: Expected counts, at most 60 or so, any shape.
        uniforms: Numbers in (0, 1), of that shape.

    Returns:
        Counts, of that shape and type.
    """
    largest = float(rate.max()) if rate.numel() else 0.0
    count = torch.zeros_like(rate)
    chance = torch.exp(-rate)  # of the count k
    below = chance.clone()  # chance of at most k
    for k in range(1, math.ceil(largest + 8 * math.sqrt(largest)) + 10):
        count += uniforms > below
        chance = chance * rate / k
        below += chance
    return count
