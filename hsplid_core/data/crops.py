"""Crops of whole batches: the square in the middle, or one at a place of each image's own."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from hsplid_core.data.batch import Batch


def centre_crop(batch: Batch, size: int) -> Batch:
    """Cut the square in the middle out of each image, and of its mask.

    The same pixels as torchvision's CenterCrop.

    Args:
        batch: Images [B, C, H, W].
        size: Side of the squares in pixels, at most H and W.
    """
    height, width = batch.image.shape[2:]
    place = torch.tensor([round((height - size) / 2), round((width - size) / 2)])
    return _crop(batch, size, place.expand(len(batch.target), 2))


def random_crop(batch: Batch, size: int, generator: torch.Generator) -> Batch:
    """Cut a square out of each image at a place of its own, all places being alike.

    Args:
        batch: Images [B, C, H, W], maybe with masks, which are cut alike.
        size: Side of the squares in pixels, at most H and W.
        generator: Draws the places; on the CPU.
    """
    count = len(batch.target)
    lengths = batch.image.shape[2:]
    place = [torch.randint(length - size + 1, (count,), generator=generator) for length in lengths]
    return _crop(batch, size, torch.stack(place, dim=1))


def _crop(batch: Batch, size: int, place: Tensor) -> Batch:
    """Cut squares whose upper left pixels are at these rows and columns, int64, [B, 2]."""
    reach = place.to(batch.image.device, non_blocking=True)[:, :, None] + torch.arange(
        size, device=batch.image.device
    )
    rows, columns = reach[:, 0, None, :, None], reach[:, 1, None, None, :]

    def cut(values: Tensor) -> Tensor:
        images = torch.arange(len(values), device=values.device)[:, None, None, None]
        channels = torch.arange(values.shape[1], device=values.device)[None, :, None, None]
        return values[images, channels, rows, columns]

    mask = None if batch.mask is None else cut(batch.mask)
    return replace(batch, image=cut(batch.image), mask=mask)
