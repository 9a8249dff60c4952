"""Stanford Dogs: 120 breeds, with boxes.

Khosla, Jayadevaprakash, Yao and Li, "Novel dataset for fine-grained image categorization", CVPR
2011 workshop, http://vision.stanford.edu/aditya86/ImageNetDogs/ (images of ImageNet, for research
only). The root holds `Images/BREED/*.jpg` (from images.tar), `Annotation/BREED/*` (from
annotation.tar, read for the boxes only) and, itself or in `lists`, `train_list.mat` and
`test_list.mat` (from lists.tar).
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from functools import partial
from pathlib import Path
from typing import Literal

from hsplid_core.data.readers.file_lists import Box, Contents, Entry, must_exist
from hsplid_core.data.readers.image_files import ListedImages
from hsplid_core.data.readers.pictures import read_file
from hsplid_core.errors import DataError

SPLITS = ("train", "test")
_LAYOUT = (
    "the root must hold Images, Annotation, train_list.mat and test_list.mat, from images.tar, "
    "annotation.tar and lists.tar of http://vision.stanford.edu/aditya86/ImageNetDogs/"
)


def stanford_dogs(
    root: Path, split: Literal["train", "test"], image_size: int, *, boxes: bool = False
) -> ListedImages:
    """Open a split of Stanford Dogs.

    Args:
        root: Folder of the unpacked archives.
        split: `train` has 12,000 images, `test` 8,580.
        image_size: Side of the square images, in pixels.
        boxes: Make masks of the dogs' boxes.

    Raises:
        DataError: The root has another layout.
    """
    lists = root / "lists" if (root / "lists").is_dir() else root
    tables = {name: lists / f"{name}_list.mat" for name in SPLITS}
    annotations = (root / "Annotation",) if boxes else ()
    must_exist((root / "Images", *annotations, *tables.values()), "Stanford Dogs", _LAYOUT)
    return ListedImages(
        data_set="stanford_dogs-boxes" if boxes else "stanford_dogs",
        split=split,
        root=root,
        image_size=image_size,
        contents=partial(_list, root, tables, split, boxes),
        folders=(root / "Images",),
        tables=(*tables.values(), *annotations),
        masks="box" if boxes else "none",
    )


def _list(root: Path, tables: dict[str, Path], split: str, boxes: bool) -> Contents:
    every = {name: _read_list(path) for name, path in tables.items()}
    class_names = tuple(sorted({name.split("/")[0] for names in every.values() for name in names}))
    entries = [
        Entry(
            root / "Images" / name,
            class_names.index(name.split("/")[0]),
            boxes=_boxes((root / "Annotation" / name).with_suffix("")) if boxes else (),
        )
        for name in every[split]
    ]
    others = {root / "Images" / name for names in every.values() for name in names}
    return Contents(class_names, tuple(entries), frozenset(others))


def _read_list(path: Path) -> list[str]:
    """Read the names of a list's images, each with its breed's folder."""
    from scipy.io import loadmat, matlab  # a second, for one data set

    try:
        names = [str(cell[0]) for cell in loadmat(path)["file_list"].ravel()]
    except (
        *(matlab.MatReadError, NotImplementedError, OSError),
        *(KeyError, IndexError, TypeError, ValueError),
    ) as error:
        raise DataError(
            f"{path} must be a MATLAB file with a file_list ({error}): download it again"
        ) from error
    wrong = [name for name in names if name.count("/") != 1]
    if wrong:
        raise DataError(f"{path} must name images as BREED/IMAGE, got {wrong[0]!r}")
    return names


def _boxes(path: Path) -> tuple[Box, ...]:
    """Read the boxes of an annotation in the format of PASCAL VOC."""
    try:
        root = ElementTree.fromstring(read_file(path))
        corners = [
            [float(box.findtext(name, "")) for name in ("xmin", "ymin", "xmax", "ymax")]
            for box in root.iter("bndbox")
        ]
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(
            f"{path} must be an annotation with boxes ({error}): download it again"
        ) from error
    if not corners:
        raise DataError(f"{path} must hold a box, got none: download it again")
    return tuple(Box(left, top, right - left, low - top) for left, top, right, low in corners)
