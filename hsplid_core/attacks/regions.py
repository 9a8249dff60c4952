"""Regions of the image that an attack may change, as a mask [B, 1, H, W].

The regions of H-SPLID's attacks (arXiv 2510.20627, Table 2 and the concatenated digits) have
names: the whole image, the background with the animal's pixels protected, one block of any size,
one half. `user_region` makes a region of anybody's masks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hsplid_core._noise import random_integers
from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError, DataError, did_you_mean

_BLOCK_SHARE = 0.25  # of each of the image's sides
_SIZED_BLOCK = "block_"
_BLOCK_STREAM = -1  # restarts of attacks use the streams from 0 on


@dataclass(frozen=True)
class Region:
    """One region.

    Attributes:
        name: Its name in tables and logs.
        summary: What may change, in a few words.
        needs_mask: Whether the data must say where the object is.
        build: Batch and seed to the allowed pixels, bool, [B, 1, H, W].
    """

    name: str
    summary: str
    needs_mask: bool
    build: Callable[[Batch, int], Tensor]


def region_mask(region: str | Region, batch: Batch, *, seed: int) -> Tensor:
    """Find the pixels of a batch that lie in a region.

    Args:
        region: A region or a name that `find_region` knows.
        batch: Images, and their object masks where the region needs them.
        seed: Decides, with each image's index, where a random region lies.

    Returns:
        True where a pixel may change, bool, [B, 1, H, W]. An image may have no such pixel, as
        when its object fills a block: attacks leave it as it is.

    Raises:
        ConfigError: The region is unknown, or the data has no masks and the region needs them.
        DataError: The masks do not fit the images.
    """
    region = find_region(region)
    mask = batch.object_mask
    if mask is None:
        if region.needs_mask:
            usable = sorted(key for key, other in REGIONS.items() if not other.needs_mask)
            raise ConfigError(
                f"region is {region.name!r}, but this data has no object masks: use one of "
                f"{usable}"
            )
    else:
        _check_mask(batch.image, mask)
    return region.build(replace(batch, mask=mask), seed)


def find_region(region: str | Region) -> Region:
    """Look a region up by its name.

    Args:
        region: A key of `REGIONS`; ``block_16`` for a block of 16 pixels a side, ``block_0.5`` for
            one of half of each side; or a region, which is returned.

    Raises:
        ConfigError: There is none of that name.
    """
    if isinstance(region, Region):
        return region
    if region in REGIONS:
        return REGIONS[region]
    if region.startswith(_SIZED_BLOCK):
        return _sized_block(region)
    raise ConfigError(
        f"region is {region!r}: use one of {sorted(REGIONS)}, or a block of another size as "
        f"block_16 (pixels) or block_0.5 (share of each side){did_you_mean(region, REGIONS)}"
    )


def user_region(name: str, allowed: Tensor) -> Region:
    """Make a region of masks.

    Args:
        name: Its name in tables and logs.
        allowed: True where a pixel may change, bool, [N, 1, H, W] with a row for each row of the
            data set, which a batch's `index` names; or [1, 1, H, W], the same for all.

    Raises:
        DataError: The masks are not that.
    """
    if allowed.dtype != torch.bool or allowed.ndim != 4 or allowed.shape[1] != 1:
        raise DataError(
            f"region {name!r} has masks {allowed.dtype} {list(allowed.shape)}: they must be bool "
            "[N, 1, H, W]"
        )
    return Region(name, "given masks", False, functools.partial(_given, name, allowed))


def _given(name: str, allowed: Tensor, batch: Batch, seed: int) -> Tensor:
    if allowed.shape[2:] != batch.image.shape[2:]:
        raise DataError(
            f"region {name!r} has masks of {list(allowed.shape[2:])} pixels and the images have "
            f"{list(batch.image.shape[2:])}: give masks of the images' size"
        )
    if len(allowed) == 1:
        rows = torch.zeros_like(batch.index)
    elif len(batch.index) and int(batch.index.max()) >= len(allowed):
        raise DataError(
            f"region {name!r} has {len(allowed)} masks and no row {int(batch.index.max())}: give "
            "one for each row of the data set, or one for all"
        )
    else:
        rows = batch.index
    return allowed[rows.to(allowed.device)].to(batch.image.device)


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


def _sized_block(name: str) -> Region:
    text = name.removeprefix(_SIZED_BLOCK)
    try:
        side = float(text) if "." in text else int(text)
    except ValueError:
        side = 0
    if side < 1 if isinstance(side, int) else not 0 < side <= 1:
        raise ConfigError(
            f"region is {name!r}: write a block's side in pixels, as block_16, or as a share of "
            "the image's sides in (0, 1], as block_0.5"
        )
    summary = f"a random block, side {text}, less the object"
    return Region(name, summary, True, functools.partial(_block, side=side))


def _block(batch: Batch, seed: int, *, side: float = _BLOCK_SHARE) -> Tensor:
    """Place a block at random; an integer is its side in pixels, a float a share of each side."""
    height, width = batch.image.shape[2:]
    if isinstance(side, int):
        sides = [min(side, size) for size in (height, width)]
    else:
        sides = [max(1, int(size * side)) for size in (height, width)]
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


_NAMED = (
    Region("full", "the whole image", False, _full),
    Region("background", "all but the object", True, _background),
    Region("object", "the object alone", True, _object),
    Region("left", "the left half", False, _left),
    Region("right", "the right half, with the middle column of an odd width", False, _right),
    Region("block", "a random block of a quarter of each side, less the object", True, _block),
)
REGIONS: dict[str, Region] = {region.name: region for region in _NAMED}
"""The regions of fixed size, by name."""
