"""Data sets whose images are files: what their readers share once the files are listed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsplid_core.config.mask_values import MaskValues
from hsplid_core.data.readers.bit_depth import FULL, Depth, survey_depth
from hsplid_core.data.readers.demo_marker import is_stand_in
from hsplid_core.data.readers.file_lists import (
    Box,
    Contents,
    Entry,
    glance,
    glance_at_folders,
    pictures_in,
)
from hsplid_core.data.readers.mask_survey import MaskSurvey, object_pixels, survey_masks
from hsplid_core.data.readers.pictures import is_turned, read_file, read_grey, read_picture
from hsplid_core.data.readers.spelling import readable
from hsplid_core.data.readers.squaring import (
    Fit,
    resizing,
    square_attention,
    square_mask,
    square_pixels,
)
from hsplid_core.data.source import Listing, Sample
from hsplid_core.data.workers import n_cores
from hsplid_core.errors import DataError
from hsplid_core.files import map_in_threads

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Masks = Literal["none", "binary", "soft", "box"]
"""What an entry tells of the object: nothing, a mask's file (bright is object), a file of
attention from 0 to 255, or rectangles."""

# Changes whenever the same files would give other pixels, masks or labels. What only some files
# were read wrongly by is part of the digests of these, so that caches of all others stay.
_READER_VERSION = 1
# Changes whenever the identity of the same files may be another.
_GLANCE_VERSION = 2


class _Known(NamedTuple):
    """What is known of a split once its files are listed and its masks looked at."""

    contents: Contents
    depth: Depth | None
    masks: MaskSurvey | None


@dataclass(frozen=True, kw_only=True)
class ListedImages:
    """One split of a data set whose images are files.

    Attributes:
        data_set: Its name.
        split: Name of the part, fit for a file name.
        root: Folder that the images' ids are relative to.
        image_size: Side of the square images, in pixels.
        contents: Finds the images; called only when the cache has to be built.
        folders: Folders that hold the images and masks, and nothing else.
        tables: Files that say which images there are, and what they show.
        masks: What the entries tell of the object.
        glance_at: What `stamp` looks at: each file, or only their folders where there are too
            many.
        fit: How pictures become square.
        resize_size: Side that they are resized to before the centre crop; None for `image_size`.
        mean: Mean of each channel, of pixels in [0, 1].
        std: Standard deviation of each channel.
        mask_values: Which values of the masks' files are the object; None where they tell.
    """

    data_set: str
    split: str
    root: Path
    image_size: int
    contents: Callable[[], Contents]
    folders: tuple[Path, ...]
    tables: tuple[Path, ...] = ()
    masks: Masks = "none"
    glance_at: Literal["files", "folders"] = "files"
    fit: Fit = "crop"
    resize_size: int | None = None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    mask_values: MaskValues | None = None

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
    def has_masks(self) -> bool:
        """Whether every image has a mask."""
        return self.masks != "none"

    @property
    def soft_masks(self) -> bool:
        """Whether masks are maps of attention, from 0 to 255."""
        return self.masks == "soft"

    @property
    def is_demo(self) -> bool:
        """Whether the root holds the embedded stand-in."""
        return is_stand_in(self.root)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of the labels."""
        return self._contents.class_names

    def stamp(self) -> str:
        """Hash of the transform and of the names, sizes and times of the files."""
        tables = glance(self.tables)
        look = glance_at_folders if self.glance_at == "folders" else glance
        images = look(self.folders)
        text = f"{self._transform} {_GLANCE_VERSION} {self.root.resolve()} {tables} {images}"
        return hashlib.sha256(os.fsencode(text)).hexdigest()

    def identity(self) -> str:
        """Hash of the transform, the labels and the bytes of the images and masks.

        Raises:
            DataError: A file is missing, a mask belongs to no image, or a list is damaged.
        """
        self._check_masks()
        digest = hashlib.sha256(os.fsencode(f"{self._transform} {self.class_names}"))
        known = self._known
        if known.depth is not None:
            digest.update(f" {known.depth}".encode())
        if known.masks is not None and not known.masks.as_ever:
            digest.update(f" {known.masks.rule}".encode())
        n_threads = n_cores()
        for part in map_in_threads(self._entry_digest, self._contents.entries, n_threads):
            digest.update(part)
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._contents.entries)

    def sample(self, index: int) -> Sample:
        """Decode and resize one image, with its mask if it has one.

        Args:
            index: In the order of the listing.

        Raises:
            DataError: The picture or its mask is missing or damaged, or they differ in size.
        """
        entry = self._contents.entries[index]
        picture = read_picture(entry.image, depth=self._known.depth or FULL)
        pixels = square_pixels(
            picture, self.image_size, fit=self.fit, resize_size=self.resize_size
        )
        return Sample(pixels, self._mask(entry, picture), entry.label, self._id(entry))

    def listing(self) -> Listing:
        """List the files of the images and masks, and of other parts in the same folders."""
        entries = self._contents.entries
        images = {entry.image for entry in entries}
        masks = {entry.mask for entry in entries if entry.mask is not None}
        return Listing(self.folders, frozenset(images | masks | self._contents.others))

    def left_out(self) -> dict[str, int]:
        """No listed image is left out."""
        return {}

    def notes(self) -> tuple[str, ...]:
        """Say what the masks' values were taken for, and what else is worth knowing."""
        masks = self._known.masks
        if masks is None or masks.fault is not None:
            return self._contents.notes
        return (*self._contents.notes, f"masks, {masks.rule}")

    def _check_masks(self) -> None:
        """Refuse a mask that belongs to no image: the images are likely not all there."""
        if self.masks not in ("binary", "soft"):
            return
        folders, known = self.listing()
        for folder in folders:
            for path in pictures_in(folder):
                if path not in known:
                    raise DataError(
                        f"{path} must belong to the data set, but no image or mask has that name: "
                        "is one missing, or named otherwise?"
                    )

    def _mask(self, entry: Entry, picture: Image.Image) -> NDArray[np.uint8] | None:
        if self.masks == "none":
            return None
        size, fit, resize_size = self.image_size, self.fit, self.resize_size
        if self.masks == "box":
            filled = _filled(entry.boxes, picture.size)
            return square_mask(filled, size, fit=fit, resize_size=resize_size)
        assert entry.mask is not None
        if self.masks == "soft":
            attention = read_grey(entry.mask, picture.size, "map of attention")
            return square_attention(attention, size, fit=fit, resize_size=resize_size)
        masks = self._known.masks
        assert masks is not None
        if masks.fault is not None:
            raise DataError(f"{self._mask_folder}: {masks.fault}")
        filled = object_pixels(entry.mask, picture.size, masks.rule)
        return square_mask(filled, size, fit=fit, resize_size=resize_size)

    @property
    def _transform(self) -> str:
        return (
            f"{self.data_set} {self.split} {_READER_VERSION} {self.image_size} {self.masks} "
            f"{self.fit} demo={self.is_demo}{resizing(self.resize_size)}"
        )

    @property
    def _contents(self) -> Contents:
        return self._known.contents

    @cached_property
    def _known(self) -> _Known:
        contents = self.contents()
        for entry in contents.entries:
            if not 0 <= entry.label < len(contents.class_names):
                raise DataError(
                    f"{entry.image} must have a label from 0 to {len(contents.class_names) - 1}, "
                    f"got {entry.label}: its class is none of the data set's"
                )
        every = (*contents.entries, *contents.siblings)
        # A million files, of which none is known to be deep, are not opened for this.
        depth = survey_depth(e.image for e in every) if self.glance_at == "files" else None
        masks = None
        if self.masks == "binary":
            files = (entry.mask for entry in every if entry.mask is not None)
            masks = survey_masks(files, self.mask_values)
        return _Known(contents, depth, masks)

    @property
    def _mask_folder(self) -> Path:
        masks = {entry.mask.parent for entry in self._contents.entries if entry.mask is not None}
        return Path(os.path.commonpath(masks))

    def _id(self, entry: Entry) -> str:
        return readable(entry.image.relative_to(self.root).as_posix())

    def _entry_digest(self, entry: Entry) -> bytes:
        digest = hashlib.sha256(f"{self._id(entry)} {entry.label} {entry.boxes}".encode())
        for path in (entry.image, entry.mask):
            if path is not None:
                content = read_file(path)
                digest.update(content)
                if is_turned(content):
                    digest.update(b" upright")
        return digest.digest()


def _filled(boxes: tuple[Box, ...], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Paint rectangles: 0 or 1, uint8, [H, W]."""
    mask = np.zeros((size[1], size[0]), dtype=np.uint8)
    for box in boxes:
        left, top = max(0, round(box.left)), max(0, round(box.top))
        mask[top : round(box.top + box.height), left : round(box.left + box.width)] = 1
    return mask
