"""COCO 2017 animals: bear, elephant, giraffe and zebra, with their masks.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014, https://cocodataset.org. The
annotations are licensed CC BY 4.0; the images belong to their owners on Flickr. The selection of
four classes, with masks, follows H-SPLID (arXiv 2510.20627).
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from hsplid_core.data.readers.coco_annotations import (
    CLASS_NAMES,
    AnimalImage,
    read_animals,
    read_image_names,
)
from hsplid_core.data.readers.coco_masks import union_mask
from hsplid_core.data.readers.demo_marker import is_stand_in
from hsplid_core.data.readers.pictures import read_picture
from hsplid_core.data.readers.squaring import square_mask, square_pixels
from hsplid_core.data.source import Listing, Sample, Skipped
from hsplid_core.errors import DataError
from hsplid_core.files import map_in_threads

_LAYOUT = (
    "the root must hold annotations/instances_train2017.json, annotations/instances_val2017.json "
    "and the folders train2017 and val2017 from https://cocodataset.org/#download"
)
# Changes whenever the same files would give other pixels, masks or labels.
_READER_VERSION = 1


@dataclass(frozen=True)
class CocoAnimals:
    """One split of COCO 2017, reduced to images with exactly one of the four animals.

    Args:
        root: Folder with `annotations` and the image folders.
        split: `train` for train2017, `val` for val2017.
        image_size: Side of the square images, in pixels.

    Raises:
        DataError: The root, the annotation file or the image folder is missing.
    """

    root: Path
    split: Literal["train", "val"]
    image_size: int

    mean = (0.485, 0.456, 0.406)  # ImageNet's, as in the paper
    std = (0.229, 0.224, 0.225)
    class_names = CLASS_NAMES
    has_masks = True
    soft_masks = False

    def __post_init__(self) -> None:
        for folder in (self.root, self._folder):
            if not folder.is_dir():
                raise DataError(
                    f"{folder} must be a folder to read COCO animals: {_LAYOUT}"
                ) from FileNotFoundError(folder)
        if not self._annotation_file.is_file():
            raise DataError(
                f"{self._annotation_file} must be a file to read COCO animals: {_LAYOUT}"
            ) from FileNotFoundError(self._annotation_file)

    @property
    def name(self) -> str:
        """Short name, fit for a file name."""
        demo = "-demo" if self.is_demo else ""
        return f"coco_animals{demo}-{self.split}-{self.image_size}"

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
        files = [self._annotation_file.stat()]
        names = [self._annotation_file.name]
        with os.scandir(self._folder) as entries:
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
        with self._annotation_file.open("rb") as handle:
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
            index: In the order of COCO's image ids.

        Returns:
            The sample, or that its mask is empty.

        Raises:
            DataError: The picture is missing, damaged or of another size than annotated, or its
                masks are malformed.
        """
        animal = self._animals[index]
        path = self._folder / animal.file_name
        image = read_picture(path)
        size = image.size
        pixels = square_pixels(image, self.image_size)
        if size != (animal.width, animal.height):
            raise DataError(
                f"{path} must be {animal.width}x{animal.height} as annotated, got "
                f"{size[0]}x{size[1]}: download it again"
            )
        mask = square_mask(union_mask(animal), self.image_size)
        if not mask.any():
            return Skipped("no animal pixel is left in the resized mask")
        return Sample(image=pixels, mask=mask, label=animal.label, id=animal.file_name)

    def listing(self) -> Listing:
        """List all images of COCO's split: those of other categories may lie there too."""
        names = read_image_names(self._annotation_file)
        return Listing((self._folder,), frozenset(self._folder / name for name in names))

    @property
    def _annotation_file(self) -> Path:
        return self.root / "annotations" / f"instances_{self.split}2017.json"

    @property
    def _folder(self) -> Path:
        return self.root / f"{self.split}2017"

    @property
    def _transform(self) -> str:
        return f"coco_animals {_READER_VERSION} {self.image_size} demo={self.is_demo}"

    @cached_property
    def _animals(self) -> list[AnimalImage]:
        """Parsed only when the cache has to be built: for COCO that takes many seconds."""
        return read_animals(self._annotation_file)

    def _check_complete(self) -> None:
        names = [animal.file_name for animal in self._animals]
        missing = [name for name in names if not (self._folder / name).is_file()]
        if missing:
            raise DataError(
                f"{self._folder} must hold every annotated animal image, {len(missing)} of "
                f"{len(names)} are missing (first: {missing[0]}): finish the download"
            )

    def _image_digest(self, animal: AnimalImage) -> bytes:
        with (self._folder / animal.file_name).open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").digest()
