"""COCO: images of one class each with masks, of COCO 2017's animals or categories of one's own.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014, https://cocodataset.org. The
annotations are licensed CC BY 4.0; the images belong to their owners on Flickr. The selection of
four animals (bear, elephant, giraffe and zebra), with masks, follows H-SPLID (arXiv 2510.20627).

val2017 has about 310 such images, of which a share has a standard error of up to 2.8 points. So a
fifth of train2017's may be moved to them, which leaves training and test disjoint.

Own categories come in the files that annotation tools export, each as it is: Label Studio
(`result.json` and `images/`), CVAT (`annotations/instances_*.json` and `images/`), Roboflow
(`train/_annotations.coco.json` and so on), labelme (its own files, or `annotations.json`). Of one
file for all, a fifth of each class is held back to test on.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsplid_core.data.readers.coco_annotations import (
    CLASS_NAMES,
    Selection,
    read_animals,
    read_categories,
    select,
)
from hsplid_core.data.readers.coco_document import read_document
from hsplid_core.data.readers.coco_files import (
    MOVED_SHARE,
    Located,
    Part,
    Piece,
    find_parts,
    located,
    pictures_of,
    plain_parts,
)
from hsplid_core.data.readers.coco_masks import union_mask
from hsplid_core.data.readers.demo_marker import is_stand_in
from hsplid_core.data.readers.file_lists import glance
from hsplid_core.data.readers.labelme import read_labelme
from hsplid_core.data.readers.pictures import read_file, read_picture
from hsplid_core.data.readers.squaring import Fit, resizing, square_mask, square_pixels
from hsplid_core.data.source import Listing, Sample, Skipped
from hsplid_core.data.workers import n_cores
from hsplid_core.errors import DataError
from hsplid_core.files import map_in_threads

_LAYOUT = (
    "the root must hold annotations/instances_train2017.json, annotations/instances_val2017.json "
    "and the folders train2017 and val2017 from https://cocodataset.org/#download"
)
# Changes whenever the same files would give other pixels, masks or labels.
_READER_VERSION = 2

Split = Literal["train", "val", "smaller_train", "larger_val"]


@dataclass(frozen=True, kw_only=True)
class CocoImages:
    """One split of a COCO data set, reduced to images with exactly one of the classes.

    Attributes:
        data_set: Its name.
        split: Name of the split, fit for a file name.
        root: Folder of the data set.
        image_size: Side of the square images, in pixels.
        pieces: Where the images come from, in this order.
        training: What is trained on, which the classes are taken from; None for the first piece.
        classes: Classes in the order of their labels; None takes all that there are.
        boxes_as_masks: Whether the box of an object without an outline is its mask.
        fit: How pictures become square.
        resize_size: Side that they are resized to before the centre crop; None for `image_size`.
    """

    data_set: Literal["coco_animals", "coco"]
    split: str
    root: Path
    image_size: int
    pieces: tuple[Piece, ...]
    training: Piece | None = None
    classes: tuple[str, ...] | None = None
    boxes_as_masks: bool = False
    fit: Fit = "crop"
    resize_size: int | None = None

    # ImageNet's; H-SPLID has others, and stretches: data.normalise and data.resize of its specs.
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    has_masks = True
    soft_masks = False

    @property
    def name(self) -> str:
        """Short name, fit for a file name."""
        demo = "-demo" if self.is_demo else ""
        return f"{self.data_set}{demo}-{self.split}-{self.image_size}"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """C, H, W after resizing."""
        return (3, self.image_size, self.image_size)

    @property
    def is_demo(self) -> bool:
        """Whether the root holds the embedded stand-in."""
        return is_stand_in(self.root)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of the labels."""
        if self.data_set == "coco_animals":
            return CLASS_NAMES
        return (self._trained_on or self._selections[0]).class_names

    def stamp(self) -> str:
        """Hash of the transform and of the names, sizes and times of the files."""
        files = [path for part, folder, _ in self.pieces for path in (*part.files, folder)]
        if self.training is not None:
            files += self.training.part.files
        text = f"{self._transform} {self.root.resolve()} {glance(files)}"
        return hashlib.sha256(text.encode()).hexdigest()

    def identity(self) -> str:
        """Hash of the transform, the annotations and the bytes of the images used.

        Raises:
            DataError: The annotations are damaged, or an image that they name is missing.
        """
        digest = hashlib.sha256(self._transform.encode())
        self._check_complete()
        digest.update(json.dumps(self.class_names).encode())
        n_threads = n_cores()
        for image_digest in map_in_threads(self._image_digest, self._images, n_threads):
            digest.update(image_digest)
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._images)

    def sample(self, index: int) -> Sample | Skipped:
        """Decode and resize one image with the union of its objects' masks.

        Args:
            index: In the order of the pieces, and in them of the image ids.

        Returns:
            The sample, or that its mask is empty.

        Raises:
            DataError: The picture is missing, damaged or of another size than annotated, or its
                masks are malformed.
        """
        found = self._images[index]
        picture = read_picture(found.path)
        size, fit, resize_size = self.image_size, self.fit, self.resize_size
        pixels = square_pixels(picture, size, fit=fit, resize_size=resize_size)
        whole = self._mask(found, picture)
        mask = square_mask(whole, size, fit=fit, resize_size=resize_size)
        if not mask.any():
            return Skipped("no object's pixel is left in the resized mask")
        return Sample(image=pixels, mask=mask, label=found.image.label, id=found.id)

    def listing(self) -> Listing:
        """List all images that the annotations name: those of other categories may lie there."""
        if self.data_set == "coco":  # of a folder of one's own, nothing is foreign
            return Listing((), frozenset())
        files: set[Path] = set()
        for piece in self.pieces:
            document = read_document(piece.part.files[0], wanted=())
            named = (str(image.get("file_name")) for image in document.images)
            files |= {path for path in map(pictures_of(piece).find, named) if path is not None}
        return Listing(tuple(piece.folder for piece in self.pieces), frozenset(files))

    def left_out(self) -> Mapping[str, int]:
        """Count the images that the annotations make no use of, by the reason."""
        left_out: Counter[str] = Counter()
        for piece, selection in zip(self.pieces, self._selections, strict=True):
            if piece.share != "moved":  # what stays tells of both
                left_out.update(selection.left_out)
        return left_out

    def notes(self) -> tuple[str, ...]:
        """Say how the annotations are read, where that is no matter of course."""
        said = [
            note
            for piece, selection in zip(self.pieces, self._selections, strict=True)
            if piece.share != "moved"
            for note in selection.notes
        ]
        elsewhere = [found.image.file_name for found in self._images if _is_elsewhere(found)]
        if elsewhere:
            said.append(
                f"{len(elsewhere)} images are named with folders that are not here (first: "
                f"{elsewhere[0]}): found by their last name"
            )
        return tuple(said)

    @property
    def _transform(self) -> str:
        shares = [piece.share for piece in self.pieces]
        moved = f" {shares} {MOVED_SHARE}" if any(shares) else ""
        chosen = "" if self.data_set == "coco_animals" else f" {self.classes}"
        boxes = " boxes" if self.boxes_as_masks else ""
        return (
            f"{self.data_set} {_READER_VERSION} {self.image_size} demo={self.is_demo}{moved}"
            f"{chosen}{boxes}{resizing(self.resize_size, self.fit)}"
        )

    @cached_property
    def _trained_on(self) -> Selection | None:
        return None if self.training is None else self._read(self.training.part, self.classes)

    @cached_property
    def _selections(self) -> tuple[Selection, ...]:
        """Parsed only when the cache has to be built: for COCO that takes many seconds."""
        trained_on = self._trained_on
        classes = self.classes if trained_on is None else trained_on.class_names
        return tuple(self._read(piece.part, classes) for piece in self.pieces)

    def _read(self, part: Part, classes: tuple[str, ...] | None) -> Selection:
        boxes = self.boxes_as_masks
        if self.data_set == "coco_animals":
            return read_animals(part.files[0], boxes_as_masks=boxes)
        if part.labelme:
            document = read_labelme(part.files, self.root)
            return select(document, classes, boxes_as_masks=boxes)
        return read_categories(part.files[0], classes, boxes_as_masks=boxes)

    @cached_property
    def _images(self) -> list[Located]:
        """The images with their files, whether these exist or not."""
        pairs = zip(self.pieces, self._selections, strict=True)
        found = [image for piece, selection in pairs for image in located(piece, selection)]
        if self.training is not None and self._trained_on is not None:
            others = {image.path for image in located(self.training, self._trained_on)}
            both = [image.path for image in found if image.path in others]
            if both:
                raise DataError(
                    f"{self.pieces[0].part.files[0]} must name images that are not trained on, "
                    f"but {len(both)} are in {self.training.part.files[0]}, too (first: "
                    f"{both[0]}): leave them out of one"
                )
        return found

    def _mask(self, found: Located, picture: Image.Image) -> NDArray[np.uint8]:
        image, (width, height) = found.image, picture.size
        if (image.width or width, image.height or height) != (width, height):
            turned = (image.width, image.height) == (height, width)
            raise DataError(
                f"{found.path} must be {image.width}x{image.height} as annotated, got "
                f"{width}x{height}: "
                + (
                    "are height and width mixed up, or is it annotated as it is stored, without "
                    "regard to its EXIF orientation? Correct or turn the annotations"
                    if turned
                    else "put the picture there that was annotated, or scale its annotations"
                )
            )
        return union_mask(
            image.annotations,
            height,
            width,
            file_name=image.file_name,
            in_shares=found.in_shares,
            boxes_as_masks=self.boxes_as_masks,
        )

    def _check_complete(self) -> None:
        missing = [found.path for found in self._images if not found.path.is_file()]
        if missing:
            raise DataError(
                f"{missing[0].parent} must hold every annotated image, {len(missing)} of "
                f"{len(self._images)} are missing (first: {missing[0].name}): finish the "
                f"download, or run python -m sweeps.data check {self.data_set} root={self.root}"
            )

    def _image_digest(self, found: Located) -> bytes:
        image = found.image
        annotations = json.dumps(image.annotations, sort_keys=True, default=repr)
        text = f"{found.id} {image.label} {image.width} {image.height} {annotations}"
        digest = hashlib.sha256(text.encode("utf-8", "backslashreplace"))
        digest.update(read_file(found.path))
        return digest.digest()


