"""How the golden tests read stored numbers and compare with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsplid_core.methods._quantile import soft_quantiles
from tests.golden import Golden

F32, F64 = torch.float32, torch.float64
DTYPES = {"f32": F32, "f64": F64}

Arrays = Mapping[str, NDArray[Any]]


def cases(golden: Golden, kind: str) -> list[str]:
    return [name for name, case in golden.catalogue["cases"].items() if case["kind"] == kind]


def tensor(array: NDArray[Any], dtype: torch.dtype = F64) -> Tensor:
    return torch.tensor(np.asarray(array), dtype=dtype)


def soft_quantile(x: Tensor, q: float, dim: int, temperature: float) -> Tensor:
    """The soft quantile along any dimension, which is kept with length 1."""
    moved = x.movedim(dim, -1)
    (value,) = soft_quantiles(moved.reshape(-1, moved.shape[-1]), (q,), temperature)
    return value.reshape(*moved.shape[:-1], 1).movedim(-1, dim)


def distance(value: Tensor, expected: NDArray[Any]) -> float:
    """Largest difference, relative to the largest expected magnitude."""
    reference = torch.as_tensor(np.array(expected), dtype=F64)
    assert value.shape == reference.shape
    scale = max(float(reference.abs().max()), 1e-300)
    return float((value.detach().double() - reference).abs().max()) / scale


def close(value: Tensor, expected: NDArray[Any], rtol: float) -> None:
    assert distance(value, expected) <= rtol


def as_exact_as_published(value: Tensor, arrays: Arrays, key: str, floor: float) -> None:
    """Compare a float32 result with the stored float64 one.

    It may be off by as much as the published code's own float32 result, which not every stored
    subset has, and by the floor in any case.
    """
    allowed = floor
    if f"{key}_f32" in arrays:
        published = torch.as_tensor(np.array(arrays[f"{key}_f32"]))
        allowed = max(floor, 1.5 * distance(published, arrays[f"{key}_f64"]))
    close(value, arrays[f"{key}_f64"], allowed)
