"""The HSIC estimators against the published code's numbers (golden family hsic)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from hsplid_core.hsic import (
    KernelName,
    gaussian_kernel,
    hsic_cca,
    hsic_linear,
    hsic_normalised,
    hsic_regular,
    normalised_operator,
    operator_product,
    squared_distances,
)
from hsplid_core.hsic.estimators import kernel_matrix
from tests.golden import load

GOLDEN = load("hsic")
CASES = GOLDEN.catalogue["cases"]

# The stored gradients of the normalised HSIC carry the rounding of the published form: evaluated
# twice in float64 it differs from itself by up to 1e-6 (the inverse of K H + eps m I, whose
# condition is about 1e5). test_gradient_is_exact shows ours to be right to 1e-11.
PUBLISHED_ROUNDING = 2e-6


def cases(kind: str) -> list[str]:
    return [name for name, case in CASES.items() if case["kind"] == kind]


def tensor(array: NDArray[Any], dtype: torch.dtype) -> Tensor:
    return torch.tensor(np.asarray(array), dtype=dtype)


def close(value: Tensor, expected: NDArray[Any], rtol: float) -> None:
    """Compare relative to the largest entry, as rounding in a sum is."""
    reference = torch.as_tensor(np.array(expected), dtype=torch.float64)
    error = (value.detach().double() - reference).abs().max()
    assert error <= rtol * reference.abs().max(), f"{float(error):.2e}"


@pytest.mark.parametrize("name", cases("hsic_pair"))
def test_pair_in_float64(name: str) -> None:
    arrays, params = GOLDEN.case(name), CASES[name]["params"]
    x = tensor(arrays["x"], torch.float64).requires_grad_()
    y = tensor(arrays["y"], torch.float64).requires_grad_()
    sigma = params["sigma"]
    value = hsic_cca(x, y, kernel_y=params["k_type_y"], sigma=sigma, ridge=params["eps"])
    grads = dict(zip("xy", torch.autograd.grad(value, (x, y)), strict=True))
    close(value, arrays["cca_f64"], 1e-8)
    for variable, grad in grads.items():
        for key, actual in (
            (f"grad_cca_{variable}_f64", grad),
            (f"grad_cols64_cca_{variable}_f64", grad[:, :64]),
            (f"grad_fro_cca_{variable}_f64", grad.norm()),
        ):
            if key in arrays:
                close(actual, arrays[key], PUBLISHED_ROUNDING)
    regular = hsic_regular(x, y, sigma=sigma)
    (grad_regular,) = torch.autograd.grad(regular, x)
    close(regular, arrays["regular_f64"], 1e-8)
    for key, actual in (
        ("grad_reg_x_f64", grad_regular),
        ("grad_cols64_reg_x_f64", grad_regular[:, :64]),
        ("grad_fro_reg_x_f64", grad_regular.norm()),
    ):
        if key in arrays:
            close(actual, arrays[key], 1e-8)
    close(hsic_regular(x, y, sigma=None), arrays["regular_median_f64"], 1e-8)
    close(hsic_normalised(x, y, sigma=sigma), arrays["normalized_f64"], 1e-8)
    if "distmat_x_f64" in arrays:
        close(squared_distances(x), arrays["distmat_x_f64"], 1e-8)
    kernels: dict[str, tuple[Tensor, KernelName]] = {
        "K_x_f64": (x, "gaussian"),
        "K_y_f64": (y, params["k_type_y"]),
    }
    for key, (samples, kernel_name) in kernels.items():
        if key in arrays:
            kernel = kernel_matrix(samples, kernel_name, sigma)
            close(kernel - kernel.mean(dim=1, keepdim=True), arrays[key], 1e-8)


@pytest.mark.parametrize("name", cases("hsic_pair"))
def test_pair_in_float32_is_no_worse_than_published(name: str) -> None:
    arrays, params = GOLDEN.case(name), CASES[name]["params"]
    x, y = tensor(arrays["x"], torch.float32), tensor(arrays["y"], torch.float32)
    value = hsic_cca(x, y, kernel_y=params["k_type_y"], sigma=params["sigma"])
    truth = float(arrays["cca_f64"])
    published = float(arrays["relerr_f32_vs_f64"])
    assert value.dtype == torch.float32
    # 1e-6: the rounding of the float32 result itself.
    assert abs(float(value) - truth) <= max(published, 1e-6) * abs(truth)
    assert float(hsic_regular(x, y, sigma=params["sigma"])) == pytest.approx(
        float(arrays["regular_f64"]), rel=1e-5
    )


@pytest.mark.parametrize("name", cases("split_terms"))
def test_split_terms(name: str) -> None:
    arrays, params = GOLDEN.case(name), CASES[name]["params"]
    salient = tensor(arrays["zc"], torch.float64).requires_grad_()
    nonsalient = tensor(arrays["zs"], torch.float64).requires_grad_()
    operator = {
        "s": normalised_operator(salient),
        "n": normalised_operator(nonsalient),
        "x": normalised_operator(tensor(arrays["inp"], torch.float64)),
        "y": normalised_operator(tensor(arrays["t"], torch.float64), kernel=params["k_type_y"]),
    }
    terms = torch.stack(
        [operator_product(operator[a], operator[b]) for a, b in ("sy", "nx", "ns", "ny", "sx")]
    )
    grads = torch.autograd.grad(terms.sum(), (salient, nonsalient))
    close(terms, arrays["terms_f64"], 1e-8)
    close(grads[0], arrays["gsum_zc_f64"], PUBLISHED_ROUNDING)
    close(grads[1], arrays["gsum_zs_f64"], PUBLISHED_ROUNDING)


@pytest.mark.parametrize("name", cases("hsic_linear_sib"))
def test_linear_hsic(name: str) -> None:
    arrays, params = GOLDEN.case(name), CASES[name]["params"]
    z1 = tensor(arrays["z1"], torch.float64).requires_grad_()
    z2 = tensor(arrays["z2"], torch.float64).requires_grad_()
    normalise = params["rows_l2_normalised_first"]
    value = hsic_linear(*(F.normalize(z, dim=1) if normalise else z for z in (z1, z2)))
    grads = torch.autograd.grad(value, (z1, z2))
    close(value, arrays["lin_f64"], 1e-8)
    for variable, grad in zip(("z1", "z2"), grads, strict=True):
        for key, actual in (
            (f"grad_lin_{variable}_f64", grad),
            (f"grad_cols64_lin_{variable}_f64", grad[:, :64]),
            (f"grad_fro_lin_{variable}_f64", grad.norm()),
        ):
            if key in arrays:
                close(actual, arrays[key], 1e-8)


def exact_gradient(x: NDArray[Any], y: NDArray[Any], sigma: float, ridge: float) -> NDArray[Any]:
    """The gradient in x of tr(R_x R_y) by its formulas in 40 digits; y has a linear kernel."""
    with mpmath.workdps(40):
        samples, labels = (
            [[mpmath.mpf(float(value)) for value in row] for row in rows] for rows in (x, y)
        )
        m, d = x.shape
        scale = mpmath.mpf(sigma) ** 2 * d
        identity = mpmath.eye(m)
        centring = identity - mpmath.ones(m) / m

        def matrix(entry: Callable[[int, int], Any]) -> Any:
            return mpmath.matrix([[entry(i, j) for j in range(m)] for i in range(m)])

        def squared_gap(i: int, j: int) -> Any:
            return sum((a - b) ** 2 for a, b in zip(samples[i], samples[j], strict=True))

        kernel_x = matrix(lambda i, j: mpmath.exp(-squared_gap(i, j) / (2 * scale)))
        kernel_y = matrix(
            lambda i, j: sum(a * b for a, b in zip(labels[i], labels[j], strict=True))
        )
        c = mpmath.mpf(ridge) * m
        inverse_x, inverse_y = (
            (centring * kernel * centring + c * identity) ** -1 for kernel in (kernel_x, kernel_y)
        )
        outer = centring * (c * inverse_x * (identity - c * inverse_y) * inverse_x) * centring
        grad = [
            [
                sum(
                    -2 * outer[i, j] * kernel_x[i, j] * (samples[i][k] - samples[j][k]) / scale
                    for j in range(m)
                )
                for k in range(d)
            ]
            for i in range(m)
        ]
        return np.array(grad, dtype=np.float64)


def test_gradient_is_exact() -> None:
    # The smallest case: in many digits a larger one takes minutes.
    arrays = min((GOLDEN.case(name) for name in cases("hsic_pair")), key=lambda a: a["x"].size)
    x = tensor(arrays["x"], torch.float64).requires_grad_()
    y = tensor(arrays["y"], torch.float64)
    (grad,) = torch.autograd.grad(hsic_cca(x, y, kernel_y="linear"), x)
    expected = exact_gradient(arrays["x"], arrays["y"], sigma=5.0, ridge=1e-5)
    close(grad, expected, 1e-11)


@pytest.mark.parametrize("kernel_y", ["linear", "gaussian"])
def test_gradcheck(kernel_y: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    y = torch.randn(6, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: hsic_cca(a, b, kernel_y=kernel_y), (x, y))
    assert torch.autograd.gradcheck(hsic_regular, (x, y))


def test_invariance_and_independence() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(20, 5, generator=generator, dtype=torch.float64)
    y = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    order = torch.randperm(20, generator=generator)
    assert float(hsic_cca(x[order], y[order])) == pytest.approx(float(hsic_cca(x, y)), rel=1e-10)
    constant = torch.zeros(20, 3, dtype=torch.float64)
    assert abs(float(hsic_cca(x, constant))) < 1e-9
    assert abs(float(hsic_regular(x, constant))) < 1e-12
    assert float(hsic_normalised(x, x)) == pytest.approx(1.0)


@pytest.mark.parametrize(("rows", "width"), [(200, 5000), (64, 5000), (65, 4096), (130, 100)])
def test_blocked_gram_equals_the_plain_product(rows: int, width: int) -> None:
    x = torch.randn(rows, width, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = torch.exp(-torch.cdist(x, x).square() / (2 * 25 * width))
    torch.testing.assert_close(gaussian_kernel(x, 5.0), expected, rtol=1e-10, atol=1e-12)


def test_nan_reaches_the_value() -> None:
    x = torch.randn(8, 3)
    x[0, 0] = torch.nan
    assert hsic_cca(x, torch.randn(8, 2)).isnan()
