"""Ranking points by several objectives at once: non-dominated fronts, each thinned out evenly.

All values are to be minimised, [n, m] for n points and m objectives. After MO-ASHA (Schmucker et
al., arXiv 2106.12639): points of an earlier front come first, and within a front they come in the
order of an epsilon-net, each as far as possible from those before it. The sorting into fronts is
moocore's, the field's reference implementation.
"""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def epsilon_net(values: Values, count: int | None = None) -> list[int]:
    """Order the points of one front so that each prefix covers it evenly.

    Args:
        values: Points of a front; each objective is scaled to the front's own finite range, and
            infinity counts as its end.
        count: How many are wanted; all by default.

    Returns:
        Indices: first the best point of the first objective, then always the point farthest from
        all chosen ones; of equal distances the first.
    """
    finite = np.isfinite(values)
    low = np.min(values, axis=0, where=finite, initial=np.inf)
    high = np.max(values, axis=0, where=finite, initial=-np.inf)
    span = high - low
    usable = finite.any(axis=0) & (span > 0)
    scaled = np.zeros_like(values)
    scaled[:, usable] = (np.clip(values, low, high) - low)[:, usable] / span[usable]
    order = [int(np.argmin(scaled[:, 0]))]
    distance = np.linalg.norm(scaled - scaled[order[0]], axis=1)
    distance[order[0]] = -1.0
    while len(order) < min(len(values), len(values) if count is None else count):
        farthest = int(np.argmax(distance))
        order.append(farthest)
        distance = np.minimum(distance, np.linalg.norm(scaled - scaled[farthest], axis=1))
        distance[order] = -1.0
    return order


def is_among_best(values: Values, index: int, count: int) -> bool:
    """Tell whether a point is among the first `count` of the ranking.

    Args:
        values: Values to minimise, [n, m]; infinite where a trial has none.
        index: The point.
        count: Places, at least 1.
    """
    ranks = moocore.pareto_rank(values)
    left = count - int((ranks < ranks[index]).sum())
    members = np.flatnonzero(ranks == ranks[index])
    if left <= 0 or left >= len(members):
        return left > 0
    return index in members[epsilon_net(values[members], left)]


def dominating(values: Values, point: Sequence[float]) -> NDArray[np.bool_]:
    """Tell which points dominate another: are nowhere worse than it, and somewhere better.

    Args:
        values: The points, [n, m].
        point: The other, of m values.

    Returns:
        One bool a point, [n].
    """
    other = np.asarray(point)
    nowhere_worse: NDArray[np.bool_] = np.all(values <= other, axis=1)
    better: NDArray[np.bool_] = np.any(values < other, axis=1)
    return nowhere_worse & better


class Front:
    """Points none of which dominates another, while they come one by one.

    Args:
        n_objectives: Values of a point.
    """

    def __init__(self, n_objectives: int) -> None:
        self._values = np.empty((0, n_objectives))
        self._numbers = np.empty(0, dtype=np.int64)

    def admits(self, point: Sequence[float]) -> bool:
        """Tell whether no member dominates a point."""
        return not dominating(self._values, point).any()

    def add(self, number: int, point: Sequence[float]) -> list[int] | None:
        """Add a point, unless a member dominates it.

        Args:
            number: Whose it is.
            point: Its values.

        Returns:
            Numbers of the members that it dominates, which leave; None if it was not added.
        """
        if not self.admits(point):
            return None
        leave = dominating(-self._values, [-value for value in point])
        left: list[int] = self._numbers[leave].tolist()
        self._values = np.vstack([self._values[~leave], point])
        self._numbers = np.append(self._numbers[~leave], number)
        return left
