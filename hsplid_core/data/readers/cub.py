"""CUB-200-2011: birds of 200 species with boxes and segmentations, and where people look at them.

Wah, Branson, Welinder, Perona and Belongie, "The Caltech-UCSD Birds-200-2011 Dataset", Caltech
2011, https://www.vision.caltech.edu/datasets/cub_200_2011/ (non-commercial research and education
only). The root holds, or is, `CUB_200_2011` with `images`, `images.txt`, `classes.txt`,
`image_class_labels.txt`, `train_test_split.txt` and `bounding_boxes.txt`; the segmentations, an
archive of their own, are unpacked to `segmentations` in it.

CUB-GHA adds maps of human gaze: Rong, Xu, Akata and Kasneci, "Human attention in fine-grained
classification", BMVC 2021 (arXiv 2111.01628), https://github.com/yaorong0921/CUB-GHA. They lie in
`CUB_GHA` beside `images` (as for norm-regularised adversarial training, arXiv 2404.04647), named
after the images' numbers: `CUB_GHA/1.jpg`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

from hsplid_core.data.readers.file_lists import (
    Box,
    Contents,
    Entry,
    inner_folder,
    must_exist,
    read_lines,
)
from hsplid_core.data.readers.image_files import ListedImages, Masks
from hsplid_core.errors import DataError

FOLDER = "CUB_200_2011"
SEGMENTATIONS = "segmentations"
GAZE = "CUB_GHA"
TABLES = (
    *("images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt"),
    "bounding_boxes.txt",
)
Guide = Literal["segmentation", "box", "gaze"]
"""Where the masks come from."""

_MASKS: dict[Guide, Masks] = {"segmentation": "binary", "box": "box", "gaze": "soft"}
_LAYOUT = (
    f"the root must hold {FOLDER} with images, {', '.join(TABLES)} from "
    "https://www.vision.caltech.edu/datasets/cub_200_2011/, and in it segmentations (from there "
    "too) or CUB_GHA (from https://github.com/yaorong0921/CUB-GHA) where they are used"
)
_IS_TRAINING = {"train": "1", "test": "0"}


def cub(
    root: Path, split: Literal["train", "test"], image_size: int, guide: Guide
) -> ListedImages:
    """Open a split of CUB-200-2011.

    Args:
        root: Folder that holds, or is, `CUB_200_2011`.
        split: `train` has 5,994 images, `test` 5,794.
        image_size: Side of the square images, in pixels.
        guide: What becomes the masks: the bird's segmentation, its box, or maps of human gaze.

    Raises:
        DataError: The root has another layout.
    """
    folder = inner_folder(root, FOLDER)
    tables = tuple(folder / name for name in TABLES)
    folders = {
        "segmentation": (folder / "images", folder / SEGMENTATIONS),
        "box": (folder / "images",),
        "gaze": (folder / "images", folder / GAZE),
    }[guide]
    must_exist((*tables, *folders), "CUB-200-2011", _LAYOUT)
    return ListedImages(
        data_set={"segmentation": "cub", "box": "cub-boxes", "gaze": "cub_gha"}[guide],
        split=split,
        root=folder,
        image_size=image_size,
        contents=partial(_list, folder, _IS_TRAINING[split], guide),
        folders=folders,
        tables=tables,
        masks=_MASKS[guide],
    )


def _list(folder: Path, is_training: str, guide: Guide) -> Contents:
    classes = _table(folder / "classes.txt")
    labels = {number: label for label, number in enumerate(classes)}
    label_of = _table(folder / "image_class_labels.txt")
    split_of = _table(folder / "train_test_split.txt")
    boxes = _table(folder / "bounding_boxes.txt")
    entries: list[Entry] = []
    others: set[Path] = set()
    for number, name in _table(folder / "images.txt").items():
        for table, rows in (
            ("image_class_labels.txt", label_of),
            ("train_test_split.txt", split_of),
        ):
            if number not in rows:
                raise DataError(
                    f"{folder / table} must have a line for image {number}, got none: download it "
                    "again"
                )
        if label_of[number] not in labels:
            raise DataError(
                f"{folder / 'image_class_labels.txt'}: image {number} must be of a class of "
                f"classes.txt, got {label_of[number]}: download them again"
            )
        entry = Entry(
            folder / "images" / name,
            labels[label_of[number]],
            _mask(folder, guide, number, name),
            (_box(folder, number, boxes.get(number)),),
        )
        if split_of[number] == is_training:
            entries.append(entry)
        else:
            others.update(path for path in (entry.image, entry.mask) if path is not None)
    return Contents(tuple(classes.values()), tuple(entries), frozenset(others))


def _table(path: Path) -> dict[str, str]:
    """Read lines of a number and what it stands for."""
    return {number: value.strip() for number, value in read_lines(path, 2)}


def _mask(folder: Path, guide: Guide, number: str, name: str) -> Path | None:
    if guide == "segmentation":
        return (folder / SEGMENTATIONS / name).with_suffix(".png")
    return folder / GAZE / f"{number}.jpg" if guide == "gaze" else None


def _box(folder: Path, number: str, text: str | None) -> Box:
    try:
        left, top, width, height = (float(value) for value in (text or "").split())
    except ValueError as error:
        raise DataError(
            f"{folder / 'bounding_boxes.txt'} must have x, y, width and height of image {number}, "
            f"got {text!r}: download it again"
        ) from error
    return Box(left, top, width, height)
