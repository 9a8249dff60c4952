"""The animal images of COCO, one by one: 2 GB of the 20 GB of both splits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image

from hsplid_core.data.fetching.download import Remote
from hsplid_core.data.readers.coco_annotations import AnnotatedImage, read_animals
from hsplid_core.data.readers.pictures import read_picture
from hsplid_core.errors import DataError

SPLITS: tuple[Literal["train", "val"], ...] = ("train", "val")


class CocoImage(NamedTuple):
    """An image to download.

    Attributes:
        remote: Where it is.
        target: Its name on disk.
        size: Width and height, as annotated; None of a side that is not.
    """

    remote: Remote
    target: Path
    size: tuple[int | None, int | None]

    def accept(self, path: Path) -> None:
        """Refuse a file that is not this picture, whole.

        Raises:
            DataError: It can't be decoded, or has another size.
        """
        picture: Image.Image = read_picture(path)
        if any(side not in (None, of) for side, of in zip(self.size, picture.size, strict=True)):
            raise DataError(f"it is {picture.size} pixels large, annotated is {self.size}")


def coco_images(root: Path) -> Iterator[CocoImage]:
    """List the animal images that the annotations of both splits name.

    Args:
        root: Folder with `annotations`.

    Raises:
        DataError: The annotations are damaged.
    """
    for split in SPLITS:
        folder = root / f"{split}2017"
        file = root / "annotations" / f"instances_{split}2017.json"
        for animal in read_animals(file).images:
            yield _image(animal, folder)


def _image(animal: AnnotatedImage, folder: Path) -> CocoImage:
    if Path(animal.file_name).name != animal.file_name:
        raise DataError(
            f"{folder} must hold images by plain names, the annotations say "
            f"{animal.file_name!r}: fetch the annotations again"
        )
    url = animal.url or f"http://images.cocodataset.org/{folder.name}/{animal.file_name}"
    return CocoImage(Remote(url=url), folder / animal.file_name, (animal.width, animal.height))
