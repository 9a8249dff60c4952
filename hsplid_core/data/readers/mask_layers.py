"""Mask layers: where in a mask's file its values are, as counts that a decision can be made from.

A mask may be grey (of 1, 8, 16 or 32 bits), coloured, a palette's indices, or lie in the alpha
channel. Whatever its mode, it is taken apart into whole numbers: grey levels, colours as 0xRRGGBB,
and alpha.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsplid_core.errors import DataError

MOST_COLOURS = 64
"""Colours of a mask; one with more has soft edges, was saved as JPEG, or is a photograph."""
_WITH_ALPHA = ("LA", "PA", "RGBA", "La", "RGBa")


class Layers(NamedTuple):
    """The values of a mask, each int64, [H, W].

    Attributes:
        raw: Grey levels, or indices where there is a palette; None of colours without one.
        codes: Grey levels; or colours, black being 0 in both.
        coloured: Whether `codes` are colours.
        alpha: 0 to 255; None without an alpha channel.
    """

    raw: NDArray[np.int64] | None
    codes: NDArray[np.int64]
    coloured: bool
    alpha: NDArray[np.int64] | None

    @property
    def levels(self) -> NDArray[np.int64]:
        """Brightness of each pixel: of a colour the brightest channel."""
        if not self.coloured:
            return self.codes
        red, green, blue = self.codes >> 16, self.codes >> 8 & 255, self.codes & 255
        brightest: NDArray[np.int64] = np.maximum(np.maximum(red, green), blue)
        return brightest


class Counts(NamedTuple):
    """How often each value occurs in a mask.

    Attributes:
        values: In ascending order, int64, [V].
        pixels: Pixels of each, int64, [V].
        on_frame: How many of these lie on the outermost rows and columns, int64, [V].
    """

    values: NDArray[np.int64]
    pixels: NDArray[np.int64]
    on_frame: NDArray[np.int64]


def layers_of(image: Image.Image, path: Path) -> Layers:
    """Take a mask apart.

    Args:
        image: Decoded, in the mode of its file.
        path: Its file, for the error's text.

    Raises:
        DataError: It holds values that are no numbers.
    """
    alpha = None
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        alpha = _whole(image.convert("RGBA").getchannel("A"))
    if image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16"):
        grey = _grey(image, path)
        raw = np.rint(np.asarray(image)).astype(np.int64) if image.mode == "F" else grey
        return Layers(raw, grey, False, alpha)
    raw = _whole(image.getchannel("P")) if image.mode in ("P", "PA") else None
    if image.mode == "PA":
        image = image.convert("RGBA")
    red, green, blue = (_whole(channel) for channel in image.convert("RGB").split())
    if np.array_equal(red, green) and np.array_equal(red, blue):
        codes, coloured = red, False
    else:
        codes, coloured = red << 16 | green << 8 | blue, True
    if raw is None:
        return Layers(None if coloured else codes, codes, coloured, alpha)
    if len(np.unique(codes)) < len(np.unique(raw)):  # a palette that does not tell values apart
        return Layers(raw, raw, False, alpha)
    return Layers(raw, codes, coloured, alpha)


def count(values: NDArray[np.int64]) -> Counts:
    """Count the values of a layer, [H, W]."""
    frame = np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])
    if values.min() >= 0 and values.max() < 2**16:  # ten times faster than sorting
        pixels = np.bincount(values.ravel())
        on_frame = np.bincount(frame, minlength=len(pixels))
        found = np.flatnonzero(pixels)
        return Counts(found, pixels[found], on_frame[found])
    found, pixels = np.unique(values, return_counts=True)
    places = np.searchsorted(found, frame)
    return Counts(found, pixels, np.bincount(places, minlength=len(found)))


def _grey(image: Image.Image, path: Path) -> NDArray[np.int64]:
    values = np.asarray(image)
    if image.mode == "1":
        return values.astype(np.int64) * 255
    if image.mode != "F":
        return values.astype(np.int64)
    if not np.isfinite(values).all():
        raise DataError(
            f"{path} must hold numbers, got NaN or infinity: save the mask with 8 bits"
        )
    # Floats from 0 to 1 are levels of 8 bits; others are labels, or levels already.
    scale = 255 if values.min() >= 0 and values.max() <= 1 else 1
    return np.rint(values.astype(np.float64) * scale).astype(np.int64)


def _whole(channel: Image.Image) -> NDArray[np.int64]:
    return np.asarray(channel).astype(np.int64)
