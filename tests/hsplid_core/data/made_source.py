"""A source that makes its images up, for tests of the cache and of other processes."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hsplid_core.data.source import Sample, Skipped


@dataclass(frozen=True)
class MadeSource:
    """`n_rows` random images of `n_classes` classes.

    Attributes:
        n_rows: Number of images.
        size: Side of the images.
        has_masks: Whether they have masks.
        soft_masks: Whether these are attention from 0 to 255.
        version: Part of content and identity.
        touched: Part of the stamp only.
        wait_s: Time that one image takes.
        journal: File to which each decoding process appends its number.
    """

    n_rows: int = 20
    size: int = 8
    has_masks: bool = True
    soft_masks: bool = False
    version: int = 0
    touched: int = 0
    wait_s: float = 0.0
    journal: Path | None = None

    name = "made"
    class_names = ("left", "right")
    mean = (0.5, 0.4, 0.3)
    std = (0.2, 0.2, 0.1)
    is_demo = False

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return (3, self.size, self.size)

    def identity(self) -> str:
        values = (self.n_rows, self.size, self.has_masks, self.soft_masks, self.version)
        return hashlib.sha256(repr(values).encode()).hexdigest()

    def stamp(self) -> str:
        return hashlib.sha256(f"{self.identity()} {self.touched}".encode()).hexdigest()

    def __len__(self) -> int:
        return self.n_rows

    def sample(self, index: int) -> Sample | Skipped:
        time.sleep(self.wait_s)
        if self.journal is not None:
            with self.journal.open("a") as handle:
                handle.write(f"{os.getpid()}\n")
        rng = np.random.default_rng([self.version, index])
        image = rng.integers(0, 256, self.image_shape).astype(np.uint8)
        levels = 256 if self.soft_masks else 2
        mask = rng.integers(0, levels, (1, self.size, self.size)).astype(np.uint8)
        return Sample(image, mask if self.has_masks else None, index % 2, f"{index:06d}")
