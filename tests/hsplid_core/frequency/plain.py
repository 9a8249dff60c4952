"""Transform and flip of any image, by the formula and in its own precision."""

from __future__ import annotations

from torch import Tensor

from hsplid_core.frequency import dct_matrix


def dct2(image: Tensor) -> Tensor:
    """The cosine coefficients of the last two axes."""
    rows, columns = (dct_matrix(size, dtype=image.dtype) for size in image.shape[-2:])
    return rows @ image @ columns.T


def flip(image: Tensor) -> Tensor:
    """The image whose low frequencies are the high ones of this one, and the other way round."""
    rows, columns = (dct_matrix(size, dtype=image.dtype) for size in image.shape[-2:])
    return rows.T @ dct2(image).flip(-1, -2) @ columns
