"""Which pixels an attack may change, as a mask [B, 1, H, W].

The regions of H-SPLID's attacks (arXiv 2510.20627, Table 2 and the concatenated digits): the
whole image, the background with the animal's pixels protected, one block, one half.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hsplid_core.attacks._noise import random_integers
from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError, DataError

_BLOCK_DIVISOR = 4  # a block's sides are a quarter of the image's
_BLOCK_STREAM = -1  # restarts of attacks use the streams from 0 on


@dataclass(frozen=True)
class Region:
    """One named region.

    Attributes:
        summary: What may change, in a few words.
        needs_mask: Whether the data must say where the object is.
        build: Batch and seed to the allowed pixels, bool, [B, 1, H, W].
    """

    summary: str
    needs_mask: bool
    build: Callable[[Batch, int], Tensor]


def region_mask(name: str, batch: Batch, *, seed: int) -> Tensor:
    """Find the pixels of a batch that lie in a named region.

    Args:
        name: A key of `REGIONS`.
        batch: Images, and their object masks where the region needs them.
        seed: Decides, with each image's index, where a random region lies.

    Returns:
        True where a pixel may change, bool, [B, 1, H, W]. An image may have no such pixel, as
        when its object fills a block: attacks leave it as it is.

    Raises:
        ConfigError: The region is unknown, or the data has no masks and the region needs them.
        DataError: The masks do not fit the images.
    """
    region = find_region(name)
    if batch.mask is None:
        if region.needs_mask:
            usable = sorted(key for key, other in REGIONS.items() if not other.needs_mask)
            raise ConfigError(
                f"region is {name!r}, but this data has no object masks: use one of {usable}"
            )
    else:
        _check_mask(batch.image, batch.mask)
    return region.build(batch, seed)


def find_region(name: str) -> Region:
    """Look a region up by its name.

    Raises:
        ConfigError: There is none of that name.
    """
    region = REGIONS.get(name)
    if region is None:
        close = difflib.get_close_matches(name, REGIONS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"region is {name!r}: {hint}use one of {sorted(REGIONS)}")
    return region


def _check_mask(image: Tensor, mask: Tensor) -> None:
    expected = [image.shape[0], 1, *image.shape[2:]]
    if mask.dtype != torch.bool or list(mask.shape) != expected:
        raise DataError(
            f"object masks are {mask.dtype} {list(mask.shape)}: they must be bool {expected}, "
            f"as the images are {list(image.shape)}"
        )


def _full(batch: Batch, seed: int) -> Tensor:
    image = batch.image
    return torch.ones_like(image[:, :1], dtype=torch.bool)


def _object(batch: Batch, seed: int) -> Tensor:
    assert batch.mask is not None
    return batch.mask


def _background(batch: Batch, seed: int) -> Tensor:
    return ~_object(batch, seed)


def _right(batch: Batch, seed: int) -> Tensor:
    # The published code starts at column 32, the middle of its images of 64 columns.
    width = batch.image.shape[3]
    column = torch.arange(width, device=batch.image.device)
    return _full(batch, seed) & (column >= width // 2)


def _left(batch: Batch, seed: int) -> Tensor:
    return ~_right(batch, seed)


def _block(batch: Batch, seed: int) -> Tensor:
    height, width = batch.image.shape[2:]
    sides = [max(1, size // _BLOCK_DIVISOR) for size in (height, width)]
    bounds = (height - sides[0] + 1, width - sides[1] + 1)
    corner = random_integers(seed, _BLOCK_STREAM, batch.index, bounds=bounds)  # [B, 2]
    row, column = (
        torch.arange(size, device=corner.device) - corner[:, axis, None]  # 0 at the block's edge
        for axis, size in enumerate((height, width))
    )
    inside_rows = (row >= 0) & (row < sides[0])  # [B, H]
    inside_columns = (column >= 0) & (column < sides[1])  # [B, W]
    block = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
    return block & _background(batch, seed)


REGIONS: dict[str, Region] = {
    "full": Region("the whole image", False, _full),
    "background": Region("all but the object", True, _background),
    "object": Region("the object alone", True, _object),
    "left": Region("the left half", False, _left),
    "right": Region("the right half, with the middle column of an odd width", False, _right),
    "block": Region("a random block of a quarter of each side, less the object", True, _block),
}
"""All regions by name."""
