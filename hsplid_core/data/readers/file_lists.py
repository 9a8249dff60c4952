"""Finding the pictures of a data set on disk, and seeing cheaply whether they changed."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from hsplid_core.data.readers.pictures import SUFFIXES
from hsplid_core.data.readers.spelling import readable, spelt
from hsplid_core.data.readers.walk import folders_in, walk
from hsplid_core.errors import DataError, did_you_mean


class Box(NamedTuple):
    """A rectangle around the object, in pixels of the picture as it is on disk."""

    left: float
    top: float
    width: float
    height: float


class Entry(NamedTuple):
    """One picture of a data set.

    Attributes:
        image: Its file.
        label: Index of its class.
        mask: File of its mask, or of its map of attention; None without.
        boxes: Where the object, or each of several, is.
    """

    image: Path
    label: int
    mask: Path | None = None
    boxes: tuple[Box, ...] = ()


class Contents(NamedTuple):
    """The pictures of one split.

    Attributes:
        class_names: Names in the order of the labels.
        entries: The pictures, always in the same order.
        others: Files of the same folders that belong to other parts of the data set.
        siblings: Pictures of the other parts: what is white and what is the object is decided by
            all pictures and masks of a data set, so that it is the same in training and test.
        notes: What is worth knowing of the listing.
    """

    class_names: tuple[str, ...]
    entries: tuple[Entry, ...]
    others: frozenset[Path] = frozenset()
    siblings: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()


def inner_folder(root: Path, *names: str) -> Path:
    """Find the folder that an archive unpacks into, whether the root is around it or is it."""
    for name in names:
        if (root / name).is_dir():
            return root / name
    return root


def must_exist(paths: Iterable[Path], data_set: str, layout: str) -> None:
    """Refuse a root that is laid out otherwise.

    Args:
        paths: Files and folders that have to be there.
        data_set: Its name, for people.
        layout: What the root must hold and where that comes from.

    Raises:
        DataError: Some are missing (with a `FileNotFoundError` as its cause); all are named.
    """
    missing = ", ".join(str(path) for path in paths if not path.exists())
    if missing:
        raise DataError(f"{missing} must exist to read {data_set}: {layout}") from (
            FileNotFoundError(missing)
        )


def pictures_in(folder: Path) -> list[Path]:
    """All pictures of a folder and of the folders in it, in alphabetical order.

    A link that leads nowhere counts by its name: what it led to is missing, and reading tells so.
    """
    return [
        found.path
        for found in walk(folder)
        if found.kind in ("file", "broken") and is_picture(found.path)
    ]


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by the suffix of its name."""
    return path.suffix.lower() in SUFFIXES


def list_class_folders(folders: Iterable[Path], class_names: tuple[str, ...]) -> list[Entry]:
    """List the pictures in folders of classes.

    Args:
        folders: Folders that bear the names of classes; some classes may be missing.
        class_names: The classes in the order of their labels.

    Raises:
        DataError: A folder is none of the classes, or holds no picture.
    """
    labels = {spelt(name): label for label, name in enumerate(class_names)}
    entries: list[Entry] = []
    for folder in folders:
        label = labels.get(spelt(readable(folder.name)))
        if label is None:
            raise DataError(
                f"{folder} must be one of the {len(labels)} classes of the training images "
                f"({', '.join(class_names[:3])}, ...){did_you_mean(folder.name, class_names)}: "
                "rename it, move it elsewhere or add the class there"
            )
        pictures = pictures_in(folder)
        if not pictures:
            raise DataError(f"{folder} must hold pictures, got {_instead(folder)}")
        entries += [Entry(picture, label) for picture in pictures]
    return entries


def _instead(folder: Path) -> str:
    suffixes = Counter(
        found.path.suffix.lower() or "without ending"
        for found in walk(folder)
        if found.kind == "file"
    )
    if not suffixes:
        return "none: finish the download"
    names = ", ".join(f"{suffix} ({count})" for suffix, count in suffixes.most_common(3))
    return f"other files, {names}: convert them to PNG or JPEG, or finish the download"


def read_lines(path: Path, n_fields: int) -> Iterator[list[str]]:
    """Split the lines of a text file at white space, empty lines left out.

    Args:
        path: The file.
        n_fields: Fields of a line; further white space belongs to the last one.

    Raises:
        DataError: A line has fewer fields, or the file is no text.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} must be a text file ({error}): download it again") from error
    for number, line in enumerate(lines, start=1):
        fields = line.split(maxsplit=n_fields - 1)
        if fields and len(fields) != n_fields:
            raise DataError(
                f"{path}, line {number} must hold {n_fields} fields, got {line!r}: download it "
                "again"
            )
        if fields:
            yield fields


def glance(paths: Iterable[Path]) -> str:
    """Hash names, sizes and times of files, and of all files in folders.

    Args:
        paths: Files and folders; what is missing counts as empty.
    """
    return _hash_of(chain.from_iterable(_walk(path) for path in paths))


def glance_at_folders(folders: Iterable[Path]) -> str:
    """Hash names and times of folders and of the folders in them, whatever files these hold.

    A file that is added, removed or replaced by renaming is noticed; one that is written over is
    not.
    """
    return _hash_of(
        (str(place.relative_to(folder)), place.stat())
        for folder in folders
        for place in (folder, *folders_in(folder))
    )


def _hash_of(files: Iterable[tuple[str, os.stat_result | None]]) -> str:
    digest = hashlib.sha256()
    for name, status in files:
        digest.update(os.fsencode(name))
        if status is not None:
            digest.update(f" {status.st_size} {status.st_mtime_ns}".encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _walk(path: Path) -> Iterator[tuple[str, os.stat_result | None]]:
    if path.is_file():
        yield path.name, path.stat()
    for found in walk(path):
        if found.kind != "leftover":
            name = str(found.path.relative_to(path))
            yield name, found.path.stat() if found.kind == "file" else None
