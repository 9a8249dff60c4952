"""Distances of 8-bit images in whole numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hsplid_core.hsic import kernels
from hsplid_core.hsic.pixels import as_levels, level_distances, pixel_distances


def pixels(m: int, d: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randint(256, (m, d)).to(dtype) / 255


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_level_is_read(dtype: torch.dtype) -> None:
    x = torch.arange(256).to(dtype)[None] / 255
    levels = as_levels(x)
    assert levels is not None
    assert torch.equal(levels, torch.arange(-128, 128, dtype=torch.int8)[None])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda x: x + 1e-4,
        lambda x: x - 1,
        lambda x: x * 2,
        lambda x: x.where(x > 0.01, torch.nan),
        lambda x: x.where(x > 0.01, torch.inf),
    ],
    ids=["between levels", "below 0", "above 1", "nan", "infinite"],
)
def test_other_values_are_no_levels(spoil: Callable[[Tensor], Tensor]) -> None:
    x = pixels(40, 300)
    x[37] = spoil(x[37].clone().index_fill(0, torch.tensor([5]), 0.004))
    assert as_levels(x) is None


@pytest.mark.parametrize(("m", "d"), [(1, 5000), (2, 4096), (33, 4097), (3, 2 * 131_071 + 5)])
def test_distances_are_exact(m: int, d: int) -> None:
    # Black against white: the sum that needs most bits.
    x = pixels(m, d)
    x[0], x[-1] = 0, 1
    levels = as_levels(x)
    assert levels is not None
    whole = (x * 255).round().long()
    expected = (whole[:, None] - whole[None]).square().sum(dim=2)
    assert torch.equal(level_distances(levels), expected.double())


def test_the_kernel_takes_them_only_for_images_without_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = []

    def noted(x: Tensor) -> Tensor | None:
        taken.append(x.shape)
        return pixel_distances(x)

    monkeypatch.setattr(kernels, "pixel_distances", noted)
    images = pixels(40, 4096)
    for x in (images, images.clone().requires_grad_(), images[:, :100], torch.rand(40, 4096)):
        distances = kernels.squared_distances(x).detach().double()
        expected = torch.cdist(x.double(), x.double()).square().detach()
        torch.testing.assert_close(distances, expected, rtol=1e-5, atol=2e-3)
    assert taken == [(40, 4096), (40, 4096)]
