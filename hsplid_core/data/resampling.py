"""Resampling of images by random affine maps, crops and mirrors, all in one bilinear step.

Nothing is blurred twice, and masks are moved alike. Every image has parameters of its own, where
torchvision's functions of the same conventions take one set for a whole batch.

Notation: B images of C x H x W pixels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from hsplid_core.config import AugmentationConfig
from hsplid_core.data.batch import send

_CROP_TRIES = 10


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


class Affine(NamedTuple):
    """What happens to each image before its window is cut out, each [B].

    Attributes:
        angle: Counter-clockwise turn about the centre, in radians.
        shear: Shear along the rows, in radians.
        right: Shift to the right, in pixels.
        down: Shift downwards, in pixels.
    """

    angle: Tensor
    shear: Tensor
    right: Tensor
    down: Tensor


def uniform(
    bounds: tuple[float, float], shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    """Draw uniformly between two bounds."""
    return bounds[0] + (bounds[1] - bounds[0]) * torch.rand(shape, generator=generator)


def chosen(probability: float, count: int, generator: torch.Generator) -> Tensor:
    """Choose images, bool, [count]; nothing is drawn where all of them are."""
    if probability == 1:
        return torch.ones(count, dtype=torch.bool)
    return torch.rand(count, generator=generator) < probability


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
    found = _draw_windows(config, count, height, width, generator)
    cropped = chosen(config.crop_probability, count, generator)
    whole = (0, 0, width, height)
    return Windows(
        *(torch.where(cropped, part, full) for part, full in zip(found, whole, strict=True))
    )


def _draw_windows(
    config: AugmentationConfig, count: int, height: int, width: int, generator: torch.Generator
) -> Windows:
    if config.crop_scale is None:
        reach = config.padding
        left, top = torch.randint(-reach, reach + 1, (2, count), generator=generator)
        return Windows(left, top, torch.full_like(left, width), torch.full_like(top, height))
    shape = (count, _CROP_TRIES)
    area = height * width * uniform(config.crop_scale, shape, generator)
    low, high = (math.log(bound) for bound in config.crop_ratio)
    ratio = uniform((low, high), shape, generator).exp()
    widths, heights = (area * ratio).sqrt().round().long(), (area / ratio).sqrt().round().long()
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    # The first try that fits; the whole image if none does.
    chosen_try = fits.to(torch.uint8).argmax(dim=1, keepdim=True)
    crop_width = torch.where(fits.any(dim=1), widths.gather(1, chosen_try)[:, 0], width)
    crop_height = torch.where(fits.any(dim=1), heights.gather(1, chosen_try)[:, 0], height)
    at = torch.rand((2, count), generator=generator, dtype=torch.float64)
    left = (at[0] * (width - crop_width + 1)).long()
    top = (at[1] * (height - crop_height + 1)).long()
    return Windows(left, top, crop_width, crop_height)


def draw_affine(
    config: AugmentationConfig, count: int, height: int, width: int, generator: torch.Generator
) -> Affine:
    """Draw turns, shears and shifts, each uniformly to either side, shifts by whole pixels.

    Args:
        config: Their bounds and probabilities.
        count: Number of images, B.
        height: Of the images.
        width: Of the images.
        generator: On the CPU.
    """
    turn = math.radians(config.rotation)
    angle = uniform((-turn, turn), (count,), generator)
    angle = angle * chosen(config.rotation_probability, count, generator)
    shear = right = down = torch.zeros(count)
    if config.shear:
        lean = math.radians(config.shear)
        shear = uniform((-lean, lean), (count,), generator)
        shear = shear * chosen(config.shear_probability, count, generator)
    if config.translation:
        share = uniform((-config.translation, config.translation), (2, count), generator)
        share = share * chosen(config.translation_probability, count, generator)
        right, down = (share[0] * width).round(), (share[1] * height).round()
    return Affine(angle, shear, right, down)


def resample(values: Tensor, windows: Windows, mirrored: Tensor, affine: Affine) -> Tensor:
    """Map, crop and mirror, all in one bilinear resampling; what lies outside is 0.

    Args:
        values: float, [B, C, H, W].
        windows: What part of the mapped image is shown, scaled up to H x W.
        mirrored: Which images are mirrored left to right, bool, [B].
        affine: The map, in torchvision's order: shear, then turn, then shift.

    Returns:
        float, [B, C, H, W].
    """
    _, _, height, width = values.shape
    left, top, crop_width, crop_height, angle, shear, right, down = (
        send(parameter, values.device).to(values.dtype)[:, None, None]
        for parameter in (*windows, *affine)
    )
    flip = send(mirrored, values.device)[:, None, None]
    columns = torch.arange(width, device=values.device, dtype=values.dtype) + 0.5
    rows = torch.arange(height, device=values.device, dtype=values.dtype)[:, None] + 0.5
    columns = torch.where(flip, width - columns, columns)
    # A crop knows nothing of its surroundings: it begins and ends at its outer pixels' centres.
    x = left + (columns * (crop_width / width)).clamp(min=0.5).minimum(crop_width - 0.5)
    y = top + (rows * (crop_height / height)).clamp(min=0.5).minimum(crop_height - 0.5)
    x, y = x - (width / 2 + right), y - (height / 2 + down)
    # Back to where a pixel came from: the inverse of a turn of (x - tan(shear) y, y).
    cosine, sine, lean = angle.cos(), angle.sin(), shear.tan()
    turned_x, turned_y = cosine * x - sine * y, sine * x + cosine * y
    source_x = turned_x + lean * turned_y
    grid = torch.stack([source_x * (2 / width), turned_y * (2 / height)], dim=-1)
    return grid_sample(values, grid, mode="bilinear", align_corners=False)
