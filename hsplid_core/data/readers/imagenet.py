"""ImageNet (ILSVRC 2012): 1,000 classes.

Russakovsky et al., "ImageNet large scale visual recognition challenge", IJCV 2015,
https://image-net.org/download (login; for non-commercial research and education). The root holds
`train/n01440764/*.JPEG` and `val/n01440764/*.JPEG`; the folders may also be called
`ILSVRC2012_img_train` and `ILSVRC2012_img_val`, or lie in `ILSVRC/Data/CLS-LOC` as in the archive
at https://www.kaggle.com/c/imagenet-object-localization-challenge. There `val` has no folders of
classes: the labels are then read from `LOC_val_solution.csv` in the root. A part of the classes
will do, if `val` has no others.
"""

from __future__ import annotations

import csv
import re
from functools import partial
from pathlib import Path
from typing import Literal

from hsplid_core.data.readers.file_lists import (
    Contents,
    Entry,
    inner_folder,
    list_class_folders,
    must_exist,
    pictures_in,
)
from hsplid_core.data.readers.image_files import ListedImages
from hsplid_core.data.readers.walk import folders_in
from hsplid_core.errors import DataError

SOLUTION = "LOC_val_solution.csv"
_WORDNET_ID = re.compile(r"n\d{8}")
_LAYOUT = (
    "the root must hold train/n01440764/*.JPEG and val/n01440764/*.JPEG (or val/*.JPEG with "
    f"{SOLUTION}), from https://image-net.org/download"
)


def imagenet(root: Path, split: Literal["train", "val"], image_size: int) -> ListedImages:
    """Open a split of ImageNet.

    Args:
        root: Folder of the unpacked archives.
        split: `train` has 1,281,167 images, `val` 50,000.
        image_size: Side of the square images, in pixels.

    Raises:
        DataError: The root has another layout.
    """
    base = inner_folder(root, "ILSVRC/Data/CLS-LOC")
    train = inner_folder(base, "train", "ILSVRC2012_img_train")
    val = inner_folder(base, "val", "ILSVRC2012_img_val")
    for name, folder in (("train", train), ("val", val)):
        must_exist([base / name if folder == base else folder], "ImageNet", _LAYOUT)
    flat = split == "val" and not folders_in(val)
    if flat:
        must_exist([root / SOLUTION], "ImageNet", _LAYOUT)
    return ListedImages(
        data_set="imagenet",
        split=split,
        root=root,
        image_size=image_size,
        contents=partial(
            _list, train, train if split == "train" else val, root / SOLUTION if flat else None
        ),
        folders=(train if split == "train" else val,),
        tables=(root / SOLUTION,) if flat else (),
        # A look at each of a million files would cost every trial many seconds.
        glance_at="folders",
    )


def _list(train: Path, part: Path, solution: Path | None) -> Contents:
    class_names = tuple(folder.name for folder in folders_in(train))
    wrong = [name for name in class_names if not _WORDNET_ID.fullmatch(name)]
    if wrong or len(class_names) < 2:
        raise DataError(
            f"{train} must hold folders of classes such as n01440764, got "
            f"{', '.join(wrong[:3]) or len(class_names)}: {_LAYOUT}"
        )
    if solution is None:
        entries = list_class_folders(folders_in(part), class_names)
    else:
        entries = _list_flat(part, solution, class_names)
    return Contents(class_names, tuple(entries))


def _list_flat(folder: Path, solution: Path, class_names: tuple[str, ...]) -> list[Entry]:
    labels = {name: label for label, name in enumerate(class_names)}
    with solution.open(encoding="utf-8", newline="") as handle:
        # A row names an image, then each object's class and box; an image has objects of one.
        classes = {row[0]: row[1].split()[0] for row in csv.reader(handle) if len(row) > 1}
    entries: list[Entry] = []
    for picture in pictures_in(folder):
        name = classes.get(picture.stem)
        if name not in labels:
            raise DataError(
                f"{solution} must give {picture.name} one of the {len(labels)} classes of the "
                f"training images, got {name}: download it again, or add the class there"
            )
        entries.append(Entry(picture, labels[name]))
    return entries
