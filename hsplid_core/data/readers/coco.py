"""COCO 2017 animals: bear, elephant, giraffe and zebra, with their masks.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014, https://cocodataset.org. The
annotations are licensed CC BY 4.0; the images belong to their owners on Flickr. The selection of
four classes, with masks, follows H-SPLID (arXiv 2510.20627).

val2017 has about 310 such images, of which a share has a standard error of up to 2.8 points. So a
fifth of train2017's may be moved to them, which leaves training and test disjoint.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch

from hsplid_core.data.readers.coco_annotations import (
    CLASS_NAMES,
    AnimalImage,
    read_animals,
    read_image_names,
)
from hsplid_core.data.readers.coco_masks import union_mask
from hsplid_core.data.readers.demo_marker import is_stand_in
from hsplid_core.data.readers.pictures import read_picture
from hsplid_core.data.readers.squaring import Fit, resizing, square_mask, square_pixels
from hsplid_core.data.source import Listing, Sample, Skipped
from hsplid_core.data.splits import stratified_split
from hsplid_core.errors import DataError
from hsplid_core.files import map_in_threads

_LAYOUT = (
    "the root must hold annotations/instances_train2017.json, annotations/instances_val2017.json "
    "and the folders train2017 and val2017 from https://cocodataset.org/#download"
)
# Changes whenever the same files would give other pixels, masks or labels.
_READER_VERSION = 1
# As many of train2017's images as the released split tests on.
_MOVED_SHARE = 0.2
_MOVED_SEED = 0

Part = Literal["train", "val", "smaller_train", "larger_val"]


@dataclass(frozen=True)
class CocoAnimals:
    """A part of COCO 2017, reduced to images with exactly one of the four animals.

    Args:
        root: Folder with `annotations` and the image folders.
        part: `train` for train2017, `val` for val2017; `smaller_train` for four fifths of
            train2017, by class, and `larger_val` for val2017 and the rest of train2017.
        image_size: Side of the square images, in pixels.
        fit: How pictures become square.
        resize_size: Side that they are resized to before the centre crop; None for `image_size`.

    Raises:
        DataError: The root, the annotation file or the image folder is missing.
    """

    root: Path
    part: Part
    image_size: int
    fit: Fit = "crop"
    resize_size: int | None = None

    # ImageNet's; H-SPLID has others, and stretches: data.normalise and data.resize of its specs.
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    class_names = CLASS_NAMES
    has_masks = True
    soft_masks = False

    def __post_init__(self) -> None:
        for folder in (self.root, *map(self._folder, self._splits)):
            if not folder.is_dir():
                raise DataError(
                    f"{folder} must be a folder to read COCO animals: {_LAYOUT}"
                ) from FileNotFoundError(folder)
        for file in map(self._annotation_file, self._splits):
            if not file.is_file():
                raise DataError(
                    f"{file} must be a file to read COCO animals: {_LAYOUT}"
                ) from FileNotFoundError(file)

    @property
    def name(self) -> str:
        """Short name, fit for a file name."""
        demo = "-demo" if self.is_demo else ""
        return f"coco_animals{demo}-{self.part}-{self.image_size}"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """C, H, W after resizing."""
        return (3, self.image_size, self.image_size)

    @property
    def is_demo(self) -> bool:
        """Whether the root holds the embedded stand-in."""
        return is_stand_in(self.root)

    def stamp(self) -> str:
        """Hash of the transform and of the names, sizes and times of the files."""
        digest = hashlib.sha256(f"{self._transform} {self.root.resolve()}".encode())
        for split in self._splits:
            annotations = self._annotation_file(split)
            files = [annotations.stat()]
            names = [annotations.name]
            with os.scandir(self._folder(split)) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    names.append(entry.name)
                    files.append(entry.stat())
            for name, status in zip(names, files, strict=True):
                digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def identity(self) -> str:
        """Hash of the transform, the annotations and the bytes of the images used.

        Raises:
            DataError: The annotations are damaged, or an image that they name is missing.
        """
        digest = hashlib.sha256(self._transform.encode())
        self._check_complete()
        for split in self._splits:
            with self._annotation_file(split).open("rb") as handle:
                digest.update(hashlib.file_digest(handle, "sha256").digest())
        n_threads = os.cpu_count() or 1
        for image_digest in map_in_threads(self._image_digest, self._animals, n_threads):
            digest.update(image_digest)
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._animals)

    def sample(self, index: int) -> Sample | Skipped:
        """Decode and resize one image with the union of its animals' masks.

        Args:
            index: In the order of COCO's image ids, val2017 first.

        Returns:
            The sample, or that its mask is empty.

        Raises:
            DataError: The picture is missing, damaged or of another size than annotated, or its
                masks are malformed.
        """
        path, animal = self._animals[index]
        image = read_picture(path)
        size = image.size
        pixels = square_pixels(image, self.image_size, fit=self.fit, resize_size=self.resize_size)
        if size != (animal.width, animal.height):
            raise DataError(
                f"{path} must be {animal.width}x{animal.height} as annotated, got "
                f"{size[0]}x{size[1]}: download it again"
            )
        mask = square_mask(
            union_mask(animal), self.image_size, fit=self.fit, resize_size=self.resize_size
        )
        if not mask.any():
            return Skipped("no animal pixel is left in the resized mask")
        return Sample(image=pixels, mask=mask, label=animal.label, id=animal.file_name)

    def listing(self) -> Listing:
        """List all images of COCO's splits: those of other categories may lie there too."""
        return Listing(
            tuple(map(self._folder, self._splits)),
            frozenset(
                self._folder(split) / name
                for split in self._splits
                for name in read_image_names(self._annotation_file(split))
            ),
        )

    @property
    def _splits(self) -> tuple[str, ...]:
        """COCO's splits that this part is taken from."""
        if self.part == "larger_val":
            return ("val", "train")
        return ("train",) if self.part == "smaller_train" else (self.part,)

    def _annotation_file(self, split: str) -> Path:
        return self.root / "annotations" / f"instances_{split}2017.json"

    def _folder(self, split: str) -> Path:
        return self.root / f"{split}2017"

    @property
    def _transform(self) -> str:
        moved = "" if self.part in ("train", "val") else f" {self.part} {_MOVED_SHARE}"
        return (
            f"coco_animals {_READER_VERSION} {self.image_size} demo={self.is_demo}{moved}"
            f"{resizing(self.resize_size, self.fit)}"
        )

    @cached_property
    def _animals(self) -> list[tuple[Path, AnimalImage]]:
        """Parsed only when the cache has to be built: for COCO that takes many seconds."""
        return [
            (self._folder(split) / animal.file_name, animal)
            for split in self._splits
            for animal in self._own(split, read_animals(self._annotation_file(split)))
        ]

    def _own(self, split: str, animals: list[AnimalImage]) -> list[AnimalImage]:
        """Take the animals of COCO's split that belong to this part."""
        if split == "val" or self.part == "train":
            return animals
        labels = torch.tensor([animal.label for animal in animals], dtype=torch.int64)
        stay, moved = stratified_split(labels, _MOVED_SHARE, _MOVED_SEED, CLASS_NAMES)
        own = stay if self.part == "smaller_train" else moved
        return [animals[position] for position in own.tolist()]

    def _check_complete(self) -> None:
        missing = [path for path, _ in self._animals if not path.is_file()]
        if missing:
            raise DataError(
                f"{missing[0].parent} must hold every annotated animal image, {len(missing)} of "
                f"{len(self._animals)} are missing (first: {missing[0].name}): finish the download"
            )

    def _image_digest(self, animal: tuple[Path, AnimalImage]) -> bytes:
        with animal[0].open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").digest()
