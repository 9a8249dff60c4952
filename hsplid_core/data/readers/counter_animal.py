"""CounterAnimal: animals of ImageNet where they are common, and where they are not; to test on.

Wang et al., "A sober look at the robustness of CLIPs to spurious features", NeurIPS 2024 (arXiv
2403.11497), https://counteranimal.github.io (photographs from iNaturalist under their own
licences). The root holds, or is, `LAION-final`: a folder for each of 45 classes, named after its
number among ImageNet's 1,000 and its name (`9 ostrich`), with two folders in it whose names begin
with `common-` and `counter-`, for instance `common-ground` and `counter-water`.

Labels bear ImageNet's WordNet ids, so that models trained on ImageNet are judged by
`label_maps.counts_as`: a prediction counts if it is the very class of the 1,000.
"""

from __future__ import annotations

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
from hsplid_core.data.readers.imagenet_classes import wordnet_ids
from hsplid_core.data.readers.walk import folders_in
from hsplid_core.errors import DataError

FOLDER = "LAION-final"
Group = Literal["common", "counter"]
GROUPS: tuple[Group, ...] = ("common", "counter")
_LAYOUT = (
    f"the root must hold {FOLDER} with a folder a class, such as '9 ostrich', and in each folders "
    "whose names begin with common- and counter-, from https://counteranimal.github.io"
)


def counter_animal(root: Path, group: Group, image_size: int) -> ListedImages:
    """Open a group of CounterAnimal.

    Args:
        root: Folder that holds, or is, `LAION-final`.
        group: `common` has 7,174 images, `counter` 5,926.
        image_size: Side of the square images, in pixels.

    Raises:
        DataError: The root has another layout.
    """
    must_exist([root], "CounterAnimal", _LAYOUT)
    base = inner_folder(root, FOLDER)
    if not folders_in(base):
        must_exist([base / FOLDER], "CounterAnimal", _LAYOUT)
    return ListedImages(
        data_set="counter_animal",
        split=group,
        root=base,
        image_size=image_size,
        contents=partial(_list, base, group),
        folders=(base,),
    )


def _list(base: Path, group: Group) -> Contents:
    folders = {_number(folder): folder for folder in folders_in(base)}
    entries: list[Entry] = []
    others: set[Path] = set()
    for label, number in enumerate(sorted(folders)):
        pictures = {
            name: [
                picture
                for folder in folders_in(folders[number])
                if folder.name.startswith(f"{name}-")
                for picture in pictures_in(folder)
            ]
            for name in GROUPS
        }
        if not pictures[group]:
            raise DataError(
                f"{folders[number]} must have a folder {group}-... with pictures, got none: "
                f"{_LAYOUT}"
            )
        entries += [Entry(picture, label) for picture in pictures.pop(group)]
        others.update(*pictures.values())
    class_names = tuple(wordnet_ids()[number] for number in sorted(folders))
    return Contents(class_names, tuple(entries), frozenset(others))


def _number(folder: Path) -> int:
    number = folder.name.split()[0]
    if not number.isdecimal() or int(number) >= len(wordnet_ids()):
        raise DataError(
            f"{folder} must be named after a class of ImageNet's 1,000, such as '9 ostrich', with "
            "its number from 0 to 999: download it again"
        )
    return int(number)
