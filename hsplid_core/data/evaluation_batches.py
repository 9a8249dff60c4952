"""Reading images for an evaluation: which ones, and in what batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError, DataError

# Not the attack's seed: trials of a sweep differ in seed and must be compared on the same images.
_SUBSET_SEED = 2510_20627


class Images(Protocol):
    """What an evaluation reads from; an `ImageSet` is one."""

    def __len__(self) -> int:
        """Return the number N of images."""
        ...

    def batch(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """Return the images at some positions, int64, [B], in that order."""
        ...


def choose_positions(images: Images, max_images: int | None = None) -> Tensor:
    """Choose the images to evaluate.

    Args:
        images: The set, of N images.
        max_images: Largest number of images; None takes all.

    Returns:
        Positions in ascending order, int64, [min(N, max_images)]; the same for every seed.

    Raises:
        ConfigError: `max_images` is below 1.
        DataError: There is no image.
    """
    if len(images) == 0:
        raise DataError("there is no image to evaluate on: the set is empty")
    if max_images is not None and max_images < 1:
        raise ConfigError(f"max_images is {max_images}: use at least 1, or None for all")
    if max_images is None or max_images >= len(images):
        return torch.arange(len(images))
    generator = torch.Generator().manual_seed(_SUBSET_SEED)
    drawn = torch.randperm(len(images), generator=generator)[:max_images]
    return drawn.sort().values


def read_batches(
    images: Images, positions: Tensor, batch_size: int, device: torch.device | str
) -> Iterator[Batch]:
    """Read images batch by batch.

    Args:
        images: The set.
        positions: Which images, int64, [N].
        batch_size: Images per batch, at least 1.
        device: Where the batches are put.

    Returns:
        Batches in the positions' order.

    Raises:
        ConfigError: The batch size is below 1.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}: use at least 1")
    return (images.batch(part, device) for part in torch.split(positions, batch_size))
