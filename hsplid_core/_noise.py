"""Random numbers that belong to an image, not to its place in a batch.

A value is a hash of (seed, stream, image index, element), so an image gets the same noise
whatever the batch size, the order and the device. A generator per image would do that too, but
in a Python loop that seeds thousands of them; this is a dozen vectorised integer operations.

The hash is the finaliser of SplitMix64 (Steele, Lea and Flood 2014) on int64 tensors, whose
products wrap around.
"""

from __future__ import annotations

import torch
from torch import Tensor

_BITS = 24  # what float32 holds exactly: float32 and float64 attacks start at the same points


def _as_int64(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


_INCREMENT = _as_int64(0x9E3779B97F4A7C15)
_FACTOR_1 = _as_int64(0xBF58476D1CE4E5B9)
_FACTOR_2 = _as_int64(0x94D049BB133111EB)


def _shifted(state: Tensor, bits: int) -> Tensor:
    # int64's >> copies the sign down; the hash wants zeros from above
    return (state >> bits).bitwise_and_(2 ** (64 - bits) - 1)


def _mixed_(state: Tensor) -> Tensor:
    state.add_(_INCREMENT)
    state.bitwise_xor_(_shifted(state, 30)).mul_(_FACTOR_1)
    state.bitwise_xor_(_shifted(state, 27)).mul_(_FACTOR_2)
    return state.bitwise_xor_(_shifted(state, 31))


def _random_bits(seed: int, stream: int, index: Tensor, count: int) -> Tensor:
    state = torch.full_like(index, _as_int64(seed), dtype=torch.int64)
    for part in (_as_int64(stream), index):
        state = _mixed_(state).bitwise_xor_(torch.as_tensor(part, device=index.device))
    element = torch.arange(count, device=index.device, dtype=torch.int64).mul_(_INCREMENT)
    return _shifted(_mixed_(_mixed_(state).unsqueeze(1) + element), 64 - _BITS)


def random_integers(seed: int, stream: int, index: Tensor, *, bounds: tuple[int, ...]) -> Tensor:
    """Draw integers for each image.

    Args:
        seed: Any integer.
        stream: Tells independent uses of one seed apart.
        index: Row of each image in its data set, int64, [B].
        bounds: Exclusive upper bound of each of the N integers, at most 2**24.

    Returns:
        Integers in [0, bound), int64, [B, N].
    """
    bits = _random_bits(seed, stream, index, len(bounds))
    return (bits * torch.tensor(bounds, device=index.device)) >> _BITS


def signed_uniform(
    seed: int, stream: int, index: Tensor, count: int, *, dtype: torch.dtype
) -> Tensor:
    """Draw numbers for each image, uniform in (-1, 1), neither end nor 0 included.

    Args:
        seed: Any integer.
        stream: Tells independent uses of one seed apart.
        index: Row of each image in its data set, int64, [B].
        count: Numbers N per image.
        dtype: Floating type of the result; the values of float32 and float64 are equal.

    Returns:
        The numbers, [B, N].
    """
    bits = _random_bits(seed, stream, index, count)
    centred = bits.mul_(2).add_(1 - 2**_BITS)  # odd integers: symmetric, and exact in float32
    return centred.to(dtype).mul_(2.0**-_BITS)
