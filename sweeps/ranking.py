"""Ranking points by several objectives at once: non-dominated fronts, each thinned out evenly.

All functions take values to minimise, [n, m] for n points and m objectives. After MO-ASHA
(Schmucker et al., arXiv 2106.12639): points of an earlier front come first, and within a front
they come in the order of an epsilon-net, each as far as possible from those before it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def is_on_front(values: Values) -> NDArray[np.bool_]:
    """Tell which points no other point dominates, [n]; equal points do not dominate each other."""
    # In lexicographic order a point can only be dominated by one before it.
    order = np.lexsort(values.T[::-1])
    front = np.zeros(len(values), dtype=bool)
    kept: list[int] = []
    for index in order:
        members = values[kept]
        dominated = np.all(members <= values[index], axis=1) & np.any(
            members < values[index], axis=1
        )
        if not dominated.any():
            front[index] = True
            kept.append(index)
    return front


def epsilon_net(values: Values) -> list[int]:
    """Order the points of one front so that each prefix covers it evenly.

    Args:
        values: Points of a front; each objective is scaled to the front's own range.

    Returns:
        Indices: first the best point of the first objective, then always the point farthest from
        all chosen ones; of equal distances the first.
    """
    span = np.ptp(values, axis=0)
    scaled = (values - values.min(axis=0)) / np.where(span > 0, span, 1.0)
    order = [int(np.argmin(scaled[:, 0]))]
    distance = np.linalg.norm(scaled - scaled[order[0]], axis=1)
    distance[order[0]] = -1.0
    while len(order) < len(values):
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
    point = values[index]
    dominators = np.all(values <= point, axis=1) & np.any(values < point, axis=1)
    # Whoever dominates a point is in an earlier front; this alone settles most cases, in O(n).
    if int(dominators.sum()) >= count:
        return False
    left = np.arange(len(values))
    while True:
        front = is_on_front(values[left])
        members = left[front]
        if index in members:
            break
        count -= len(members)
        if count <= 0:
            return False
        left = left[~front]
    if len(members) <= count:
        return True
    place = epsilon_net(values[members]).index(int(np.flatnonzero(members == index)[0]))
    return place < count
