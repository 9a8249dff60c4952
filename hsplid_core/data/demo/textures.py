"""Procedural backgrounds and furs of the demo, S x S pixels, floats in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]
Field = Callable[[np.random.Generator, int], Floats]


def resized(values: NDArray[np.floating], size: int) -> Floats:
    """Scale a square field smoothly to [size, size]."""
    scaled = Image.fromarray(_single(values)).resize((size, size), Image.Resampling.BICUBIC)
    return _single(np.clip(np.asarray(scaled), 0, 1))


def _single(values: NDArray[np.floating]) -> Floats:
    return np.asarray(values, dtype=np.float32)


def _grid(size: int, angle: float) -> tuple[Floats, Floats]:
    """Coordinates turned by an angle, the image being 1 wide: two of [S, S]."""
    x = np.arange(size, dtype=np.float32) / np.float32(size)
    y = x[:, None]
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cosine * x + sine * y, cosine * y - sine * x


def waves(rng: np.random.Generator, size: int) -> Floats:
    """Bent parallel ripples."""
    u, v = _grid(size, rng.uniform(-0.5, 0.5) + np.pi / 2)
    bend = 0.05 * np.sin(2 * np.pi * (v * rng.uniform(1, 2.5) + rng.uniform()))
    turns = rng.uniform(5, 9)
    return _single(0.5 + 0.5 * np.sin(2 * np.pi * (turns * (u + bend) + rng.uniform())))


def clouds(rng: np.random.Generator, size: int) -> Floats:
    """Smoothed noise of two scales."""
    coarse = resized(rng.random((5, 5), dtype=np.float32), size)
    fine = resized(rng.random((14, 14), dtype=np.float32), size)
    return _single(0.65 * coarse + 0.35 * fine)


def cells(rng: np.random.Generator, size: int) -> Floats:
    """Pebbles: each pixel's nearest of a few points, darker towards the borders."""
    points = rng.random((int(rng.integers(25, 45)), 2), dtype=np.float32)
    x, y = _grid(size, 0.0)
    squared = (x - points[:, :1, None]) ** 2 + (y - points[:, 1:, None]) ** 2
    owner = squared.argmin(axis=0)
    nearest = np.sqrt(squared.min(axis=0))
    np.put_along_axis(squared, owner[None], np.inf, axis=0)
    second = np.sqrt(squared.min(axis=0))
    shade = rng.random(len(points), dtype=np.float32)[owner]
    border = np.clip((second - nearest) * 14, 0, 1)
    return _single((0.35 + 0.65 * shade) * border)


def checks(rng: np.random.Generator, size: int) -> Floats:
    """A turned chequerboard with soft edges."""
    u, v = _grid(size, rng.uniform(0, np.pi / 2))
    turns = rng.uniform(2.5, 4.5)
    product = np.sin(2 * np.pi * (turns * u + rng.uniform())) * np.sin(
        2 * np.pi * (turns * v + rng.uniform())
    )
    return _single(0.5 + 0.5 * np.tanh(4 * product))


BACKGROUNDS: dict[str, Field] = {
    "waves": waves,
    "clouds": clouds,
    "cells": cells,
    "checks": checks,
}
"""Families in the order of the classes that they go with."""

# Dark and light colour that each family leans to. The spread around them is wide, so that
# colour only hints at the family; the contrast is low, so that a small network needs about as
# long to learn the animals as the backgrounds. With more contrast it learns nothing else.
_TINTS = {
    "waves": ((0.27, 0.40, 0.50), (0.47, 0.60, 0.68)),
    "clouds": ((0.27, 0.40, 0.24), (0.48, 0.58, 0.40)),
    "cells": ((0.36, 0.32, 0.28), (0.60, 0.54, 0.48)),
    "checks": ((0.45, 0.38, 0.28), (0.68, 0.60, 0.42)),
}


def background(rng: np.random.Generator, family: str, size: int) -> Floats:
    """Paint one background.

    Args:
        rng: Source of every choice.
        family: A key of `BACKGROUNDS`.
        size: Side in pixels, S.

    Returns:
        Colours, float32, [S, S, 3].
    """
    field = BACKGROUNDS[family](rng, size)[..., None]
    dark, light = (np.clip(rng.normal(tint, 0.06), 0, 1) for tint in _TINTS[family])
    return _single(dark + (light - dark) * field)


# Base colours of the four coats. They differ little in brightness and any may be borrowed, so
# that the mean colour of an animal tells its class in about four of five images only.
_COATS = {
    "bear": ((0.36, 0.22, 0.11), (0.16, 0.13, 0.12), (0.52, 0.36, 0.22)),
    "elephant": ((0.50, 0.48, 0.48), (0.55, 0.48, 0.43), (0.40, 0.39, 0.40)),
    "giraffe": ((0.92, 0.68, 0.32), (0.85, 0.60, 0.30), (0.78, 0.58, 0.36)),
    "zebra": ((0.95, 0.94, 0.90), (0.88, 0.86, 0.82), (0.80, 0.78, 0.74)),
}
_BORROWED_COAT = 0.05


def fur(rng: np.random.Generator, class_name: str, brightness: Floats) -> Floats:
    """Paint one animal's coat over the square that it fills.

    Args:
        rng: Source of every choice.
        class_name: Whose texture to paint; the colour may be another's.
        brightness: The silhouette's alpha, [S, S]: stripes on zebras, folds on the others.

    Returns:
        Colours, float32, [S, S, 3].
    """
    size = len(brightness)
    owner = class_name
    if rng.random() < _BORROWED_COAT:
        owner = str(rng.choice(list(_COATS)))
    coats = _COATS[owner]
    colour = np.clip(rng.normal(coats[rng.integers(len(coats))], 0.03), 0.04, 0.96)
    strength, pattern = _PATTERNS[class_name](rng, size, brightness)
    shade = 1 - strength * (1 - pattern)
    light = 0.85 + 0.3 * (1 - _grid(size, 0.0)[1])  # from above
    return _single(np.clip(colour * (shade * light)[..., None], 0, 1))


def _plain(rng: np.random.Generator, size: int, brightness: Floats) -> tuple[float, Floats]:
    return 0.35, clouds(rng, size) * brightness


def _wrinkled(rng: np.random.Generator, size: int, brightness: Floats) -> tuple[float, Floats]:
    u, v = _grid(size, rng.uniform(-0.4, 0.4))
    lines = 0.5 + 0.5 * np.sin(2 * np.pi * (rng.uniform(7, 10) * v + 0.4 * np.sin(6 * u)))
    return 0.5, _single(0.5 + 0.5 * lines) * brightness


def _patched(rng: np.random.Generator, size: int, brightness: Floats) -> tuple[float, Floats]:
    return 0.75, (1 - cells(rng, size)) * brightness


def _striped(rng: np.random.Generator, size: int, brightness: Floats) -> tuple[float, Floats]:
    return 0.95, brightness


_PATTERNS = {
    "bear": _plain,
    "elephant": _wrinkled,
    "giraffe": _patched,
    "zebra": _striped,
}
