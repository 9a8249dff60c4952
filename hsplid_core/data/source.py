"""Sources: what a data set on disk must offer so that it can go into the Arrow cache."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


class Sample(NamedTuple):
    """One decoded image, already resized.

    Attributes:
        image: Pixels, uint8, [C, H, W].
        mask: 1 on the labelled object, else 0, uint8, [1, H, W]; attention from 0 to 255 where
            the source's masks are soft; None without masks.
        label: Class index.
        id: The image's name in its data set, so that a row can be traced to its file.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None
    label: int
    id: str


class Skipped(NamedTuple):
    """An image that is left out on purpose; the cache counts and logs the reasons."""

    reason: str


class Source(Protocol):
    """A data set in its own layout, with its decoding and resizing.

    The members are read-only, so that frozen dataclasses fit. `sample` is called from several
    threads at once, and in other processes, to which the source is pickled.

    Opening a source, its length and `sample` shall work with some of the images or masks gone:
    each is told by `sample` at its own index, so that a check of the data set can name them all.
    `identity` raises if anything is missing; a cache is never built from a part.
    """

    @property
    def name(self) -> str:
        """Short name, fit for a file name."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of the labels."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel for the model's normalisation, of pixels in [0, 1]."""

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel, of pixels in [0, 1]."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """C, H, W after resizing."""

    @property
    def has_masks(self) -> bool:
        """Whether every sample carries a mask."""

    @property
    def soft_masks(self) -> bool:
        """Whether the masks are maps of attention, from 0 to 255."""

    @property
    def is_demo(self) -> bool:
        """Whether this is a stand-in, whose figures must not pass for the real data set's."""

    def stamp(self) -> str:
        """Hash of what a glance at the disk shows: names, sizes, times, and the transform.

        Cheap enough for every trial. A changed stamp means that `identity` is computed anew.

        Raises:
            DataError: A part of the data set is missing.
        """

    def identity(self) -> str:
        """Hash of the content and the transform, equal on every machine; may read every file.

        Raises:
            DataError: The data set is missing or damaged.
        """

    def __len__(self) -> int:
        """Number of candidates, those that will be skipped included."""

    def sample(self, index: int) -> Sample | Skipped:
        """Decode one candidate.

        Raises:
            DataError: The candidate's files are missing or damaged, or its mask has another size.
                The message names the file; a `FileNotFoundError` as its cause says missing.
        """


class Listing(NamedTuple):
    """Which files belong to a data set, so that a foreign one can be told.

    Attributes:
        folders: Folders that hold nothing else, searched with all that is below them.
        files: Files that may lie there, whether this split uses them or not.
    """

    folders: tuple[Path, ...]
    files: frozenset[Path]


@runtime_checkable
class Listed(Protocol):
    """A source that knows its files by name; `check` then names the foreign ones."""

    def listing(self) -> Listing:
        """List the files that belong to the data set, without opening the images.

        Raises:
            DataError: The list itself is missing or damaged.
        """


@runtime_checkable
class Choosing(Protocol):
    """A source that leaves images out by what their annotations say, and tells of it."""

    def left_out(self) -> Mapping[str, int]:
        """Count the images that are no candidates, by the reason."""

    def notes(self) -> tuple[str, ...]:
        """Say in sentences what else is worth knowing of the annotations."""
