"""Parts of a folder of class folders: which folder is train, which test, and which are classes.

Parts go by many names (`Train`, `training_set`, `valid`, `dev`, ...), in any case. A folder that
is taken for a class while it is a part would be trained on: whatever may be either is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Literal, NamedTuple

from hsplid_core.data.readers.spelling import spelt
from hsplid_core.data.readers.walk import folders_in
from hsplid_core.errors import DataError

Role = Literal["train", "test", "evaluation", "validation"]
_ROLES: dict[Role, frozenset[str]] = {
    "train": frozenset({"train", "training", "trn"}),
    "test": frozenset({"test", "testing", "tst"}),
    "evaluation": frozenset({"eval", "evaluation"}),
    "validation": frozenset({"val", "valid", "validation", "dev", "development"}),
}
_HELD_OUT: tuple[Role, ...] = ("test", "evaluation", "validation")
"""The first that there is becomes the test images."""
# What such names are often written with: training_set, train images, seg_train, val2017.
_FILLERS = frozenset(
    {
        *("set", "sets", "data", "dataset", "split", "seg"),
        *("images", "image", "imgs", "img", "pictures"),
    }
)
_GLUED = re.compile(r"(.*?)(?:data)?(?:set|images|imgs)?")
_MASK_NAMES = frozenset({"masks", "mask"})
# Folders beside class folders that hold something else than a class.
_NO_CLASSES = frozenset(
    {
        *("annotation", "annotations", "image", "images", "imgs", "jpegimages", "label", "labels"),
        *("groundtruth", "ground_truth", "segmentation", "segmentations", "segmentationclass"),
        *("segmentationobject", "trimap", "trimaps", *_MASK_NAMES),
    }
)


class Parts(NamedTuple):
    """How a root is laid out.

    Attributes:
        train: Folder of the training part; None where class folders lie in the root itself.
        test: Folder of the test part, likewise.
        masks: Folder of the masks; None without one.
        unread: Folders of the root that are neither.
    """

    train: Path | None
    test: Path | None
    masks: Path | None
    unread: tuple[Path, ...]


def role_of(name: str) -> Role | None:
    """The part that a folder's name stands for, in any case and with the usual additions."""
    words = [word for word in re.split(r"[^a-z]+", spelt(name)) if word and word not in _FILLERS]
    if len(words) != 1:
        return None
    glued = _GLUED.fullmatch(words[0])
    stem = glued[1] if glued else words[0]
    return next((role for role, names in _ROLES.items() if {words[0], stem} & names), None)


def find_parts(root: Path) -> Parts:
    """Find the parts of a root.

    Raises:
        DataError: Two folders stand for one part, there is nothing to test on, or what may be
            classes may be something else.
    """
    folders = folders_in(root)
    masks = [folder for folder in folders if spelt(folder.name) in _MASK_NAMES]
    if len(masks) > 1:
        raise DataError(f"{_named(masks)} would both be the masks: keep them in one folder, masks")
    mask_folder = masks[0] if masks else None
    others = [folder for folder in folders if folder not in masks]
    roles: dict[Role, list[Path]] = {}
    for folder in others:
        role = role_of(folder.name)
        if role is not None:
            roles.setdefault(role, []).append(folder)
    if not any(folders_in(folder) for folder in roles.get("train", ())):
        _check_flat(root, others, roles)
        return Parts(None, None, mask_folder, ())
    for role, found in roles.items():
        if len(found) > 1:
            raise DataError(f"{_named(found)} would both be {role} images: keep one of them here")
    # Test images without class folders have no labels, as those of contests.
    labelled = (role for role in _HELD_OUT if role in roles and folders_in(roles[role][0]))
    held_out = next(labelled, None)
    train = roles["train"][0]
    if held_out is None:
        raise DataError(
            f"{root / 'test'} must exist beside {train.name}, with class folders, or val: to hold "
            f"a fifth of {train.name} back as test images, give root={train}"
        ) from FileNotFoundError(root / "test")
    test = roles[held_out][0]
    _check_classes_of_part(train)
    return Parts(train, test, mask_folder, tuple(f for f in others if f not in (train, test)))


def _check_flat(root: Path, folders: list[Path], roles: dict[Role, list[Path]]) -> None:
    """Refuse a root whose folders may be something else than classes."""
    parts = [folder for role in _HELD_OUT for folder in roles.get(role, ())]
    # A vehicle may well be a class called train, but no class is called test.
    if parts:
        parts = [*roles.get("train", ()), *parts]
        raise DataError(
            f"{root} would have {_named(parts)} as classes, which are names of parts: put class "
            "folders into train and test; if it is a class, give the folder another name"
        )
    strange = [folder for folder in folders if spelt(folder.name) in _NO_CLASSES]
    if strange:
        raise DataError(
            f"{root} would have {_named(strange)} as a class: put pictures into folders named "
            "after their classes; masks lie in masks/CLASS"
        )
    names = {spelt(folder.name): folder for folder in folders}
    shared: Counter[str] = Counter()
    for folder in folders:
        inner = {spelt(path.name) for path in folders_in(folder)}
        shared.update(inner)
        if inner & (names.keys() - {spelt(folder.name)}):
            raise DataError(
                f"{folder} would be a class, but has folders called as other classes "
                f"({', '.join(sorted(inner & names.keys()))}): if it holds masks, call it masks"
            )
    both = sorted(name for name, count in shared.items() if count > 1)
    if both:
        raise DataError(
            f"{root} would have {_named(folders[:3])} as classes, but several of them have a "
            f"folder {both[0]}: if {', '.join(both[:3])} are the classes, lay them out as "
            "train/CLASS and test/CLASS; if they are no classes, move their pictures one folder up"
        )


def _check_classes_of_part(part: Path) -> None:
    folders = folders_in(part)
    strange = [f for f in folders if spelt(f.name) in _NO_CLASSES or role_of(f.name) is not None]
    # A class of vehicles may be called train, beside others.
    if len(strange) == len(folders) or any(spelt(f.name) in _NO_CLASSES for f in folders):
        raise DataError(
            f"{part} would have {_named(strange)} as a class: put pictures into folders named "
            "after their classes; masks lie in masks/train/CLASS"
        )
    inner = Counter(spelt(path.name) for folder in folders for path in folders_in(folder))
    shared = sorted(name for name, count in inner.items() if count > 1)
    beside = [name for name in shared if name in _MASK_NAMES or name in _NO_CLASSES - {"images"}]
    if beside or len(shared) > 1:
        raise DataError(
            f"{part} would have {_named(folders[:3])} as classes, but several of them have a "
            f"folder {(beside or shared)[0]}: put the pictures of a class into one folder, and "
            "masks into masks/train/CLASS"
        )


def _named(folders: list[Path]) -> str:
    return " and ".join(folder.name for folder in folders)
