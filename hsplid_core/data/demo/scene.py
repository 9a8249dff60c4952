"""Compose one picture of the demo: animals with their masks over a background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsplid_core.data.demo.silhouettes import coverage
from hsplid_core.data.demo.textures import Floats, background, fur, resized


class Animal(NamedTuple):
    """Who stands in the picture.

    Attributes:
        class_name: Its class.
        row: Row of its silhouette in the class's array.
        alpha: The silhouette, uint8, [28, 28].
    """

    class_name: str
    row: int
    alpha: NDArray[np.uint8]


class Scene(NamedTuple):
    """A finished picture.

    Attributes:
        pixels: uint8, [S, S, 3].
        covers: For each animal, how far it is visible at each pixel, float32, [S, S].
    """

    pixels: NDArray[np.uint8]
    covers: list[Floats]


def compose(rng: np.random.Generator, family: str, animals: Sequence[Animal], size: int) -> Scene:
    """Paint a background and put the animals on it, side by side if there are two.

    Args:
        rng: Source of every choice.
        family: The background's family.
        animals: None, one or two.
        size: Side of the picture in pixels, S.

    Returns:
        The picture and what is visible of each animal.
    """
    canvas = background(rng, family, size)
    covers: list[Floats] = []
    for position, animal in enumerate(animals):
        if len(animals) == 1:
            side, centre_x = rng.uniform(0.65, 1.0), rng.uniform(0.4, 0.6)
        else:
            side, centre_x = rng.uniform(0.45, 0.6), 0.28 + 0.44 * position
        cover, coat = _place(rng, animal, size, side, (centre_x, rng.uniform(0.4, 0.6)))
        covers = [earlier * (1 - cover) for earlier in covers]
        covers.append(cover)
        canvas = canvas * (1 - cover[..., None]) + coat * cover[..., None]
    exposure = rng.uniform(0.8, 1.2)
    noise = 0.02 * rng.standard_normal(canvas.shape, dtype=np.float32)
    pixels = np.clip(canvas * exposure + noise, 0, 1) * 255
    return Scene(np.rint(pixels).astype(np.uint8), covers)


def _place(
    rng: np.random.Generator,
    animal: Animal,
    size: int,
    side: float,
    centre: tuple[float, float],
) -> tuple[Floats, Floats]:
    """Scale, maybe mirror, and put one animal: its coverage [S, S] and its coat [S, S, 3]."""
    width = round(side * size)
    cover = resized(coverage(animal.class_name, animal.alpha), width)
    # Upscaling blurs the outline over several pixels; steepen it again.
    cover = np.clip((cover - 0.5) * 1.8 + 0.5, 0, 1)
    brightness = resized(animal.alpha.astype(np.float32) / 255, width)
    coat = fur(rng, animal.class_name, brightness)
    if rng.random() < 0.5:
        cover, coat = cover[:, ::-1], coat[:, ::-1]
    left, top = (
        int(np.clip(round(middle * size - width / 2), 0, size - width)) for middle in centre
    )
    full_cover = np.zeros((size, size), dtype=np.float32)
    full_coat = np.zeros((size, size, 3), dtype=np.float32)
    full_cover[top : top + width, left : left + width] = cover
    full_coat[top : top + width, left : left + width] = coat
    return full_cover, full_coat
