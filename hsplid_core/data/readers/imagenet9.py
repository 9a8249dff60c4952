"""ImageNet-9: the same objects over their own, other or no backgrounds; to test on only.

Xiao, Engstrom, Ilyas and Madry, "Noise or signal: the role of image backgrounds in object
recognition", ICLR 2021 (arXiv 2006.09994), https://github.com/MadryLab/backgrounds_challenge (MIT
License; the images are ImageNet's, for research only). The root holds, or is, `bg_challenge` of
backgrounds_challenge_data.tar.gz, with `original/val/00_dog/*.JPEG` to `.../08_fish`, and the same
in `mixed_rand` and `only_fg`.

Models trained on ImageNet's 1,000 classes are judged by `label_maps.counts_as`. H-SPLID's Table 4
(arXiv 2510.20627) instead asks for the very class of the 1,000, which the files' names give; the
variants ending in `_fine` have these labels.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Literal

from hsplid_core.data.readers.file_lists import (
    Contents,
    Entry,
    inner_folder,
    must_exist,
    pictures_in,
)
from hsplid_core.data.readers.image_files import ListedImages
from hsplid_core.data.readers.imagenet_classes import NINE, wordnet_ids
from hsplid_core.errors import DataError

FOLDER = "bg_challenge"
Variant = Literal["original", "mixed_rand", "only_fg"]
CLASS_FOLDERS = tuple(f"{label:02d}_{name}" for label, name in enumerate(NINE))
# fg_n02085936_1_bg_n01530575_2.JPEG where the background is another image's.
_OBJECT_ID = re.compile(r"(?:fg_)?(n\d{8})(?:_.*)?")
_LAYOUT = (
    f"the root must hold {FOLDER} with original/val/00_dog to 08_fish, and so mixed_rand and "
    "only_fg, from https://github.com/MadryLab/backgrounds_challenge/releases"
)


def imagenet9(
    root: Path, variant: Variant, image_size: int, *, fine: bool = False
) -> ListedImages:
    """Open a variant of ImageNet-9.

    Args:
        root: Folder that holds, or is, `bg_challenge`.
        variant: Each has 4,050 images: as they were, on backgrounds of other classes, or the
            objects alone.
        image_size: Side of the square images, in pixels.
        fine: Label images with their class of ImageNet's 1,000 instead of the nine.

    Raises:
        DataError: The root has another layout.
    """
    base = inner_folder(root, FOLDER)
    folder = base / variant / "val"
    must_exist([folder], "ImageNet-9", _LAYOUT)
    return ListedImages(
        data_set="imagenet9",
        split=f"{variant}_fine" if fine else variant,
        root=base,
        image_size=image_size,
        contents=partial(_list, folder, fine),
        folders=(folder,),
    )


def _list(folder: Path, fine: bool) -> Contents:
    nine: list[Entry] = []
    for label, name in enumerate(CLASS_FOLDERS):
        must_exist([folder / name], "ImageNet-9", _LAYOUT)
        nine += [Entry(picture, label) for picture in pictures_in(folder / name)]
    if not fine:
        return Contents(NINE, tuple(nine))
    ids = [_object_id(entry.image) for entry in nine]
    class_names = tuple(sorted(set(ids)))
    labels = {name: label for label, name in enumerate(class_names)}
    entries = (Entry(e.image, labels[name]) for e, name in zip(nine, ids, strict=True))
    return Contents(class_names, tuple(entries))


def _object_id(path: Path) -> str:
    found = _OBJECT_ID.fullmatch(path.stem)
    if found is None or found[1] not in wordnet_ids():
        raise DataError(
            f"{path} must be named after its class of ImageNet, as n02085936_1.JPEG or "
            "fg_n02085936_1_bg_n01530575_2.JPEG: download it again"
        )
    return found[1]
