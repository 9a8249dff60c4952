"""Imagenette: ten easily told classes of ImageNet.

Howard, https://github.com/fastai/imagenette (Apache License 2.0; the images are ImageNet's, for
research only). The root holds, or is, `imagenette2`, `imagenette2-320` or `imagenette2-160`, each
with `train/n.../*.JPEG` and `val/n.../*.JPEG`; `val` is the test split here. Tables beside these
folders, such as `noisy_imagenette.csv`, are not read.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

from hsplid_core.data.readers.file_lists import (
    Contents,
    inner_folder,
    list_class_folders,
    must_exist,
)
from hsplid_core.data.readers.image_files import ListedImages
from hsplid_core.data.readers.walk import folders_in
from hsplid_core.errors import DataError

CLASS_NAMES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
"""WordNet's ids, which are the folders' names, and what they mean."""

FOLDERS = ("imagenette2", "imagenette2-320", "imagenette2-160")
_LAYOUT = (
    "the root must hold imagenette2, imagenette2-320 or imagenette2-160 with train/n01440764 to "
    "val/n03888257, from https://github.com/fastai/imagenette"
)


def imagenette(root: Path, split: Literal["train", "val"], image_size: int) -> ListedImages:
    """Open a split of Imagenette.

    Args:
        root: Folder that holds, or is, one of the archives' folders.
        split: `train` has 9,469 images, `val` 3,925.
        image_size: Side of the square images, in pixels.

    Raises:
        DataError: The root has another layout.
    """
    folder = inner_folder(root, *FOLDERS) / split
    must_exist([folder], "Imagenette", _LAYOUT)
    return ListedImages(
        data_set="imagenette",
        split=split,
        root=folder.parent,
        image_size=image_size,
        contents=partial(_list, folder),
        folders=(folder,),
    )


def _list(folder: Path) -> Contents:
    for name in CLASS_NAMES:
        if not (folder / name).is_dir():
            raise DataError(f"{folder / name} must be a folder: finish the download; {_LAYOUT}")
    entries = list_class_folders(folders_in(folder), tuple(CLASS_NAMES))
    return Contents(tuple(CLASS_NAMES), tuple(entries))
