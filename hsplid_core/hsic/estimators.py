"""Estimators of the Hilbert-Schmidt independence criterion (HSIC).

Symbols: m samples; K_x, K_y kernel matrices [m, m]; H = I - 11^T / m; A = H K H.

The published code centres on the right only (K H). All values here agree with it, because
tr(K_x H K_y H) = tr(A_x A_y) and tr(R_x R_y) does not depend on the side of the centring; the
doubly centred form is symmetric, so a Cholesky factor can replace a general inverse.

The ridge of the normalised HSIC grows with the batch and its value saturates near (classes - 1)
for labels and m - 1 for wide inputs: values of different batch sizes do not compare.

Sources: Gretton et al. 2005; Fukumizu et al. 2008 (normalised form); H-SPLID, arXiv 2510.20627.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from hsplid_core.hsic.kernels import centred, gaussian_kernel, gram

KernelName = Literal["gaussian", "linear"]

RIDGE = 1e-5


class _Operator(torch.autograd.Function):
    """R = A (A + c I)^-1 = I - c M with A = H K H and M = (A + c I)^-1, in float64.

    dR = c M dA M, so the backward pass is two products with the inverse already at hand. One
    function for casting, centring and inverting: each would otherwise pass over the matrix, and
    keep it, by itself.
    """

    @staticmethod
    def forward(ctx: Any, kernel: Tensor, ridge: float) -> Tensor:
        matrix = centred(kernel, _wide(kernel))
        matrix.diagonal().add_(ridge)
        # cholesky_ex does not wait for the device: a NaN in the batch becomes a NaN in the loss.
        # LAPACK's matrices stand column by column; ``.mT`` of a symmetric one reads it by rows.
        inverse = torch.cholesky_inverse(torch.linalg.cholesky_ex(matrix.mT)[0]).mT
        ctx.save_for_backward(inverse)
        ctx.ridge, ctx.dtype = ridge, kernel.dtype
        result = inverse * -ridge
        result.diagonal().add_(1)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (inverse,) = ctx.saved_tensors
        outer = inverse @ grads[0] @ inverse
        return centred(outer).to(ctx.dtype).mul_(ctx.ridge), None


def _wide(x: Tensor) -> torch.dtype:
    """float64 wherever the device has it."""
    return x.dtype if x.device.type == "mps" else torch.float64


def _low_rank_operator(x: Tensor, ridge: float) -> Tensor:
    """R for a linear kernel of few dimensions d < m, by a d x d solve.

    With C = H X, C C^T (C C^T + c I)^-1 = C (C^T C + c I)^-1 C^T.
    """
    columns = x.to(_wide(x))
    columns = columns - columns.mean(dim=0)
    inner = columns.T @ columns + ridge * torch.eye(
        x.shape[1], dtype=columns.dtype, device=columns.device
    )
    solved: Tensor = torch.linalg.solve_ex(inner, columns.T).result
    return columns @ solved


def kernel_matrix(x: Tensor, kernel: KernelName, sigma: float | None) -> Tensor:
    """Compute the kernel matrix of the rows of X [m, d], [m, m]."""
    return gram(x) if kernel == "linear" else gaussian_kernel(x, sigma)


def normalised_operator(
    x: Tensor,
    *,
    kernel: KernelName = "gaussian",
    sigma: float | None = 5.0,
    ridge: float = RIDGE,
) -> Tensor:
    """Compute R = A (A + ridge m I)^-1, the normalised covariance operator of one variable.

    The solve runs in float64 wherever the device has it: in float32 the condition number (up to
    1e5) costs three digits, and the matrices are small.

    Args:
        x: Samples, [m, d]; any real dtype.
        kernel: Kernel of this variable.
        sigma: Bandwidth of the Gaussian kernel.
        ridge: Regularisation per sample.

    Returns:
        R, [m, m], float64 (float32 on devices without float64), differentiable in x once.
    """
    x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    with torch.autocast(device_type=x.device.type, enabled=False):
        scaled = ridge * x.shape[0]
        if kernel == "linear" and x.shape[1] < x.shape[0]:
            return _low_rank_operator(x, scaled)
        result: Tensor = _Operator.apply(kernel_matrix(x, kernel, sigma), scaled)
    return result


def operator_product(first: Tensor, second: Tensor) -> Tensor:
    """Compute tr(R_x R_y), the normalised HSIC of two variables, from their operators."""
    return torch.dot(first.reshape(-1), second.reshape(-1))


def hsic_cca(
    x: Tensor,
    y: Tensor,
    *,
    kernel_y: KernelName = "gaussian",
    sigma: float | None = 5.0,
    ridge: float = RIDGE,
) -> Tensor:
    """Normalised (NOCCO) HSIC, tr(R_x R_y), the estimator of HBaR and H-SPLID.

    Args:
        x: First variable, [m, d_x]; its kernel is Gaussian.
        y: Second variable, [m, d_y], for instance one-hot labels.
        kernel_y: Kernel of y.
        sigma: Bandwidth of the Gaussian kernels.
        ridge: Regularisation per sample.

    Returns:
        A scalar in x's dtype.
    """
    first = normalised_operator(x, sigma=sigma, ridge=ridge)
    second = normalised_operator(y, kernel=kernel_y, sigma=sigma, ridge=ridge)
    return operator_product(first, second).to(x.dtype)


def hsic_regular(x: Tensor, y: Tensor, *, sigma: float | None = 5.0) -> Tensor:
    """HSIC with Gaussian kernels, tr(K_x H K_y H) / m^2 (the biased form, divisor m^2).

    Args:
        x: First variable, [m, d_x].
        y: Second variable, [m, d_y].
        sigma: Bandwidth; None takes each variable's median.
    """
    # One centred factor would do (H is idempotent), but entries near 1 would cost its digits.
    return (centred(gaussian_kernel(x, sigma)) * centred(gaussian_kernel(y, sigma))).mean()


def hsic_normalised(x: Tensor, y: Tensor, *, sigma: float | None = 5.0) -> Tensor:
    """HSIC divided by the root of both variables' HSIC with themselves."""
    scale = hsic_regular(x, x, sigma=sigma).sqrt() * hsic_regular(y, y, sigma=sigma).sqrt()
    return hsic_regular(x, y, sigma=sigma) / scale


def hsic_linear(x: Tensor, y: Tensor) -> Tensor:
    """HSIC with linear kernels and divisor (m - 1)^2, as S-IB uses it (arXiv 2511.09239).

    S-IB's text calls it unbiased; it is the biased estimator.

    Args:
        x: First variable, [m, d].
        y: Second variable, [m, d].
    """
    return (centred(gram(x)) * centred(gram(y))).sum() / (x.shape[0] - 1) ** 2
