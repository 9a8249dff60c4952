"""A small trained classifier whose robust accuracy lies well between 0 and 1."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsplid_core.data.batch import Batch

CLASSES = 5
SIDE = 15  # torchattacks' Square in L2 takes few sizes


def draw(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noisy images of smooth class patterns, [rows, 3, SIDE, SIDE], and their classes."""
    patterns = torch.rand(CLASSES, 3, 4, 4, generator=torch.Generator().manual_seed(7))
    smooth = F.interpolate(patterns, size=SIDE, mode="bilinear", align_corners=True)
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(CLASSES, (rows,), generator=generator)
    share = 0.25 + 0.3 * torch.rand(rows, 1, 1, 1, generator=generator)
    noise = torch.rand(rows, 3, SIDE, SIDE, generator=generator)
    return share * smooth[target] + (1 - share) * noise, target


@functools.cache
def trained_net() -> nn.Sequential:
    """Train two convolutions for a few seconds; the global random state stays as it was."""
    image, target = draw(1500, seed=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 12, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(12, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
            nn.Linear(144, CLASSES),
        )
        optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
        for _ in range(8):
            for rows in torch.randperm(len(image)).split(50):
                loss = F.cross_entropy(net(image[rows]), target[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    net.zero_grad(set_to_none=True)
    return net.eval()


@functools.cache
def unseen_batch(rows: int = 200) -> Batch:
    """Images that the net has not seen, with the middle as object."""
    image, target = draw(rows, seed=2)
    mask = torch.zeros(rows, 1, SIDE, SIDE, dtype=torch.bool)
    mask[:, :, 4:11, 4:11] = True
    return Batch(image, target, mask, torch.arange(rows))
