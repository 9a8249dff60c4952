"""Dykstra's projection against a slow exact one, and in the flipped basis."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hsplid_core.frequency import project_onto_ball_and_box
from tests.hsplid_core.frequency.plain import flip


def exact_projection(point: Tensor, origin: Tensor, epsilon: float) -> Tensor:
    """Bisect the multiplier of the ball's constraint: x = clip((z + t o) / (1 + t)).

    This solves the optimality conditions of one image's projection, and has nothing in common
    with alternating projections.
    """

    def candidate(multiplier: float) -> Tensor:
        return ((point + multiplier * origin) / (1 + multiplier)).clamp(0, 1)

    low, high = 0.0, 1e8
    if float((candidate(low) - origin).norm()) <= epsilon:
        return candidate(low)
    for _ in range(200):
        middle = (low * high) ** 0.5 if low > 1e-6 else (low + high) / 2
        if float((candidate(middle) - origin).norm()) > epsilon:
            low = middle
        else:
            high = middle
    return candidate(high)


def problem(seed: int, spread: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    origin = torch.rand(3, 2, 5, 5, generator=generator, dtype=torch.float64)
    away = torch.randn(3, 2, 5, 5, generator=generator, dtype=torch.float64)
    return origin, origin + spread * away


@given(st.integers(0, 10**6), st.sampled_from([0.01, 0.3, 2.0]), st.sampled_from([0.2, 1.0, 4.0]))
@settings(max_examples=30, deadline=None)
def test_finds_the_nearest_point_of_both_sets(seed: int, spread: float, epsilon: float) -> None:
    origin, point = problem(seed, spread)
    found = project_onto_ball_and_box(point, origin, epsilon, tolerance=1e-9, max_rounds=5000)
    for row in range(len(point)):
        expected = exact_projection(point[row], origin[row], epsilon)
        torch.testing.assert_close(found[row], expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("max_rounds", [1, 200])
def test_in_the_flipped_basis_it_is_the_flipped_projection(max_rounds: int) -> None:
    origin, point = problem(0, 0.5)
    in_pixels = project_onto_ball_and_box(point, origin, 1.0, max_rounds=max_rounds)
    flipped = project_onto_ball_and_box(
        flip(point), flip(origin), 1.0, to_pixels=flip, from_pixels=flip, max_rounds=max_rounds
    )
    torch.testing.assert_close(flip(flipped), in_pixels)
    assert (flipped - flip(origin)).flatten(1).norm(dim=1).max() <= 1 + 1e-9
    assert flip(flipped).min() >= -1e-9
    assert flip(flipped).max() <= 1 + 1e-9


def test_is_nearer_than_shrinking_and_clipping() -> None:
    origin, point = problem(1, 1.0)
    change = point - origin
    shrunk = change / change.flatten(1).norm(dim=1).clamp(min=1).view(-1, 1, 1, 1)
    clipped = (origin + shrunk).clamp(0, 1)
    nearest = project_onto_ball_and_box(point, origin, 1.0)
    assert (
        (nearest - point).flatten(1).norm(dim=1) < (clipped - point).flatten(1).norm(dim=1)
    ).all()


def test_what_is_in_both_sets_stays() -> None:
    origin, _ = problem(2, 0)
    inside = (origin + 0.01).clamp(0, 1)
    torch.testing.assert_close(project_onto_ball_and_box(inside, origin, 1.0), inside)
    none = inside[:0]
    assert project_onto_ball_and_box(none, none, 1.0).shape == none.shape
