"""The corruptions themselves: images of worse quality, at severities 1 to 5.

Each takes pixels in [0, 1], [B, C, H, W], and its level's numbers; the table in `corrupting` has
those. Results may leave [0, 1]; the caller clips them.

Reference: Hendrycks and Dietterich 2019, Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations (arXiv 1903.12261), for all but `occlusion`. Their numbers are for
images of 224 pixels and are not rescaled here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hsplid_core._noise import signed_uniform
from hsplid_core.corruptions._filters import (
    disk,
    filter_mirrored,
    gaussian_blur,
    motion_blur,
    zoom_in,
)

_GREY_WEIGHTS = (0.299, 0.587, 0.114)  # of red, green and blue in brightness (ITU-R BT.601)
_MID_GREY = 0.5


@dataclass(frozen=True)
class Source:
    """Where an image's random numbers come from.

    Attributes:
        seed: Any integer.
        index: Row of each image in its data set, int64, [B].
    """

    seed: int
    index: Tensor


def add_gaussian_noise(image: Tensor, source: Source, scale: float) -> Tensor:
    """Add normal noise of a standard deviation to every value."""
    noise = normal(source.seed, 0, source.index, image.shape[1:], image)
    return image + scale * noise


def add_shot_noise(image: Tensor, source: Source, photons: float) -> Tensor:
    """Count photons: Poisson noise, of so many expected in a white pixel."""
    chance = uniform(source.seed, 1, source.index, image.shape[1:], image)
    return poisson(image * photons, chance) / photons


def add_impulse_noise(image: Tensor, source: Source, share: float) -> Tensor:
    """Set a share of all values to 0 or 1, one as likely as the other."""
    chance = uniform(source.seed, 2, source.index, image.shape[1:], image)
    return image.where(chance >= share, (chance < share / 2).to(image.dtype))


def add_speckle_noise(image: Tensor, source: Source, scale: float) -> Tensor:
    """Add normal noise in proportion to each value, of a standard deviation in a white pixel."""
    noise = normal(source.seed, 7, source.index, image.shape[1:], image)
    return image + image * scale * noise


def blur_gaussian(image: Tensor, source: Source, sigma: float) -> Tensor:
    """Blur with a Gaussian of a standard deviation in pixels."""
    return gaussian_blur(image, sigma)


def blur_defocus(image: Tensor, source: Source, radius: int, smoothing: float) -> Tensor:
    """Blur with a disk of a radius in pixels."""
    return filter_mirrored(image, disk(radius, smoothing))


def blur_motion(image: Tensor, source: Source, radius: int, sigma: float) -> Tensor:
    """Smear along a direction within 45 degrees of the horizontal."""
    return motion_blur(image, radius, sigma, _angles(source, 3, 0, image))


def blur_zoom(image: Tensor, source: Source, end: float, step: float) -> Tensor:
    """Average the image with itself enlarged by factors from 1 to below an end."""
    factors = np.arange(1, end, step)  # rounding included, as published: 1.11 is below 1.11
    zoomed = [zoom_in(image, float(factor)) for factor in factors]
    return torch.stack([image, *zoomed]).mean(0)


def brighten(image: Tensor, source: Source, amount: float) -> Tensor:
    """Raise the value of hue, saturation, value; the other two stay.

    The value is the largest channel, and colours scale with it; black becomes grey.
    """
    value = image.amax(1, keepdim=True)
    brighter = (value + amount).clamp(max=1)
    scaled = image * (brighter / value.where(value > 0, 1))
    return scaled.where(value > 0, brighter)


def lower_contrast(image: Tensor, source: Source, factor: float) -> Tensor:
    """Draw each channel to its mean over the image."""
    mean = image.mean((2, 3), keepdim=True)
    return mean + factor * (image - mean)


def saturate(image: Tensor, source: Source, factor: float, amount: float) -> Tensor:
    """Change the saturation of hue, saturation, value to factor times it plus amount.

    With V the largest channel and S the saturation, a channel is V (1 - S t) with t in [0, 1]
    the hue's part. Grey has no hue; it counts as red, as in the published code.
    """
    value = image.amax(1, keepdim=True)
    spread = value - image.amin(1, keepdim=True)
    saturation = spread / value.where(value > 0, 1)
    hue_part = (value - image) / spread.where(spread > 0, 1)
    red = torch.ones_like(image[:1, :, :1, :1])
    red[:, 0] = 0
    hue_part = hue_part.where(spread > 0, red)
    return value * (1 - (saturation * factor + amount).clamp(0, 1) * hue_part)


def snow(
    image: Tensor,
    source: Source,
    mean: float,
    scale: float,
    zoom: float,
    threshold: float,
    radius: int,
    sigma: float,
    kept: float,
) -> Tensor:
    """Let flakes fall, from noise of a mean and a scale, enlarged, cut and smeared downwards."""
    flakes = mean + scale * normal(
        source.seed, 4, source.index, torch.Size((1, *image.shape[2:])), image
    )
    flakes = zoom_in(flakes, zoom)
    flakes = flakes.where(flakes >= threshold, 0).clamp(0, 1)
    flakes = motion_blur(flakes, radius, sigma, _angles(source, 5, -90, image))
    paler = torch.maximum(image, _brightness(image) * 1.5 + 0.5)
    return kept * image + (1 - kept) * paler + flakes + flakes.flip(2, 3)


def occlude(image: Tensor, source: Source, share: float) -> Tensor:
    """Cover a share of the image with a mid-grey rectangle of its shape, at a random place.

    Not one of ImageNet-C's, nor of H-SPLID's release: its paper names occlusion, without numbers.
    """
    height, width = image.shape[2:]
    sides = [max(1, round(size * share**0.5)) for size in (height, width)]
    place = uniform(source.seed, 6, source.index, torch.Size((2,)), image)
    covered = torch.ones_like(image[:, :1], dtype=torch.bool)
    for axis, (size, side) in enumerate(zip((height, width), sides, strict=True)):
        first = (place[:, axis] * (size - side + 1)).long().clamp(max=size - side)
        ruler = torch.arange(size, device=image.device) - first.unsqueeze(1)  # [B, size]
        inside = (ruler >= 0) & (ruler < side)
        covered &= inside.view(-1, 1, size, 1) if axis == 0 else inside.view(-1, 1, 1, size)
    return image.where(~covered, _MID_GREY)


def _angles(source: Source, stream: int, middle: float, image: Tensor) -> Tensor:
    """Draw directions within 45 degrees of a middle one, [B]."""
    return middle - 45 + 90 * uniform(source.seed, stream, source.index, torch.Size(()), image)


def _brightness(image: Tensor) -> Tensor:
    """Weigh the channels as the eye does, [B, 1, H, W]; other than three count alike."""
    if image.shape[1] != 3:
        return image.mean(1, keepdim=True)
    weight = image.new_tensor(_GREY_WEIGHTS).view(1, 3, 1, 1)
    return (image * weight).sum(1, keepdim=True)


# Attacks take the streams around 0 and up to 2**40 or so; these lie beyond them.
_STREAM = 1 << 50


def uniform(seed: int, stream: int, index: Tensor, shape: torch.Size, like: Tensor) -> Tensor:
    """Draw from (0, 1) for each image.

    Args:
        seed: Any integer.
        stream: Tells independent uses of one seed apart, 0 or more.
        index: Row of each image in its data set, int64, [B].
        shape: Shape of one image's numbers.
        like: Its floating type is taken.

    Returns:
        Numbers, [B, *shape].
    """
    values = signed_uniform(seed, _STREAM + stream, index, shape.numel(), dtype=like.dtype)
    return values.add_(1).div_(2).view(len(index), *shape)


def normal(seed: int, stream: int, index: Tensor, shape: torch.Size, like: Tensor) -> Tensor:
    """Draw from the standard normal distribution for each image; see `uniform`."""
    values = signed_uniform(seed, _STREAM + stream, index, shape.numel(), dtype=like.dtype)
    return torch.erfinv(values).mul_(math.sqrt(2)).view(len(index), *shape)


def poisson(rate: Tensor, uniforms: Tensor) -> Tensor:
    """Turn uniform numbers into Poisson counts, by inversion.

    Args:
        rate: Expected counts, at most 60 or so, any shape.
        uniforms: Numbers in (0, 1), of that shape.

    Returns:
        Counts, of that shape and type.
    """
    largest = float(rate.max()) if rate.numel() else 0.0
    count = torch.zeros_like(rate)
    chance = torch.exp(-rate)  # of the count k
    below = chance.clone()  # chance of at most k
    for k in range(1, math.ceil(largest + 8 * math.sqrt(largest)) + 10):
        count += uniforms > below
        chance = chance * rate / k
        below += chance
    return count
