"""The nearest point of a plane in a box, against bisection and against formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hsplid_core.attacks.balls import sizes
from hsplid_core.attacks.fab import towards_plane


def by_bisection(point: Tensor, normal: Tensor, rest: Tensor, norm: str) -> Tensor:
    """The same for one image, by halving the interval of tau 200 times."""
    forward = normal.sign() * rest.sign()
    room = torch.where(forward > 0, 1 - point, point) * (forward != 0)
    speed = normal.abs() if norm == "l2" else torch.ones_like(normal)
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        reached = (normal.abs() * torch.minimum(middle * speed, room)).sum()
        low, high = (middle, high) if reached < rest.abs() else (low, middle)
    return forward * torch.minimum(high * speed, room)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000), norm=st.sampled_from(["linf", "l2"]), share=st.floats(-1.3, 1.3)
)
def test_agrees_with_bisection(seed: int, norm: Any, share: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    point = torch.rand(3, 2, 4, 4, generator=generator, dtype=torch.float64)
    point[0, 0] = 1.0  # saturated pixels
    normal = torch.randn(3, 2, 4, 4, generator=generator, dtype=torch.float64)
    normal[1, :, 2:] = 0  # protected pixels
    farthest = (normal * torch.where(normal * share > 0, 1 - point, -point)).flatten(1).sum(1)
    rest = farthest * abs(share) if share else torch.zeros(3, dtype=torch.float64)
    lower, upper = torch.zeros_like(point), torch.ones_like(point)
    found = towards_plane(point, normal, rest, lower, upper, norm)
    for row in range(3):
        expected = by_bisection(point[row], normal[row], rest[row], norm)
        torch.testing.assert_close(found[row], expected, rtol=1e-7, atol=1e-9)
    moved = point + found
    assert ((moved >= -1e-12) & (moved <= 1 + 1e-12)).all()
    if abs(share) <= 1:
        torch.testing.assert_close((normal * found).flatten(1).sum(1), rest, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_far_from_the_box_it_is_the_distance_in_the_dual_norm(norm: Any, dual: int) -> None:
    normal = torch.randn(5, 1, 6, 6, generator=torch.Generator().manual_seed(0)).double()
    point = torch.full_like(normal, 0.5)
    rest = torch.tensor([0.1, -0.2, 0.3, 0.0, -0.01], dtype=torch.float64)
    change = towards_plane(
        point, normal, rest, torch.zeros_like(point), torch.ones_like(point), norm
    )
    expected = rest.abs() / normal.flatten(1).norm(p=dual, dim=1)
    torch.testing.assert_close(sizes(change, norm), expected)


def test_without_a_normal_nothing_moves() -> None:
    zero = torch.zeros(2, 1, 3, 3)
    change = towards_plane(zero + 0.5, zero, torch.ones(2), zero, zero + 1, "linf")
    assert torch.equal(change, zero)
