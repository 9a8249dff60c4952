"""A quantile with a useful gradient: a softmax-weighted mean of the order statistics.

Source: S-IB, arXiv 2511.09239, as its released code defines it. For n values, sorted ascending to
s_0 <= ... <= s_{n-1}, a level q in [0, 1] and a temperature T,

    Q = sum_k w_k s_k,    w = softmax_k(-|k - q (n - 1)| / T).

T is measured in ranks, not in values: at T = 0.1 this is practically one order statistic (or a
blend of the two next to a fractional rank), whatever n is; at T = 1 two or three ranks share.

Two facts make it cheap. Ranks further than 40 T from the target weigh less than 1e-17 together
with all behind them, so only a window of ranks is looked at. And a window of ranks needs no sort:
partial selections (topk) find it in linear time, and one selection can start from another's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hsplid_core.config import check

# exp(-40) is 4e-18: what lies further out is below the rounding of float64.
_REACH = 40.0


class _Window(NamedTuple):
    """The ranks start..stop - 1 that carry weight, and where among them the target lies."""

    start: int
    stop: int
    target: float

    @property
    def width(self) -> int:
        return self.stop - self.start


def soft_quantiles(rows: Tensor, levels: Sequence[float], temperature: float) -> list[Tensor]:
    """Compute several soft quantiles of the same rows.

    Of equal values, those that hold the target's ranks get the gradient. As after a stable sort,
    that goes by position, unless more values are equal than carry weight.

    Args:
        rows: Values, [B, n]; float32 or float64.
        levels: Levels in [0, 1].
        temperature: Softness in ranks, above 0; the published code uses 0.1.

    Returns:
        One column [B, 1] for each level, in their order.

    Raises:
        ConfigError: A level or the temperature is out of range, or the rows are empty.
    """
    check(
        [(0 <= q <= 1, f"q is {q}: use a level in [0, 1]") for q in levels]
        + [
            (temperature > 0, f"temperature is {temperature}: use a value above 0"),
            (rows.shape[-1] > 0, "x has no values to take a quantile of"),
        ]
    )
    windows = [_window(rows.shape[1], q, temperature) for q in levels]
    # One gather for all levels: its backward pass writes one gradient of the rows' size, not many.
    order = rows.gather(1, _ranked(rows, windows))
    parts = torch.split_with_sizes(order, [window.width for window in windows], dim=1)
    return [
        part @ _weights(window, temperature, rows)
        for part, window in zip(parts, windows, strict=True)
    ]


def _window(n: int, q: float, temperature: float) -> _Window:
    target = q * (n - 1)
    start = max(0, math.floor(target - _REACH * temperature))
    stop = min(n, math.ceil(target + _REACH * temperature) + 1)
    return _Window(start, stop, target - start)


def _weights(window: _Window, temperature: float, like: Tensor) -> Tensor:
    """Return the softmax weights of a window's ranks, [width, 1].

    Offsets are counted from the window's start: the published code counts from rank 0 in float32,
    which shifts a fractional target by up to 2e-3 ranks when n is 50,000.
    """
    offsets = torch.arange(window.width, dtype=like.dtype, device=like.device) - window.target
    return torch.softmax(-offsets.abs() / temperature, dim=0)[:, None]


@torch.no_grad()
def _ranked(rows: Tensor, windows: Sequence[_Window]) -> Tensor:
    """Return the positions of the windows' ranks in each row, ascending, int64 [B, sum of widths].

    Windows of the upper half are taken from the largest values, those of the lower half from the
    smallest, from the middle outwards: each selection then starts from the previous one's. Only
    the windows themselves are sorted. Time is linear in n.
    """
    n = rows.shape[1]
    found: dict[_Window, Tensor] = {}
    upper = {window for window in windows if window.start + window.stop > n}
    pool = _Pool(rows, None)
    for window in sorted(upper):
        pool = pool.pick(n - window.start, largest=True)
        found[window] = pool.pick(window.width, largest=False).sorted_positions()
    pool = _Pool(rows, None)
    for window in sorted(set(windows) - upper, reverse=True):
        pool = pool.pick(window.stop, largest=False)
        found[window] = pool.pick(window.width, largest=True).sorted_positions()
    return torch.cat([found[window] for window in windows], dim=1)


class _Pool(NamedTuple):
    """Some values of each row, [B, m], and their positions in it; None where it is all of it."""

    values: Tensor
    positions: Tensor | None

    def pick(self, count: int, *, largest: bool) -> _Pool:
        """Keep the largest or the smallest values, in no particular order."""
        values, chosen = self.values.topk(count, dim=1, largest=largest, sorted=False)
        if self.positions is not None:
            chosen = self.positions.gather(1, chosen)
        return _Pool(values, chosen)

    def sorted_positions(self) -> Tensor:
        """Return the positions by ascending value, and equal values by position.

        Equal values are not rare: float16 images have some in every window.
        """
        assert self.positions is not None
        positions, by_position = self.positions.sort(dim=1)
        by_value = self.values.gather(1, by_position).argsort(dim=1, stable=True)
        return positions.gather(1, by_value)
