"""Small batches and models for the tests of attacks and evaluation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hsplid_core.data.batch import Batch


def make_batch(
    rows: int = 6,
    *,
    size: tuple[int, int, int] = (3, 8, 8),
    classes: int = 3,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> Batch:
    """Random images with a rectangle as object, indexed from 0."""
    generator = torch.Generator().manual_seed(seed)
    channels, height, width = size
    mask = torch.zeros(rows, 1, height, width, dtype=torch.bool)
    for row in range(rows):
        top, left = row % (height // 2), (3 * row) % (width // 2)
        mask[row, :, top : top + height // 2, left : left + width // 3] = True
    return Batch(
        image=torch.rand(rows, channels, height, width, generator=generator, dtype=dtype),
        target=torch.randint(classes, (rows,), generator=generator),
        mask=mask,
        index=torch.arange(rows),
    )


def pick(batch: Batch, rows: Tensor) -> Batch:
    """Some images of a batch, in another order."""
    mask = None if batch.mask is None else batch.mask[rows]
    return Batch(batch.image[rows], batch.target[rows], mask, batch.index[rows])


def make_net(
    *,
    channels: int = 3,
    classes: int = 3,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    sharpness: float = 8.0,
) -> nn.Sequential:
    """A smooth net, so that gradients of float64 agree whatever the batch they are taken in.

    Dropout and batch normalisation are there to tell eval mode from training mode.
    """
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.Tanh(),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, classes),
    ).to(dtype)
    with torch.no_grad():
        for parameter in net.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=dtype)
            parameter.copy_(noise * (sharpness if parameter.ndim == 2 else 1))
    return net.eval()


class LinearModel(nn.Module):
    """Logits w x + b, whose worst case in a ball is a formula."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.eval()
        self.weight = nn.Parameter(weight)  # [K, C, H, W]
        self.bias = nn.Parameter(bias)

    def forward(self, image: Tensor) -> Tensor:
        return image.flatten(1) @ self.weight.flatten(1).T + self.bias
