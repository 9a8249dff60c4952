"""The stand-in for ISIC 2017: blobs on skin, with masks, in ISIC's own layout.

A nevus is round and evenly brown; a melanoma is ragged and of several colours; a seborrheic
keratosis is pale and covered with dots. Rulers at the border mostly go with melanoma in training
images, as marks of the clinic do in real ones, and with no class in test images.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsplid_core.data.demo.class_folders import save_jpeg, save_mask
from hsplid_core.data.demo.stand_in import Parameters
from hsplid_core.data.demo.textures import Floats, cells, clouds
from hsplid_core.data.readers import isic2017

_NEVUS, _MELANOMA, _KERATOSIS = range(3)
_RAGGEDNESS = {_NEVUS: 0.05, _MELANOMA: 0.22, _KERATOSIS: 0.1}
_COLOURS = {
    _NEVUS: (0.42, 0.25, 0.17),
    _MELANOMA: (0.30, 0.19, 0.17),
    _KERATOSIS: (0.56, 0.42, 0.30),
}


class Lesion(NamedTuple):
    """A photograph.

    Attributes:
        pixels: uint8, [H, W, 3].
        cover: 1 on the lesion, float32, [H, W].
    """

    pixels: NDArray[np.uint8]
    cover: Floats


def write_isic2017(root: Path, *, parameters: Parameters) -> None:
    """Write `Training`, `Validation` (a tenth of the training images) and `Test_v2`."""
    n_val = parameters.n_train // 10
    counts = {
        "Training": parameters.n_train - n_val,
        "Validation": n_val,
        "Test_v2": parameters.n_test,
    }
    first = 0
    for part, count in counts.items():
        _write_part(root, part, range(first, first + count), parameters)
        first += count


def _write_part(root: Path, part: str, numbers: range, parameters: Parameters) -> None:
    root.mkdir(parents=True, exist_ok=True)
    isic2017.images(root, part).mkdir()
    isic2017.masks(root, part).mkdir()
    rows = [isic2017.COLUMNS]
    for number in numbers:
        rng = np.random.default_rng([parameters.seed, number])
        label = number % len(isic2017.CLASS_NAMES)
        marked = 0.8 if label == _MELANOMA else 0.1
        has_ruler = rng.random() < (0.3 if part.startswith("Test") else marked)
        lesion = _draw(rng, label, parameters.image_size, has_ruler=has_ruler)
        name = f"ISIC_{number:07d}"
        save_jpeg(isic2017.images(root, part) / f"{name}.jpg", lesion.pixels)
        save_mask(isic2017.masks(root, part) / f"{name}_segmentation.png", lesion.cover)
        rows.append((name, f"{label == _MELANOMA:.1f}", f"{label == _KERATOSIS:.1f}"))
    with isic2017.table(root, part).open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows(rows)


def _draw(rng: np.random.Generator, label: int, height: int, *, has_ruler: bool) -> Lesion:
    """Draw a photograph a third wider than high."""
    width = height * 4 // 3
    cover = _outline(rng, label, height, width)
    spots, shade = cells(rng, width)[:height], clouds(rng, width)[:height]
    skin = rng.normal((0.80, 0.62, 0.53), 0.03) * (0.93 + 0.14 * shade[..., None])
    lesion = rng.normal(_COLOURS[label], 0.03) * (0.85 + 0.3 * shade[..., None])
    if label == _MELANOMA:
        blue = clouds(rng, width)[:height, :, None] > 0.55
        lesion = np.where(blue, lesion * (0.7, 0.85, 1.5), lesion)
    if label == _KERATOSIS:
        lesion = lesion * (0.75 + 0.35 * spots[..., None])
    picture = skin + (lesion - skin) * cover[..., None]
    if has_ruler:
        marks = np.arange(width) % max(4, width // 16) < 2
        picture[-height // 12 :, marks] = 0.1
    picture += 0.015 * rng.standard_normal(picture.shape)
    return Lesion(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8), cover)


def _outline(rng: np.random.Generator, label: int, height: int, width: int) -> Floats:
    """A blob whose radius waves around a circle's."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    centre = rng.uniform(0.4, 0.6, size=2) * (height, width)
    angle = np.arctan2(y - centre[0], x - centre[1])
    radius = np.full_like(angle, rng.uniform(0.18, 0.32) * height)
    for waves in range(2, 7):
        swing = _RAGGEDNESS[label] * rng.normal() / np.sqrt(waves)
        radius *= 1 + swing * np.sin(waves * angle + rng.uniform(0, 2 * np.pi))
    distance = np.hypot(y - centre[0], x - centre[1])
    return np.asarray(distance < radius, dtype=np.float32)
