"""Other backgrounds behind the same objects: another image's, a flat colour, or a blur.

Masks are True on the object's pixels; these stay as they are.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from hsplid_core.corruptions._filters import gaussian_blur
from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError, DataError

_GREY = 0.5


def choose_donors(n_images: int, *, seed: int) -> Tensor:
    """Give each image another one, whose background it shall get.

    A seeded random cycle through all images: none keeps its own, and each is used once.

    Args:
        n_images: Number N of images, at least 2.
        seed: Seed of the cycle.

    Returns:
        The donor of each image, int64, [N].

    Raises:
        DataError: There are fewer than two images.
    """
    if n_images < 2:
        raise DataError(
            f"backgrounds cannot be swapped within {n_images} image: give at least two"
        )
    cycle = torch.randperm(n_images, generator=torch.Generator().manual_seed(seed))
    donor = torch.empty_like(cycle)
    donor[cycle] = cycle.roll(1)
    return donor


def swap_background(batch: Batch, donor: Batch) -> Batch:
    """Put objects on the backgrounds of other images.

    Where the donor's own object was comes the mean colour of its background, so that nothing of
    the donor's class but its background gets in. A donor without any background gives mid-grey.

    Args:
        batch: B images with object masks.
        donor: As many, of the same size.

    Returns:
        The batch with other pixels.

    Raises:
        ConfigError: One of them has no masks.
    """
    mask, ground = _mask(batch), ~_mask(donor)
    background = torch.where(ground, donor.image, _mean_colour(donor.image, ground))
    return replace(batch, image=torch.where(mask, batch.image, background))


def flatten_background(batch: Batch, value: float | None = None) -> Batch:
    """Put objects on one colour.

    Args:
        batch: B images with object masks.
        value: Pixel value in [0, 1] of all channels; None takes the mean colour of each image's
            own background, mid-grey where there is none.

    Returns:
        The batch with other pixels.

    Raises:
        ConfigError: There are no masks, or the value lies outside [0, 1].
    """
    mask = _mask(batch)
    if value is None:
        colour = _mean_colour(batch.image, ~mask)
    elif 0 <= value <= 1:
        colour = torch.full_like(batch.image[:1, :, :1, :1], value)
    else:
        raise ConfigError(f"value is {value}: pixels lie in [0, 1]")
    return replace(batch, image=torch.where(mask, batch.image, colour))


def blur_background(batch: Batch, sigma: float) -> Batch:
    """Blur backgrounds without letting the objects' colours run into them.

    Each background pixel becomes the Gaussian mean of the background pixels around it.

    Args:
        batch: B images with object masks.
        sigma: Standard deviation of the Gaussian in pixels, above 0.

    Returns:
        The batch with other pixels.

    Raises:
        ConfigError: There are no masks, or sigma is not above 0.
    """
    mask = _mask(batch)
    if not sigma > 0:
        raise ConfigError(f"sigma is {sigma}: use a value above 0, in pixels")
    ground = (~mask).to(batch.image.dtype)
    weight = gaussian_blur(ground, sigma)
    blurred = gaussian_blur(batch.image * ground, sigma) / weight.where(weight > 0, 1)
    return replace(batch, image=torch.where(mask, batch.image, blurred.clamp(0, 1)))


def _mask(batch: Batch) -> Tensor:
    mask = batch.object_mask
    if mask is None:
        raise ConfigError("backgrounds can only be swapped on data with object masks")
    return mask


def _mean_colour(image: Tensor, ground: Tensor) -> Tensor:
    """Average each channel over some pixels [B, 1, H, W]; grey where there are none."""
    area = ground.sum((2, 3), keepdim=True)  # [B, 1, 1, 1]
    colour = (image * ground).sum((2, 3), keepdim=True) / area.clamp(min=1)  # [B, C, 1, 1]
    return colour.masked_fill(area == 0, _GREY)
