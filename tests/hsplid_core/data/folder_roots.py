"""Small folders of class folders, as people have them. Names and pictures are made up."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from hsplid_core.config import DataConfig
from hsplid_core.data import DATA_SETS, Sample, Source
from hsplid_core.data.check_files import Report, check_sources
from hsplid_core.data.workers import Workers

SIZE = 16
CLASSES = ("cat", "dog")
_RNG = np.random.default_rng(0)


def picture(path: Path, image_format: str | None = "JPEG") -> Path:
    """Write a picture of noise, 20x16, into a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = _RNG.integers(0, 255, (16, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format=image_format)
    return path


def tree(
    root: Path,
    parts: Iterable[str] = ("train", "test"),
    classes: Iterable[str] = CLASSES,
    *,
    masks: str | None = None,
) -> Path:
    """Write two pictures a class into each part, with masks in a folder if it is named.

    Masks have 1 on the right half, else 0.
    """
    for part in parts:
        for name in classes:
            for number in range(2):
                place = Path(part, name, f"{number}.jpg")
                picture(root / place)
                if masks is not None:
                    mask(root / masks / place.with_suffix(".png"))
    return root


def mask(path: Path, foreground: int = 1) -> Path:
    """Write the mask of a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((16, 20), np.uint8)
    pixels[:, 10:] = foreground
    Image.fromarray(pixels).save(path)
    return path


def opened(root: Path, split: str = "train", side: int = SIZE) -> Source:
    """Open a split."""
    entry = DATA_SETS["folder"]
    opener = entry.training if split == "train" else entry.testing
    assert opener is not None
    return opener(root, DataConfig(name="folder", image_size=side))


def checked(root: Path) -> Report:
    """Check both splits."""
    openers = [partial(opened, root, split) for split in ("train", "test")]
    return check_sources(openers, progress=lambda *_: None, workers=Workers(count=2))


def samples(source: Source) -> list[Sample]:
    """Decode all images."""
    found = [source.sample(index) for index in range(len(source))]
    return [sample for sample in found if isinstance(sample, Sample)]


def ids(source: Source) -> list[str]:
    """Names of all images."""
    return [sample.id for sample in samples(source)]