def coco_animals(
    root: Path, split: Split, image_size: int, *, boxes_as_masks: bool = False
) -> CocoImages:
    """Open a split of COCO 2017, reduced to images with exactly one of the four animals.

    Args:
        root: Folder with `annotations` and the image folders.
        split: `train` for train2017, `val` for val2017; `smaller_train` for four fifths of
            train2017, by class, and `larger_val` for val2017 and the rest of train2017.
        image_size: Side of the square images, in pixels.
        boxes_as_masks: Whether the box of an animal without an outline is its mask.

    Raises:
        DataError: The root, the annotation file or the image folder is missing.
    """
    pieces = {
        "train": (_of_coco(root, "train"),),
        "val": (_of_coco(root, "val"),),
        "smaller_train": (_of_coco(root, "train", "stay"),),
        "larger_val": (_of_coco(root, "val"), _of_coco(root, "train", "moved")),
    }[split]
    for folder in (root, *(piece.folder for piece in pieces)):
        if not folder.is_dir():
            raise DataError(
                f"{folder} must be a folder to read COCO animals: {_LAYOUT}"
            ) from FileNotFoundError(folder)
    for file in (piece.part.files[0] for piece in pieces):
        if not file.is_file():
            raise DataError(
                f"{file} must be a file to read COCO animals: {_LAYOUT}"
            ) from FileNotFoundError(file)
    return CocoImages(
        data_set="coco_animals",
        split=split,
        root=root,
        image_size=image_size,
        pieces=pieces,
        boxes_as_masks=boxes_as_masks,
    )


