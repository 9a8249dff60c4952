"""ISIC 2017: photographs of skin lesions with masks, in three classes.

Codella et al., "Skin lesion analysis toward melanoma detection: a challenge at the 2017
International Symposium on Biomedical Imaging", ISBI 2018 (arXiv 1710.05006), licensed CC0 1.0,
from https://challenge.isic-archive.com/data/#2017. The root holds, for each of `Training`,
`Validation` and `Test_v2`:

    ISIC-2017_Training_Data/ISIC_0000000.jpg              (superpixels there are not read)
    ISIC-2017_Training_Part1_GroundTruth/ISIC_0000000_segmentation.png
    ISIC-2017_Training_Part3_GroundTruth.csv              image_id, melanoma, seborrheic_keratosis

As in H-SPLID's released code (arXiv 2510.20627, Table 3), training and validation images together
are what `train` and `val` are split from, pictures are stretched to squares, and mean and standard
deviation are the data set's own.
"""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from typing import Literal

from hsplid_core.data.readers.file_lists import Contents, Entry, must_exist, pictures_in
from hsplid_core.data.readers.image_files import ListedImages
from hsplid_core.errors import DataError

CLASS_NAMES = ("nevus", "melanoma", "seborrheic_keratosis")
COLUMNS = ("image_id", "melanoma", "seborrheic_keratosis")
PARTS: dict[Literal["train", "test"], tuple[str, ...]] = {
    "train": ("Training", "Validation"),
    "test": ("Test_v2",),
}
_LAYOUT = (
    "the root must hold ISIC-2017_PART_Data, ISIC-2017_PART_Part1_GroundTruth and "
    "ISIC-2017_PART_Part3_GroundTruth.csv, PART being Training, Validation and Test_v2, from "
    "https://challenge.isic-archive.com/data/#2017"
)


def isic2017(root: Path, split: Literal["train", "test"], image_size: int) -> ListedImages:
    """Open a split of ISIC 2017.

    Args:
        root: Folder of the unpacked archives.
        split: `train` has 2,150 images, `test` 600.
        image_size: Side of the square images, in pixels.

    Raises:
        DataError: The root has another layout.
    """
    parts = PARTS[split]
    folders = tuple(folder for part in parts for folder in (images(root, part), masks(root, part)))
    tables = tuple(table(root, part) for part in parts)
    must_exist((*folders, *tables), "ISIC 2017", _LAYOUT)
    return ListedImages(
        data_set="isic2017",
        split=split,
        root=root,
        image_size=image_size,
        contents=partial(_list, root, parts),
        folders=folders,
        tables=tables,
        masks="binary",
        fit="stretch",
        mean=(0.7232, 0.6168, 0.5692),
        std=(0.1668, 0.1750, 0.1955),
    )


def images(root: Path, part: str) -> Path:
    """Folder of the photographs."""
    return root / f"ISIC-2017_{part}_Data"


def masks(root: Path, part: str) -> Path:
    """Folder of the masks."""
    return root / f"ISIC-2017_{part}_Part1_GroundTruth"


def table(root: Path, part: str) -> Path:
    """Table of the labels."""
    return root / f"ISIC-2017_{part}_Part3_GroundTruth.csv"


def _list(root: Path, parts: tuple[str, ...]) -> Contents:
    entries: list[Entry] = []
    superpixels: set[Path] = set()
    for part in parts:
        for image_id, label in _read_labels(table(root, part)):
            mask = masks(root, part) / f"{image_id}_segmentation.png"
            entries.append(Entry(images(root, part) / f"{image_id}.jpg", label, mask))
        superpixels.update(
            path for path in pictures_in(images(root, part)) if path.stem.endswith("_superpixels")
        )
    return Contents(CLASS_NAMES, tuple(entries), frozenset(superpixels))


def _read_labels(path: Path) -> list[tuple[str, int]]:
    """Read a table: each image's id and label.

    Raises:
        DataError: A column is missing, or a row says something else than one class at most.
    """
    with path.open(encoding="utf-8", newline="") as handle:
        rows = csv.DictReader(handle)
        if not set(COLUMNS) <= set(rows.fieldnames or ()):
            raise DataError(
                f"{path} must have the columns {', '.join(COLUMNS)}, got {rows.fieldnames}: "
                "download it again"
            )
        return [(row["image_id"], _label(row, path)) for row in rows]


def _label(row: dict[str, str], path: Path) -> int:
    marks = tuple(row[name] for name in COLUMNS[1:])
    try:
        melanoma, keratosis = (float(mark) for mark in marks)
    except (TypeError, ValueError):
        melanoma = keratosis = -1.0
    classes = {(0.0, 0.0): 0, (1.0, 0.0): 1, (0.0, 1.0): 2}
    if (melanoma, keratosis) not in classes:
        raise DataError(
            f"{path}: melanoma and seborrheic_keratosis of {row['image_id']} must be 0 or 1, and "
            f"at most one of them 1, got {marks}: download it again"
        )
    return classes[melanoma, keratosis]
