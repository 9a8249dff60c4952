"""Any folder of class folders, with or without a parallel folder of masks.

Two layouts are understood. With parts: `train/CLASS/*.jpg` and `test/CLASS/*.jpg` (or `val` in
place of `test`). Without: `CLASS/*.jpg`; a fifth of each class, always the same for the same
names, is then held back as the test split. Masks lie in `masks`, in the same tree and with the
same names but ending in `.png`: the mask of `train/cat/1.jpg` is `masks/train/cat/1.png`. They are
grey pictures of the images' size, bright on the object.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import torch

from hsplid_core.data.readers.file_lists import (
    Contents,
    Entry,
    class_folders,
    list_class_folders,
    must_exist,
)
from hsplid_core.data.readers.image_files import ListedImages
from hsplid_core.data.splits import stratified_split
from hsplid_core.errors import DataError

MASKS = "masks"
_LAYOUT = (
    "the root must hold train/CLASS/*.jpg and test/CLASS/*.jpg (or val), or CLASS/*.jpg alone; "
    "masks, if any, in masks/ with the same tree and names ending in .png"
)
_HELD_BACK = 0.2
_SPLIT_SEED = 0


def image_folder(root: Path, split: Literal["train", "test"], image_size: int) -> ListedImages:
    """Open a split of a folder of class folders.

    Args:
        root: In one of the module's two layouts.
        split: `train` or `test`.
        image_size: Side of the square images, in pixels.

    Raises:
        DataError: The root is missing or has another layout.
    """
    must_exist([root], "a folder of class folders", _LAYOUT)
    train, test = root / "train", root / "test"
    if not test.is_dir() and (root / "val").is_dir():
        test = root / "val"
    masks = root / MASKS
    if train.is_dir():
        must_exist([test], "a folder of class folders", _LAYOUT)
        part = train if split == "train" else test
        folders = (part, masks / part.name) if masks.is_dir() else (part,)
        contents = partial(_list_part, root, train, part)
    else:
        folders = (root,)
        contents = partial(_list_flat, root, split)
    return ListedImages(
        data_set="folder",
        split=split,
        root=root,
        image_size=image_size,
        contents=contents,
        folders=folders,
        masks="binary" if masks.is_dir() else "none",
    )


def _list_part(root: Path, train: Path, part: Path) -> Contents:
    class_names = tuple(folder.name for folder in class_folders(train))
    _check_classes(class_names, root)
    entries = list_class_folders(class_folders(part), class_names)
    return Contents(class_names, _with_masks(root, entries))


def _list_flat(root: Path, split: Literal["train", "test"]) -> Contents:
    folders = [folder for folder in class_folders(root) if folder.name != MASKS]
    class_names = tuple(folder.name for folder in folders)
    _check_classes(class_names, root)
    every = _with_masks(root, list_class_folders(folders, class_names))
    labels = torch.tensor([entry.label for entry in every])
    kept, held_back = stratified_split(labels, _HELD_BACK, _SPLIT_SEED, class_names)
    if split == "test":
        kept, held_back = held_back, kept
    others = [every[row] for row in held_back.tolist()]
    return Contents(
        class_names,
        tuple(every[row] for row in kept.tolist()),
        frozenset(path for e in others for path in (e.image, e.mask) if path is not None),
    )


def _check_classes(class_names: tuple[str, ...], root: Path) -> None:
    if len(class_names) < 2:
        raise DataError(
            f"{root} must hold at least two class folders, got {list(class_names)}: {_LAYOUT}"
        )


def _with_masks(root: Path, entries: list[Entry]) -> tuple[Entry, ...]:
    masks = root / MASKS
    if not masks.is_dir():
        return tuple(entries)
    return tuple(
        entry._replace(mask=(masks / entry.image.relative_to(root)).with_suffix(".png"))
        for entry in entries
    )
