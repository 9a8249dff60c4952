"""The animals in a COCO `instances_*.json`."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsplid_core.errors import DataError

CATEGORY_IDS = {"bear": 23, "elephant": 22, "giraffe": 25, "zebra": 24}
CLASS_NAMES = tuple(sorted(CATEGORY_IDS))
_LABELS = {CATEGORY_IDS[name]: label for label, name in enumerate(CLASS_NAMES)}

# A mapping or list as json reads it; every access below checks what it takes out.
Json = dict[str, Any]


@dataclass(frozen=True)
class AnimalImage:
    """An image that holds animals of exactly one of the four categories.

    Attributes:
        image_id: COCO's number of the image.
        file_name: Name in the image folder.
        height: In pixels.
        width: In pixels.
        label: Index into `CLASS_NAMES`.
        annotations: Its animals' annotations, crowds included.
        url: Where COCO serves it; None if the file does not say, as the demo's.
    """

    image_id: int
    file_name: str
    height: int
    width: int
    label: int
    annotations: tuple[Json, ...]
    url: str | None = None


def read_animals(path: Path) -> list[AnimalImage]:
    """Read the images that hold exactly one of the four animal categories.

    Other categories, such as a person, may be in the image too; two kinds of animal may not,
    since such an image has no single label.

    Args:
        path: COCO's `instances_train2017.json` or `instances_val2017.json`.

    Returns:
        The images, in the order of their ids.

    Raises:
        DataError: The file is no valid JSON, lacks a field, names the categories otherwise, or
            refers to an image or category that it does not list.
    """
    dataset = _load(path)
    declared = _check_categories(path, dataset["categories"])
    found: defaultdict[int, list[Json]] = defaultdict(list)
    for annotation in dataset["annotations"]:
        category = _field(path, "annotation", annotation, "category_id")
        if category not in declared:
            raise DataError(
                f"{path}: annotation {annotation.get('id')} has category_id {category}, which "
                "the file's categories do not list: download the annotations again"
            )
        if category in _LABELS:
            found[_field(path, "annotation", annotation, "image_id")].append(annotation)
    images = {_field(path, "image", image, "id"): image for image in dataset["images"]}
    animals = []
    for image_id, group in sorted(found.items()):
        labels = {_LABELS[annotation["category_id"]] for annotation in group}
        if image_id not in images:
            raise DataError(
                f"{path}: annotation {group[0].get('id')} belongs to image {image_id}, "
                "which the file's images do not list: download the annotations again"
            )
        if len(labels) == 1:
            animals.append(_animal_image(path, images[image_id], labels.pop(), group))
    return animals


def read_image_names(path: Path) -> list[str]:
    """Read the file names of all images of a split, whatever they show.

    Args:
        path: COCO's `instances_train2017.json` or `instances_val2017.json`.

    Raises:
        DataError: The file is no valid JSON, lacks a field, or names a file outside the folder.
    """
    return [_file_name(path, image) for image in _load(path)["images"]]


def _load(path: Path) -> Json:
    """Parse the file without keeping the outlines of other categories in memory.

    train2017 has 860,000 annotations, nearly all of them of no use here; with their outlines the
    parsed file takes several gigabytes.
    """

    def slim(node: Json) -> Json:
        if "segmentation" in node and node.get("category_id") not in _LABELS:
            del node["segmentation"]
        return node

    try:
        dataset = json.loads(path.read_bytes(), object_hook=slim)
    except (ValueError, OSError) as error:
        raise DataError(
            f"{path} must be valid JSON ({error}): the download may be incomplete, fetch it again"
        ) from error
    for name in ("images", "annotations", "categories"):
        if not isinstance(dataset, dict) or not isinstance(dataset.get(name), list):
            raise DataError(
                f"{path} must hold a list '{name}', as COCO's instances_*.json does: is this the "
                "right file?"
            )
    checked: Json = dataset
    return checked


def _check_categories(path: Path, categories: list[Json]) -> set[object]:
    names = {
        _field(path, "category", category, "id"): category.get("name") for category in categories
    }
    for name, number in CATEGORY_IDS.items():
        if names.get(number) != name:
            raise DataError(
                f"{path} must give category id {number} the name '{name}', got "
                f"{names.get(number)!r}: use COCO 2017's own instances_*.json"
            )
    return set(names)


def _animal_image(path: Path, image: Json, label: int, annotations: list[Json]) -> AnimalImage:
    for annotation in annotations:
        _field(path, "annotation", annotation, "segmentation")
    height, width = (_field(path, "image", image, name) for name in ("height", "width"))
    if not all(isinstance(side, int) and side > 0 for side in (height, width)):
        raise DataError(
            f"{path}: image {image['id']} must have positive whole numbers as height and width, "
            f"got {height!r} and {width!r}: download the annotations again"
        )
    return AnimalImage(
        image_id=image["id"],
        file_name=_file_name(path, image),
        height=height,
        width=width,
        label=label,
        annotations=tuple(annotations),
        url=image.get("coco_url"),
    )


def _file_name(path: Path, image: Json) -> str:
    name = str(_field(path, "image", image, "file_name"))
    place = Path(name)
    if not place.name or place.is_absolute() or ".." in place.parts:
        raise DataError(
            f"{path}: image {image.get('id')} must have a file_name in the image folder, got "
            f"{name!r}: nothing outside of it is read"
        )
    return name


def _field(path: Path, kind: str, node: Json, name: str) -> Any:
    if not isinstance(node, dict) or name not in node:
        number = node.get("id") if isinstance(node, dict) else node
        raise DataError(
            f"{path}: {kind} {number} must have a field '{name}': download the annotations again"
        )
    return node[name]
