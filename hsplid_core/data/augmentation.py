"""Random variation of training images, on whatever device they are; masks follow the images.

Every image of a batch is varied on its own. The geometric changes (rotation, crop, mirror) are one
resampling of the batch, so that nothing is blurred twice, and they move the masks alike; colours
change afterwards. Formulae and conventions are those of torchvision's transforms of the same
names, which draw one set of parameters for a whole batch instead.

Notation: B images of C x H x W pixels.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from hsplid_core.config import AugmentationConfig
from hsplid_core.data.batch import Batch

_CROP_TRIES = 10
_GREY = (0.2989, 0.587, 0.114)  # ITU-R 601-2, as torchvision


class Windows(NamedTuple):
    """What part of its source each image shows, in pixels, each [B].

    Attributes:
        left: First column; below 0 or beyond the image where there is padding.
        top: First row.
        width: Columns.
        height: Rows.
    """

    left: Tensor
    top: Tensor
    width: Tensor
    height: Tensor


def augment(batch: Batch, config: AugmentationConfig, generator: torch.Generator) -> Batch:
    """Vary a batch.

    Args:
        batch: Pixels in [0, 1], maybe with masks.
        config: What may vary, and how much.
        generator: Source of every choice; on the CPU, so that all devices see the same.

    Returns:
        The batch with other images, and masks that fit them; the batch itself if nothing varies.
    """
    image, mask = batch.image, batch.mask
    if config.moves:
        image, mask = _move(image, mask, config, generator)
    return replace(batch, image=_recolour(image, config, generator), mask=mask)


def _move(
    image: Tensor, mask: Tensor | None, config: AugmentationConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    count, channels, height, width = image.shape
    windows = draw_windows(config, count, height, width, generator)
    mirrored = torch.rand(count, generator=generator) < config.flip
    angles = (2 * torch.rand(count, generator=generator) - 1) * math.radians(config.rotation)
    stacked = image if mask is None else torch.cat([image, mask.to(image.dtype)], dim=1)
    moved = resample(stacked, windows, mirrored, angles)
    if mask is None:
        return moved, None
    soft = moved[:, channels:]
    return moved[:, :channels], soft >= 0.5 if mask.dtype == torch.bool else soft


def draw_windows(
    config: AugmentationConfig, count: int, height: int, width: int, generator: torch.Generator
) -> Windows:
    """Draw the crops: of random area and shape, or of the image's size from a padded image.

    Args:
        config: The bounds of area and shape, or the padding.
        count: Number of images, B.
        height: Of the images.
        width: Of the images.
        generator: On the CPU.
    """
    if config.crop_scale is None:
        reach = config.padding
        left, top = torch.randint(-reach, reach + 1, (2, count), generator=generator)
        return Windows(left, top, torch.full_like(left, width), torch.full_like(top, height))
    shape = (count, _CROP_TRIES)
    area = height * width * _uniform(config.crop_scale, shape, generator)
    low, high = (math.log(bound) for bound in config.crop_ratio)
    ratio = _uniform((low, high), shape, generator).exp()
    widths, heights = (area * ratio).sqrt().round().long(), (area / ratio).sqrt().round().long()
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    # The first try that fits; the whole image if none does.
    chosen = fits.to(torch.uint8).argmax(dim=1, keepdim=True)
    crop_width = torch.where(fits.any(dim=1), widths.gather(1, chosen)[:, 0], width)
    crop_height = torch.where(fits.any(dim=1), heights.gather(1, chosen)[:, 0], height)
    at = torch.rand((2, count), generator=generator, dtype=torch.float64)
    left = (at[0] * (width - crop_width + 1)).long()
    top = (at[1] * (height - crop_height + 1)).long()
    return Windows(left, top, crop_width, crop_height)


def _uniform(
    bounds: tuple[float, float], shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * torch.rand(shape, generator=generator)


def resample(values: Tensor, windows: Windows, mirrored: Tensor, angles: Tensor) -> Tensor:
    """Turn, crop and mirror, all in one bilinear resampling; what lies outside is 0.

    Args:
        values: float, [B, C, H, W].
        windows: What part of the turned image is shown, scaled up to H x W.
        mirrored: Which images are mirrored left to right, bool, [B].
        angles: Counter-clockwise turn about the centre, in radians, [B].

    Returns:
        float, [B, C, H, W].
    """
    _, _, height, width = values.shape
    left, top, crop_width, crop_height, angles = (
        parameter.to(values.device, values.dtype)[:, None, None]
        for parameter in (*windows, angles)
    )
    flip = mirrored.to(values.device)[:, None, None]
    columns = torch.arange(width, device=values.device, dtype=values.dtype) + 0.5
    rows = torch.arange(height, device=values.device, dtype=values.dtype)[:, None] + 0.5
    columns = torch.where(flip, width - columns, columns)
    # A crop knows nothing of its surroundings: it begins and ends at its outer pixels' centres.
    x = left + (columns * (crop_width / width)).clamp(min=0.5).minimum(crop_width - 0.5)
    y = top + (rows * (crop_height / height)).clamp(min=0.5).minimum(crop_height - 0.5)
    x, y = x - width / 2, y - height / 2
    cosine, sine = angles.cos(), angles.sin()
    turned_x, turned_y = cosine * x - sine * y, sine * x + cosine * y
    grid = torch.stack([turned_x * (2 / width), turned_y * (2 / height)], dim=-1)
    return grid_sample(values, grid, mode="bilinear", align_corners=False)


def _recolour(image: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    for strength, change in (
        (config.brightness, brighten),
        (config.contrast, set_contrast),
        (config.saturation, saturate),
    ):
        if strength:
            bounds = (max(0.0, 1 - strength), 1 + strength)
            factor = _uniform(bounds, (len(image), 1, 1, 1), generator)
            image = change(image, factor.to(image.device, image.dtype))
    return image


def brighten(image: Tensor, factor: Tensor) -> Tensor:
    """Scale brightness: images [B, C, H, W] by factors [B, 1, 1, 1]."""
    return (image * factor).clamp(0, 1)


def set_contrast(image: Tensor, factor: Tensor) -> Tensor:
    """Scale the distance to the image's mean grey."""
    return _blend(image, _grey(image).mean(dim=(1, 2, 3), keepdim=True), factor)


def saturate(image: Tensor, factor: Tensor) -> Tensor:
    """Scale the distance to the pixel's grey; grey images stay as they are."""
    return _blend(image, _grey(image), factor)


def _grey(image: Tensor) -> Tensor:
    if image.shape[1] != 3:
        return image.mean(dim=1, keepdim=True)
    weights = image.new_tensor(_GREY).view(1, 3, 1, 1)
    return (image * weights).sum(dim=1, keepdim=True)


def _blend(image: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return (factor * image + (1 - factor) * other).clamp(0, 1)
