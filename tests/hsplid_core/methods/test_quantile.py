from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hsplid_core.errors import ConfigError
from hsplid_core.methods._quantile import soft_quantiles
from tests.hsplid_core.methods.comparing import soft_quantile

LEVELS = (0.0, 0.05, 0.3, 0.5, 0.8, 0.95, 1.0)


def published(x: Tensor, q: float, dim: int, temperature: float) -> Tensor:
    """The README's formula: sort everything, weigh everything."""
    n = x.shape[dim]
    ranks = torch.arange(n, dtype=x.dtype)
    weights = torch.softmax(-(ranks - q * (n - 1)).abs() / temperature, dim=0)
    ordered = x.sort(dim=dim).values.movedim(dim, -1)
    return (ordered * weights).sum(dim=-1, keepdim=True).movedim(-1, dim)


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0, 7.0, 1000.0])
@pytest.mark.parametrize("q", LEVELS)
def test_it_is_the_published_formula(q: float, temperature: float) -> None:
    for shape, dim in (((3, 500), 1), ((400,), 0), ((2, 37, 3), 1), ((5, 1, 2), -2)):
        x = random(*shape).requires_grad_()
        value = soft_quantile(x, q, dim, temperature)
        expected = published(x, q, dim, temperature)
        torch.testing.assert_close(value, expected, rtol=1e-13, atol=1e-13)
        gradients = [torch.autograd.grad(y.sum(), x)[0] for y in (value, expected)]
        torch.testing.assert_close(*gradients, rtol=1e-13, atol=1e-15)


def test_several_levels_of_the_same_rows() -> None:
    rows = random(4, 1000)
    # Neither sorted nor free of repeats.
    levels = (0.8, 0.05, 0.5, 0.95, 0.05, 1.0)
    for q, value in zip(levels, soft_quantiles(rows, levels, 0.1), strict=True):
        torch.testing.assert_close(value, soft_quantile(rows, q, 1, 0.1))


def test_closed_forms() -> None:
    x = torch.tensor([4.0, 1.0, 3.0, 2.0, 5.0])
    assert float(soft_quantile(x, 0.5, 0, 1e-3)) == 3.0
    # The target lies half way between two ranks, which share it.
    assert float(soft_quantile(x, 0.375, 0, 1e-3)) == 2.5
    far = 2 * math.exp(-2) + 2 * math.exp(-1) + 1
    weights = torch.tensor([math.exp(-abs(k - 2)) / far for k in range(5)])
    expected = weights @ torch.tensor([1.0, 2.0, 3.0, 4.0, 9.0])
    skewed = torch.where(x == 5, 9.0, x)
    torch.testing.assert_close(soft_quantile(skewed, 0.5, 0, 1.0)[0], expected)


def test_the_weights_of_a_quantile_sum_to_one() -> None:
    x = random(2, 3000).requires_grad_()
    value = soft_quantile(x, 0.8, 1, 3.0)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    torch.testing.assert_close(gradient.sum(dim=1), torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("temperature", [0.3, 2.0])
@pytest.mark.parametrize("q", [0.0, 0.3, 0.8, 1.0])
def test_gradcheck(q: float, temperature: float) -> None:
    # Distinct values far enough apart that no finite difference swaps two of them.
    x = torch.randperm(24, generator=torch.Generator().manual_seed(2)).double().reshape(2, 12)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: soft_quantile(x, q, 1, temperature), x, eps=1e-4)


@pytest.mark.parametrize("value", [0.0, 3.25, -1.0])
def test_ties(value: float) -> None:
    x = torch.full((2, 200), value, requires_grad=True)
    quantile = soft_quantile(x, 0.8, 1, 0.1)
    torch.testing.assert_close(quantile, torch.full((2, 1), value))
    (gradient,) = torch.autograd.grad(quantile.sum(), x)
    torch.testing.assert_close(gradient.sum(dim=1), torch.ones(2))


def test_equal_values_are_ranked_by_position() -> None:
    x = torch.tensor([[2.0, 1.0, 2.0, 2.0, 3.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(soft_quantile(x, 0.5, 1, 0.01).sum(), x)
    torch.testing.assert_close(gradient, torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0]]))


def test_float32_keeps_the_place_of_a_fractional_rank() -> None:
    # 0.95 * (100003 - 1) = 95001.9: counted from rank 0, float32 has steps of 0.008 there.
    x = torch.randperm(100003, generator=torch.Generator().manual_seed(0)).float()
    exact = soft_quantile(x.double(), 0.95, 0, 0.1)
    torch.testing.assert_close(soft_quantile(x, 0.95, 0, 0.1).double(), exact, rtol=1e-7, atol=0)


@pytest.mark.parametrize(
    ("q", "temperature", "n", "message"),
    [
        (-0.1, 0.1, 3, "q is -0.1"),
        (1.1, 0.1, 3, "q is 1.1"),
        (0.5, 0.0, 3, "temperature is 0.0"),
        (0.5, 0.1, 0, "no values"),
    ],
)
def test_impossible_requests_are_refused(
    q: float, temperature: float, n: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        soft_quantiles(torch.zeros(2, n), (q,), temperature)
