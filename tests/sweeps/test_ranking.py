from __future__ import annotations

import itertools

import numpy as np
import pytest

from sweeps.fronts.ranking import Front, dominating, epsilon_net, is_among_best


def brute_force_front(values: np.ndarray) -> list[bool]:
    return [
        not any(np.all(other <= point) and np.any(other < point) for other in values)
        for point in values
    ]


def test_an_epsilon_net_spreads_over_the_front() -> None:
    front = np.array([[0.0, 1.0], [0.01, 0.98], [0.5, 0.5], [0.52, 0.47], [1.0, 0.0]])
    # The best first objective, its opposite end, the middle, and only then their neighbours.
    assert epsilon_net(front)[:3] == [0, 4, 2]
    assert sorted(epsilon_net(front)) == list(range(5))
    # The scale of an objective does not matter, nor does one that is the same everywhere.
    assert epsilon_net(front * [1.0, 1000.0]) == epsilon_net(front)
    assert epsilon_net(np.array([[1.0, 5.0], [2.0, 5.0], [9.0, 5.0]])) == [0, 2, 1]


def test_infinity_is_the_end_of_what_is_known() -> None:
    front = np.array([[0.0, np.inf], [0.1, 9.0], [0.9, 2.0], [1.0, 1.0]])
    # Counted as 9, the first point nearly is the second, which therefore comes last.
    assert epsilon_net(front) == [0, 3, 2, 1]
    assert epsilon_net(front, 2) == [0, 3]
    assert epsilon_net(np.array([[np.inf, 1.0], [np.inf, 0.0]])) == [0, 1]
    assert not is_among_best(np.array([[np.inf, np.inf], [1.0, np.inf]]), 0, 1)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_being_among_the_best_agrees_with_the_whole_ranking(m: int) -> None:
    values = np.random.default_rng(m).random((25, m)).round(1)
    ranking: list[int] = []
    left = np.arange(len(values))
    while len(left):
        front = np.array(brute_force_front(values[left]))
        ranking += [int(left[front][i]) for i in epsilon_net(values[left][front])]
        left = left[~front]
    for index, count in itertools.product(range(25), (1, 3, 8, 25)):
        assert is_among_best(values, index, count) == (ranking.index(index) < count)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((0.5, 0.4), (0.5, 0.5), True),
        ((0.5, 0.5), (0.5, 0.5), False),
        ((0.4, 0.6), (0.5, 0.5), False),
        ((0.5, 0.5), (0.5, 0.4), False),
        ((0.5, 0.5), (np.inf, 0.5), True),
        ((0.5, np.inf), (0.6, np.inf), True),
    ],
)
def test_dominance(
    first: tuple[float, float], second: tuple[float, float], expected: bool
) -> None:
    assert dominating(np.array([first, (9.0, 9.0)]), second).tolist() == [expected, False]


@pytest.mark.parametrize("m", [1, 2, 3])
def test_a_front_that_grows_point_by_point_is_the_front_of_all(m: int) -> None:
    values = np.random.default_rng(m).random((60, m)).round(1)
    values[::13, 0] = np.inf
    front = Front(m)
    members: set[int] = set()
    for number, point in enumerate(values.tolist()):
        admitted = front.admits(point)
        left = front.add(number, point)
        assert admitted == (left is not None)
        if left is not None:
            members = (members - set(left)) | {number}
        known = brute_force_front(values[: number + 1])
        assert members == {n for n, on_front in enumerate(known) if on_front}
