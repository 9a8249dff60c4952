"""Small COCO roots written by hand, with real JPEG files."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hsplid_core.data.readers.coco import CocoImages, coco_animals

CATEGORIES = [
    {"id": 1, "name": "person"},
    {"id": 22, "name": "elephant"},
    {"id": 23, "name": "bear"},
    {"id": 24, "name": "zebra"},
    {"id": 25, "name": "giraffe"},
]
BEAR, ELEPHANT, GIRAFFE, ZEBRA = 23, 22, 25, 24


def box(x: float, y: float, width: float, height: float) -> list[list[float]]:
    """A rectangle as COCO's polygon."""
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


@dataclass
class CocoRoot:
    """Collects images and annotations, then writes both splits (val as a copy of train)."""

    path: Path
    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    categories: list[dict[str, Any]] = field(default_factory=lambda: list(CATEGORIES))

    def image(
        self, *, width: int = 32, height: int = 32, mode: str = "RGB", file: bool = True
    ) -> int:
        number = len(self.images) + 1
        name = f"{number:012d}.jpg"
        self.images.append({"id": number, "file_name": name, "height": height, "width": width})
        if file:
            folder = self.path / "train2017"
            folder.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3))
            picture = Image.fromarray(pixels.astype(np.uint8)).convert(mode)
            picture.save(folder / name, quality=95)
        return number

    def animal(
        self, image: int, category: int, segmentation: object, *, crowd: bool = False
    ) -> None:
        self.annotations.append(
            {
                "id": len(self.annotations) + 1,
                "image_id": image,
                "category_id": category,
                "segmentation": segmentation,
                "iscrowd": int(crowd),
            }
        )

    @property
    def json_file(self) -> Path:
        return self.path / "annotations" / "instances_train2017.json"

    def write(self) -> Path:
        (self.path / "train2017").mkdir(parents=True, exist_ok=True)
        self.json_file.parent.mkdir(exist_ok=True)
        document = {
            "images": self.images,
            "annotations": self.annotations,
            "categories": self.categories,
        }
        self.json_file.write_text(json.dumps(document), encoding="utf-8")
        return self.path

    def source(self, image_size: int = 32) -> CocoImages:
        return coco_animals(self.write(), "train", image_size)
