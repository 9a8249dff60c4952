"""The stand-in for CUB-200-2011 and CUB-GHA: animals with boxes, segmentations and gaze maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsplid_core.data.demo.class_folders import bounding_box, save_jpeg
from hsplid_core.data.demo.posed_animals import Creature, creatures
from hsplid_core.data.demo.stand_in import Parameters
from hsplid_core.data.readers import cub

_SPECIES = (
    *("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross"),
    *("004.Groove_billed_Ani", "005.Crested_Auklet", "006.Least_Auklet"),
    *("007.Parakeet_Auklet", "008.Rhinoceros_Auklet"),
)
N_SPECIES = len(_SPECIES)
_FIXATIONS = 3


def write_cub(root: Path, *, parameters: Parameters) -> None:
    """Write `CUB_200_2011` with eight species, segmentations and `CUB_GHA`."""
    folder = root / cub.FOLDER
    lines: dict[str, list[str]] = {name: [] for name in cub.TABLES}
    lines["classes.txt"] = [f"{label} {name}" for label, name in enumerate(_SPECIES, start=1)]
    number = 0
    for split, pictures in creatures(parameters, N_SPECIES).items():
        for picture in pictures:
            number += 1
            species = _SPECIES[picture.label]
            name = f"{species}/{species.split('.')[1]}_{number:04d}_{number}.jpg"
            left, top, width, height = bounding_box(picture.cover)
            lines["images.txt"].append(f"{number} {name}")
            lines["image_class_labels.txt"].append(f"{number} {picture.label + 1}")
            lines["train_test_split.txt"].append(f"{number} {int(split == 'train')}")
            lines["bounding_boxes.txt"].append(f"{number} {left}.0 {top}.0 {width}.0 {height}.0")
            _save(folder, name, number, picture, parameters.seed)
    for name, content in lines.items():
        (folder / name).write_text("\n".join(content) + "\n", encoding="utf-8")


def _save(folder: Path, name: str, number: int, picture: Creature, seed: int) -> None:
    save_jpeg(folder / "images" / name, picture.pixels)
    rng = np.random.default_rng([seed, number])
    maps: dict[Path, NDArray[np.floating]] = {
        # Five people's outlines on top of one another, as in the published files.
        (folder / cub.SEGMENTATIONS / name).with_suffix(".png"): np.round(picture.cover * 5) / 5,
        folder / cub.GAZE / f"{number}.jpg": _gaze(rng, picture.cover),
    }
    for path, values in maps.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(values * 255).astype(np.uint8)).save(path, quality=95)


def _gaze(rng: np.random.Generator, cover: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fixations on the animal, blurred and scaled to 1: [S, S]."""
    size = len(cover)
    grid = np.arange(size, dtype=np.float32)
    rows, columns = np.nonzero(cover >= 0.5)
    total = np.zeros((size, size), np.float32)
    for chosen in rng.integers(len(rows), size=_FIXATIONS):
        y, x = (
            np.exp(-((grid - places[chosen]) ** 2) / (2 * (0.12 * size) ** 2))
            for places in (rows, columns)
        )
        total += rng.uniform(0.5, 1) * y[:, None] * x
    return np.asarray(total / total.max(), dtype=np.float32)
