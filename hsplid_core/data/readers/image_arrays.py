"""Data sets of small images that lie together in a few files: what their readers share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsplid_core.data.readers.demo_marker import is_stand_in
from hsplid_core.data.readers.file_lists import glance
from hsplid_core.data.readers.squaring import Fit, resizing, square_mask, square_pixels
from hsplid_core.data.source import Listing, Sample
from hsplid_core.errors import DataError

_READER_VERSION = 1


class Arrays(NamedTuple):
    """All images of a split.

    Attributes:
        images: uint8, [N, H, W, C].
        labels: int64, [N].
        masks: 0 or 1, uint8, [N, H, W]; None without.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    masks: NDArray[np.uint8] | None = None


@dataclass(frozen=True, kw_only=True)
class ArrayImages:
    """One split of a data set that fits into memory.

    Attributes:
        data_set: Its name.
        split: Name of the part, fit for a file name.
        root: Folder of the data set.
        image_size: Side of the square images, in pixels.
        files: All that is read.
        class_names: Names in the order of the labels.
        channels: 3 for colours, 1 for grey.
        read: Reads the files; called only when the cache has to be built.
        has_masks: Whether that gives masks.
        siblings: Names that the data set's files in the same folders may have.
        mean: Mean of each channel, of pixels in [0, 1].
        std: Standard deviation of each channel.
        fit: How pictures become square.
        resize_size: Side that they are resized to before the centre crop; None for `image_size`.

    Raises:
        DataError: A label is outside the classes (when the images are read).
    """

    data_set: str
    split: str
    root: Path
    image_size: int
    files: tuple[Path, ...]
    class_names: tuple[str, ...]
    channels: int
    read: Callable[[], Arrays]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    has_masks: bool = False
    soft_masks: bool = False
    siblings: frozenset[str] = frozenset()
    fit: Fit = "crop"
    resize_size: int | None = None

    @property
    def name(self) -> str:
        """Short name, fit for a file name."""
        demo = "-demo" if self.is_demo else ""
        return f"{self.data_set}{demo}-{self.split}-{self.image_size}"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """C, H, W after resizing."""
        return (self.channels, self.image_size, self.image_size)

    @property
    def is_demo(self) -> bool:
        """Whether the root holds the embedded stand-in."""
        return is_stand_in(self.root)

    def stamp(self) -> str:
        """Hash of the transform and of the files' names, sizes and times."""
        text = f"{self._transform} {self.root.resolve()} {glance(self.files)}"
        return hashlib.sha256(text.encode()).hexdigest()

    def identity(self) -> str:
        """Hash of the transform and of the images, masks and labels themselves."""
        digest = hashlib.sha256(self._transform.encode())
        for array in self._arrays:
            if array is not None:
                digest.update(f"{array.shape}".encode() + array.tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._arrays.labels)

    def sample(self, index: int) -> Sample:
        """Resize one image.

        Args:
            index: In the order of the files.
        """
        pixels = self._arrays.images[index]
        image = Image.fromarray(pixels[..., 0] if self.channels == 1 else pixels)
        masks = self._arrays.masks
        size, fit, resize_size = self.image_size, self.fit, self.resize_size
        return Sample(
            image=square_pixels(
                image, size, channels=self.channels, fit=fit, resize_size=resize_size
            ),
            mask=None
            if masks is None
            else square_mask(masks[index], size, fit=fit, resize_size=resize_size),
            label=int(self._arrays.labels[index]),
            id=f"{self.split}/{index:05d}",
        )

    def listing(self) -> Listing:
        """List the files of all splits."""
        folders = tuple(dict.fromkeys(path.parent for path in self.files))
        siblings = {folder / name for folder in folders for name in self.siblings}
        return Listing(folders, frozenset(self.files) | siblings)

    @property
    def _transform(self) -> str:
        return (
            f"{self.data_set} {self.split} {_READER_VERSION} {self.image_size} demo={self.is_demo}"
            f"{resizing(self.resize_size, self.fit)}"
        )

    @cached_property
    def _arrays(self) -> Arrays:
        arrays = self.read()
        wrong = (arrays.labels < 0) | (arrays.labels >= len(self.class_names))
        if wrong.any():
            position = int(wrong.argmax())
            raise DataError(
                f"{self.root}: labels of {self.split} must lie from 0 to "
                f"{len(self.class_names) - 1}, got {arrays.labels[position]} for image "
                f"{position}: download the data set again"
            )
        return arrays
