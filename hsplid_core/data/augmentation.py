"""Random variation of training images, on whatever device they are; masks follow the images.

Every image of a batch is varied on its own. The geometric changes are one resampling of the batch
(``resampling``), which moves the masks alike; colours change afterwards (``recolouring``).
Formulae and conventions are those of torchvision's transforms of the same names, which draw one
set of parameters for a whole batch instead. The order of colour changes alone is a batch's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as torchvision

from hsplid_core.config import AugmentationConfig
from hsplid_core.data.batch import Batch, send
from hsplid_core.data.recolouring import (
    brighten,
    gaussian_blur,
    grey,
    saturate,
    set_contrast,
    turn_hue,
)
from hsplid_core.data.resampling import chosen, draw_affine, draw_windows, resample, uniform


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
    image = _jitter(image, config, generator)
    return replace(batch, image=_degrade(image, config, generator), mask=mask)


def _move(
    image: Tensor, mask: Tensor | None, config: AugmentationConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    count, channels, height, width = image.shape
    windows = draw_windows(config, count, height, width, generator)
    mirrored = torch.rand(count, generator=generator) < config.flip
    affine = draw_affine(config, count, height, width, generator)
    stacked = image if mask is None else torch.cat([image, mask.to(image.dtype)], dim=1)
    moved = resample(stacked, windows, mirrored, affine)
    if mask is None:
        return moved, None
    soft = moved[:, channels:]
    return moved[:, :channels], soft >= 0.5 if mask.dtype == torch.bool else soft


def _jitter(image: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast, saturation and hue of the images that are chosen."""
    changes: list[tuple[Callable[[Tensor, Tensor], Tensor], float, float]] = [
        (brighten, config.brightness, 1),
        (set_contrast, config.contrast, 1),
        (saturate, config.saturation, 1),
        (turn_hue, config.hue, 0),
    ]
    changes = [change for change in changes if change[1]]
    if not changes:
        return image
    rows = chosen(config.jitter_probability, len(image), generator)

    def jitter(some: Tensor) -> Tensor:
        amounts = [
            uniform(
                (max(0.0, middle - strength) if middle else -strength, middle + strength),
                (len(some), 1, 1, 1),
                generator,
            )
            for _, strength, middle in changes
        ]
        # As torchvision's ColorJitter; one order for a batch is drawn as often as any other.
        for number in torch.randperm(len(changes), generator=generator).tolist():
            amount = send(amounts[number], some.device).to(some.dtype)
            some = changes[number][0](some, amount)
        return some

    return _changed(image, rows, jitter)


def _degrade(image: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """Take colours away, invert bright values, and blur, each where it is chosen."""
    count = len(image)
    if config.greyscale:
        rows = chosen(config.greyscale, count, generator)
        image = _changed(image, rows, lambda some: grey(some).expand_as(some))
    if config.solarise:
        threshold = config.solarise_threshold
        rows = chosen(config.solarise, count, generator)
        image = _changed(image, rows, lambda some: torchvision.solarize(some, threshold))
    if config.blur:
        rows = chosen(config.blur, count, generator)
        sigma = uniform(config.blur_sigma, (int(rows.sum()), 1, 1, 1), generator)
        sigma = send(sigma, image.device).to(image.dtype)
        image = _changed(image, rows, lambda some: gaussian_blur(some, sigma, config.blur_size))
    return image


def _changed(image: Tensor, rows: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Change some images, bool rows [B], and only look at these."""
    if bool(rows.all()):
        return change(image)
    if not bool(rows.any()):
        return image
    # Positions, not a mask: a mask would make the host wait for the device.
    places = send(rows.nonzero()[:, 0], image.device)
    return image.index_copy(0, places, change(image.index_select(0, places)))
