"""Any folder of class folders, with or without a parallel folder of masks.

Two layouts are understood. With parts: `train/CLASS/*.jpg` and `test/CLASS/*.jpg` (or `val` in
place of `test`; `parts` has the other names). Without: `CLASS/*.jpg`; a fifth of each class,
always the same for the same names, is then held back as the test split. Folders in a class folder
belong to the class, and links to folders are followed.

Masks lie in `masks`, in the same tree and with the same base names: the mask of `train/cat/1.jpg`
is `masks/train/cat/1.png`, or of another suffix, or `1_mask.png`. They are of the pictures' size;
which of their values are the object is decided by all of them (`mask_rule`), or said by
`data.mask_values`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from hsplid_core.config.mask_values import MaskValues
from hsplid_core.data.readers.file_lists import (
    Contents,
    Entry,
    list_class_folders,
    must_exist,
    pictures_in,
)
from hsplid_core.data.readers.image_files import ListedImages
from hsplid_core.data.readers.parts import Parts, find_parts, role_of
from hsplid_core.data.readers.spelling import readable, spelt
from hsplid_core.data.readers.walk import folders_in
from hsplid_core.data.splits import stratified_split
from hsplid_core.errors import DataError

MASKS = "masks"
_LAYOUT = (
    "the root must hold train/CLASS/*.jpg and test/CLASS/*.jpg (or val), or CLASS/*.jpg alone; "
    "masks, if any, in masks/ with the same tree and names ending in .png"
)
# What programs add to the name of a picture's mask: 1_mask.png, 1_segmentation.png.
_MASK_ENDING = re.compile(r"[ _-](mask|masks|seg|segmentation|label|gt|trimap)$", re.IGNORECASE)
_HELD_BACK = 0.2
_SPLIT_SEED = 0
Key = tuple[str, ...]


def image_folder(
    root: Path,
    split: Literal["train", "test"],
    image_size: int,
    mask_values: MaskValues | None = None,
) -> ListedImages:
    """Open a split of a folder of class folders.

    Args:
        root: In one of the module's two layouts.
        split: `train` or `test`.
        image_size: Side of the square images, in pixels.
        mask_values: Which values of the masks' files are the object; None where they tell.

    Raises:
        DataError: The root is missing or has another layout.
    """
    must_exist([root], "a folder of class folders", _LAYOUT)
    parts = find_parts(root)
    if parts.train is None or parts.test is None:
        folders: tuple[Path, ...] = (root,)
        beside: tuple[Path, ...] = ()
        contents = partial(_list_flat, root, parts, split)
    else:
        part, other = parts.train, parts.test
        if split == "test":
            part, other = other, part
        folders = (part, *_mask_folders(parts, part))
        beside = (other, *_mask_folders(parts, other))
        contents = partial(_list_part, root, parts, part, other)
    return ListedImages(
        data_set="folder",
        split=split,
        root=root,
        image_size=image_size,
        contents=contents,
        folders=folders,
        tables=beside,
        masks="none" if parts.masks is None else "binary",
        mask_values=mask_values,
    )


def _mask_folders(parts: Parts, part: Path) -> tuple[Path, ...]:
    """Folders of the masks that stand for the same part as a folder of pictures."""
    if parts.masks is None:
        return ()
    return tuple(path for path in folders_in(parts.masks) if _part_key(path) == _part_key(part))


def _part_key(folder: Path) -> str:
    return role_of(folder.name) or spelt(folder.name)


def _list_part(root: Path, parts: Parts, part: Path, other: Path) -> Contents:
    assert parts.train is not None
    class_names = _class_names(folders_in(parts.train), parts.train)
    masks = _masks_by_key(parts.masks, in_parts=True)
    entries, siblings = (
        _with_masks(root, parts, masks, list_class_folders(folders_in(place), class_names))
        for place in (part, other)
    )
    notes = tuple(
        f"{folder} is not read: training images are those of {parts.train.name}, test images "
        f"those of {parts.test.name if parts.test else ''}"
        for folder in parts.unread
    )
    return Contents(class_names, entries, siblings=siblings, notes=notes)


def _list_flat(root: Path, parts: Parts, split: Literal["train", "test"]) -> Contents:
    folders = [folder for folder in folders_in(root) if folder != parts.masks]
    class_names = _class_names(folders, root)
    masks = _masks_by_key(parts.masks, in_parts=False)
    every = _with_masks(root, parts, masks, list_class_folders(folders, class_names))
    labels = torch.tensor([entry.label for entry in every])
    kept, held_back = stratified_split(labels, _HELD_BACK, _SPLIT_SEED, class_names)
    if split == "test":
        kept, held_back = held_back, kept
    siblings = tuple(every[row] for row in held_back.tolist())
    return Contents(
        class_names,
        tuple(every[row] for row in kept.tolist()),
        frozenset(path for e in siblings for path in (e.image, e.mask) if path is not None),
        siblings,
    )


def _class_names(folders: list[Path], around: Path) -> tuple[str, ...]:
    names = tuple(readable(folder.name) for folder in folders)
    if len(names) < 2:
        inner = folders_in(folders[0]) if folders else ()
        hint = f"give root={folders[0]} if that is meant; " if len(inner) > 1 else ""
        raise DataError(
            f"{around} must hold at least two class folders, got {list(names)}: {hint}{_LAYOUT}"
        )
    first: dict[str, str] = {}
    for name in names:
        if first.setdefault(spelt(name), name) != name:
            raise DataError(
                f"{around} must hold a folder a class, got {first[spelt(name)]} and {name}, which "
                "differ in spelling alone: put their pictures into one, or rename one"
            )
    return names


def _masks_by_key(masks: Path | None, *, in_parts: bool) -> dict[Key, list[Path]]:
    if masks is None:
        return {}
    found: dict[Key, list[Path]] = {}
    marked: dict[Key, list[Path]] = {}
    for path in pictures_in(masks):
        relative = path.relative_to(masks)
        found.setdefault(_key(relative, relative.stem, in_parts), []).append(path)
        base = _MASK_ENDING.sub("", relative.stem)
        if base != relative.stem:
            marked.setdefault(_key(relative, base, in_parts), []).append(path)
    return {**marked, **found}


def _key(relative: Path, base: str, in_parts: bool) -> Key:
    """What a picture and its mask share: folders and base name, however they are spelt."""
    part, *others = relative.parts
    first = (role_of(part) or spelt(part)) if in_parts else spelt(part)
    return (first, *map(spelt, others[:-1]), spelt(base))


def _with_masks(
    root: Path, parts: Parts, masks: dict[Key, list[Path]], entries: Iterable[Entry]
) -> tuple[Entry, ...]:
    if parts.masks is None:
        return tuple(entries)
    in_parts = parts.train is not None
    pictures: dict[Path, Path] = {}
    with_masks: list[Entry] = []
    for entry in entries:
        relative = entry.image.relative_to(root)
        usual = (parts.masks / relative).with_suffix(".png")
        # 1.png, or 1.jpg.png as some programs name it.
        keys = [_key(relative, base, in_parts) for base in (relative.stem, relative.name)]
        found = next((masks[key] for key in keys if key in masks), [usual])
        mask = usual if usual in found else found[0]
        if len(found) > 1 and mask != usual:
            raise DataError(
                f"{entry.image} must have one mask, got {found[0]} and {found[1]}: keep one there"
            )
        if pictures.setdefault(mask, entry.image) != entry.image:
            raise DataError(
                f"{mask} must be the mask of one picture, got {pictures[mask]} and {entry.image}: "
                "give one of the pictures and its mask another name"
            )
        with_masks.append(entry._replace(mask=mask))
    return tuple(with_masks)
