"""Resizing that keeps an image and its mask together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def resize_and_crop(image: Image.Image, size: int, resample: Image.Resampling) -> Image.Image:
    """Bring the short side to `size`, then cut the centre square out.

    The same numbers as torchvision's Resize followed by CenterCrop on a PIL image.

    Args:
        image: Any mode.
        size: Side of the result, in pixels.
        resample: PIL's filter; all but NEAREST weigh every source pixel when they shrink.

    Returns:
        A square image.
    """
    width, height = image.size
    short = min(width, height)
    new_width, new_height = int(size * width / short), int(size * height / short)
    if (new_width, new_height) != (width, height):
        image = image.resize((new_width, new_height), resample)
    left, top = round((new_width - size) / 2), round((new_height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def square_pixels(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Resize a picture with antialiased bilinear weights: uint8, [3, size, size]."""
    resized = resize_and_crop(image.convert("RGB"), size, Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def square_mask(mask: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize a mask by the majority of the area under each new pixel.

    Args:
        mask: 0 or 1, uint8, [H, W].
        size: Side of the result.

    Returns:
        0 or 1, uint8, [1, size, size].
    """
    resized = resize_and_crop(Image.fromarray(mask * np.uint8(255)), size, Image.Resampling.BOX)
    return (np.asarray(resized) >= 128).astype(np.uint8)[None]