def coco(
    root: Path,
    split: Literal["train", "test"],
    image_size: int,
    *,
    classes: tuple[str, ...] | None = None,
    boxes_as_masks: bool = False,
) -> CocoImages:
    """Open one split of a data set with categories of its own.

    Args:
        root: Folder with one COCO file for each part, or one for all; or labelme's files.
        split: `train` or `test`.
        image_size: Side of the square images, in pixels.
        classes: As of `CocoImages`.
        boxes_as_masks: As of `CocoImages`.

    Raises:
        DataError: The root is missing or has another layout.
    """
    trained_on, tested_on = find_parts(root)
    training = Piece(trained_on, root)
    if tested_on is None:
        piece = training._replace(share="stay" if split == "train" else "moved")
    else:
        piece = training if split == "train" else Piece(tested_on, root)
    return CocoImages(
        data_set="coco",
        split=split,
        root=root,
        image_size=image_size,
        pieces=(piece,),
        training=training if piece.part is tested_on else None,
        classes=classes,
        boxes_as_masks=boxes_as_masks,
    )


def _of_coco(root: Path, split: str, share: Literal["stay", "moved"] | None = None) -> Piece:
    file = root / "annotations" / f"instances_{split}2017.json"
    return Piece(Part(None, (file,), False), root / f"{split}2017", share)


def _is_elsewhere(found: Located) -> bool:
    """Whether a name has folders, and none of them leads to its file."""
    *folders, _ = plain_parts(found.image.file_name)
    return bool(folders) and found.path.parent.name != folders[-1]
