"""Resizing that keeps an image and its mask together."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Fit = Literal["crop", "stretch"]
"""How a picture becomes square: by its short side and a crop, or by giving up its proportions."""


def square(
    image: Image.Image,
    size: int,
    resample: Image.Resampling,
    fit: Fit = "crop",
    resize_size: int | None = None,
) -> Image.Image:
    """Resize a picture, then cut the centre square out.

    The same numbers as torchvision's Resize followed by CenterCrop on a PIL image.

    Args:
        image: Any mode.
        size: Side of the result, in pixels.
        resample: PIL's filter; all but NEAREST weigh every source pixel when they shrink.
        fit: By its short side, or stretched.
        resize_size: Side that it is resized to, at least `size`; None for `size`.
    """
    target = resize_size or size
    width, height = image.size
    short = min(width, height)
    if fit == "stretch":
        new_width = new_height = target
    else:
        new_width, new_height = int(target * width / short), int(target * height / short)
    if (new_width, new_height) != (width, height):
        image = image.resize((new_width, new_height), resample)
    left, top = round((new_width - size) / 2), round((new_height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def square_pixels(
    image: Image.Image,
    size: int,
    *,
    channels: int = 3,
    fit: Fit = "crop",
    resize_size: int | None = None,
) -> NDArray[np.uint8]:
    """Resize a picture with antialiased bilinear weights.

    Args:
        image: Any mode.
        size: Side of the result.
        channels: 3 for colours, 1 for grey.
        fit: How it becomes square.
        resize_size: Side before the centre crop.

    Returns:
        uint8, [channels, size, size].
    """
    converted = image.convert("RGB" if channels == 3 else "L")
    pixels = np.asarray(square(converted, size, Image.Resampling.BILINEAR, fit, resize_size))
    return np.ascontiguousarray(pixels.reshape(size, size, channels).transpose(2, 0, 1))


def square_mask(
    mask: NDArray[np.uint8], size: int, *, fit: Fit = "crop", resize_size: int | None = None
) -> NDArray[np.uint8]:
    """Resize a mask by the majority of the area under each new pixel.

    Args:
        mask: 0 or 1, uint8, [H, W].
        size: Side of the result.
        fit: How it becomes square; as its picture.
        resize_size: Side before the centre crop; as its picture.

    Returns:
        0 or 1, uint8, [1, size, size].
    """
    bright = Image.fromarray(mask * np.uint8(255))
    weights = square(bright, size, Image.Resampling.BOX, fit, resize_size)
    return (np.asarray(weights) >= 128).astype(np.uint8)[None]


def square_attention(
    attention: NDArray[np.uint8], size: int, *, fit: Fit = "crop", resize_size: int | None = None
) -> NDArray[np.uint8]:
    """Resize a map of attention by the mean of the area under each new pixel.

    Args:
        attention: 0 to 255, uint8, [H, W].
        size: Side of the result.
        fit: How it becomes square; as its picture.
        resize_size: Side before the centre crop; as its picture.

    Returns:
        0 to 255, uint8, [1, size, size].
    """
    resized = square(Image.fromarray(attention), size, Image.Resampling.BOX, fit, resize_size)
    return np.asarray(resized, dtype=np.uint8)[None]


def resizing(resize_size: int | None, fit: Fit = "crop") -> str:
    """Name what is not the usual way to become square, for a cache's key; mostly nothing."""
    return (f" {fit}" if fit != "crop" else "") + (f" of {resize_size}" if resize_size else "")
