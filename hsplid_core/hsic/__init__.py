"""Kernels and estimators of the Hilbert-Schmidt independence criterion."""

from hsplid_core.hsic.estimators import (
    KernelName,
    hsic_cca,
    hsic_linear,
    hsic_normalised,
    hsic_regular,
    normalised_operator,
    operator_product,
)
from hsplid_core.hsic.kernels import gaussian_kernel, gram, squared_distances

__all__ = [
    "KernelName",
    "gaussian_kernel",
    "gram",
    "hsic_cca",
    "hsic_linear",
    "hsic_normalised",
    "hsic_regular",
    "normalised_operator",
    "operator_product",
    "squared_distances",
]
