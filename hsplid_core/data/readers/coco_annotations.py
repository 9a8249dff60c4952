"""Annotated images of a COCO file: which are of use to a classifier, and with which label.

The rule: an image needs a single class. One that shows objects of several of the chosen classes
has no single label and is left out; a crowd counts as its class, and is part of the mask. An
object needs an outline, or a box where boxes are taken as masks: an image with an object that has
neither is left out, for its mask would lack that object. All that is left out is counted by its
reason.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hsplid_core.data.readers.coco_document import (
    Document,
    Id,
    Json,
    field_of,
    id_of,
    images_by_id,
    in_order,
    names_of_categories,
    plain_id,
    read_document,
    shown,
)
from hsplid_core.data.readers.coco_masks import box_of, outlines
from hsplid_core.errors import ConfigError, DataError, did_you_mean

CATEGORY_IDS = {"bear": 23, "elephant": 22, "giraffe": 25, "zebra": 24}
CLASS_NAMES = tuple(sorted(CATEGORY_IDS))

_NO_ANNOTATION = "they have no annotation"
_SEVERAL = "they show several of the classes, so that no single label is right"
_BOXES = "an object has a box and no outline; data.boxes_as_masks=true fills the boxes"
_NOTHING = "an object has neither an outline nor a box"


@dataclass(frozen=True)
class AnnotatedImage:
    """An image that shows objects of exactly one of the classes.

    Attributes:
        image_id: The file's number, or text, for the image.
        file_name: As the file has it.
        height: In pixels; None if the file does not say.
        width: In pixels; None if the file does not say.
        label: Index of its class.
        annotations: Its objects' annotations, crowds included.
        url: Where it is served; None if the file does not say.
    """

    image_id: Id
    file_name: str
    height: int | None
    width: int | None
    label: int
    annotations: tuple[Json, ...]
    url: str | None = None


class Selection(NamedTuple):
    """The images of a file that are of use.

    Attributes:
        class_names: Names in the order of the labels.
        images: In the order of their ids.
        left_out: How many images are left out, by the reason.
        notes: What else is worth knowing.
        in_shares: Whether coordinates are shares of the image's sides.
    """

    class_names: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]
    left_out: Mapping[str, int]
    notes: tuple[str, ...]
    in_shares: bool


def read_animals(path: Path, *, boxes_as_masks: bool = False) -> Selection:
    """Read the images that show exactly one of COCO's bear, elephant, giraffe and zebra.

    Other categories, such as a person, may be in the image too.

    Args:
        path: COCO's `instances_train2017.json` or `instances_val2017.json`.
        boxes_as_masks: Whether the box of an object without an outline is its mask.

    Raises:
        DataError: The file is no valid JSON, lacks a field, names the categories otherwise, or
            refers to an image or category that it does not list.
    """
    document = read_document(path, wanted=CATEGORY_IDS.values())
    names = names_of_categories(document)
    for name, number in CATEGORY_IDS.items():
        if names.get(number) != name:
            raise DataError(
                f"{path} must give category id {number} the name '{name}', got "
                f"{names.get(number)!r}: use COCO 2017's own instances_*.json, or data.name=coco "
                "for categories of your own"
            )
    return select(document, CLASS_NAMES, boxes_as_masks=boxes_as_masks, all_labelled=False)


def read_categories(
    path: Path, classes: Sequence[str] | None, *, boxes_as_masks: bool = False
) -> Selection:
    """Read the images that show exactly one of some categories of any COCO file.

    Args:
        path: The file.
        classes: Names of categories, in the order of their labels; None takes all that any image
            shows alone, in alphabetical order.
        boxes_as_masks: Whether the box of an object without an outline is its mask.

    Raises:
        ConfigError: The file has no category of a name.
        DataError: As in `read_animals`.
    """
    wanted = None
    if classes is not None:
        names = names_of_categories(read_document(path, wanted=()))
        wanted = [number for number, name in names.items() if name in classes]
    return select(read_document(path, wanted), classes, boxes_as_masks=boxes_as_masks)


def select(
    document: Document,
    classes: Sequence[str] | None,
    *,
    boxes_as_masks: bool,
    all_labelled: bool = True,
) -> Selection:
    """Choose the images that are of use.

    Args:
        document: The annotations.
        classes: As in `read_categories`.
        boxes_as_masks: Whether the box of an object without an outline is its mask.
        all_labelled: Whether an image without any annotation is worth telling.

    Raises:
        ConfigError: The file has no category of a name.
        DataError: As in `read_animals`.
    """
    names = names_of_categories(document)
    _check_classes(document.path, classes, names)
    images = images_by_id(document)
    shown_by = _annotations_by_file(document, names, classes, images)
    takes_all = classes is None
    if classes is None:
        alone = {
            next(iter(held)) for held in map(_classes_of, shown_by.values()) if len(held) == 1
        }
        classes = sorted(alone)
    if len(classes) == 1:
        raise DataError(
            f"{document.path} must hold images of at least two classes, got {classes[0]} alone: "
            "there is nothing to tell apart; name another in data.classes, or annotate images "
            "without it under a class of their own"
        )
    labels = {name: label for label, name in enumerate(classes)}
    left_out: Counter[str] = Counter()
    found: list[AnnotatedImage] = []
    for image_id, objects in shown_by.items():
        held = _classes_of(objects)
        reason = _SEVERAL if len(held) > 1 else _lacking(objects, boxes_as_masks)
        if reason:
            left_out[reason] += 1
        else:
            label = labels[next(iter(held))]
            found.append(_annotated(document.path, images[image_id], image_id, label, objects))
    notes = list(_notes(found, images, document))
    unlabelled = len({node.get("file_name") for node in images.values()}) - len(shown_by)
    if all_labelled and unlabelled and takes_all:
        left_out[_NO_ANNOTATION] = unlabelled
    elif all_labelled and unlabelled:
        notes.append(f"{unlabelled} images show none of the classes")
    in_shares = _are_shares(found)
    if in_shares:
        notes.append("all coordinates lie in [0, 1]: they are read as shares of the image's sides")
    return Selection(tuple(classes), tuple(found), left_out, tuple(notes), in_shares)


def _check_classes(path: Path, classes: Sequence[str] | None, names: Mapping[Id, str]) -> None:
    known = sorted({*names.values()} - {""})
    for name in classes or ():
        if name not in known:
            raise ConfigError(
                f"data.classes has {name}: {path} has {', '.join(known) or 'no categories'}"
                f"{did_you_mean(name, known)}"
            )


class _Named(NamedTuple):
    """An annotation with the name of its category."""

    name: str
    annotation: Json


def _annotations_by_file(
    document: Document,
    names: Mapping[Id, str],
    classes: Sequence[str] | None,
    images: Mapping[Id, Json],
) -> dict[Id, list[_Named]]:
    """Group annotations of the classes by their image; of images of one file, by the first."""
    path = document.path
    found: defaultdict[Id, list[_Named]] = defaultdict(list)
    for annotation in document.annotations:
        category = id_of(path, "annotation", annotation, "category_id")
        if category not in names:
            raise DataError(
                f"{path}: annotation {shown(annotation.get('id'))} has category_id {category}, "
                f"which the file's categories do not list ({_some(names)}): add the category, or "
                "correct the annotation"
            )
        if classes is not None and names[category] not in classes:
            continue
        if not names[category]:
            raise DataError(
                f"{path}: category {category} must have a name, as annotations use it: give it one"
            )
        image_id = id_of(path, "annotation", annotation, "image_id")
        if image_id not in images:
            raise DataError(
                f"{path}: annotation {shown(annotation.get('id'))} belongs to image {image_id}, "
                "which the file's images do not list: add the image, or leave the annotation out"
            )
        found[image_id].append(_Named(names[category], annotation))
    first: dict[str, Id] = {}
    grouped: dict[Id, list[_Named]] = {}
    for image_id in in_order(found):
        file_name = str(field_of(path, "image", images[image_id], "file_name"))
        grouped.setdefault(first.setdefault(file_name, image_id), []).extend(found[image_id])
    return grouped


def _classes_of(objects: Iterable[_Named]) -> set[str]:
    return {named.name for named in objects}


def _lacking(objects: Iterable[_Named], boxes_as_masks: bool) -> str | None:
    """Say why an image has no whole mask; None if it has one."""
    lacking = {_lack_of(named.annotation, boxes_as_masks) for named in objects}
    return _NOTHING if _NOTHING in lacking else _BOXES if _BOXES in lacking else None


def _lack_of(annotation: Json, boxes_as_masks: bool) -> str | None:
    try:
        if outlines(annotation.get("segmentation")).found:
            return None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None  # malformed: told with its image, when that is read
    if box_of(annotation) is None:
        return _NOTHING
    return None if boxes_as_masks else _BOXES


def _annotated(
    path: Path, image: Json, image_id: Id, label: int, objects: Iterable[_Named]
) -> AnnotatedImage:
    url = image.get("coco_url")
    return AnnotatedImage(
        image_id=image_id,
        file_name=str(image["file_name"]),
        height=_side(path, image, "height"),
        width=_side(path, image, "width"),
        label=label,
        annotations=tuple(named.annotation for named in objects),
        url=url if isinstance(url, str) and url else None,
    )


def _side(path: Path, image: Json, name: str) -> int | None:
    value: Any = image.get(name)
    if value is None:
        return None
    side = plain_id(value)
    if not isinstance(side, int) or side <= 0:
        raise DataError(
            f"{path}: image {shown(image['id'])} must have a positive whole number as {name}, got "
            f"{shown(value)}: correct it, or leave height and width out"
        )
    return side


def _are_shares(found: Iterable[AnnotatedImage]) -> bool:
    """Whether no coordinate exceeds 1: in pixels, every object would lie within the first one."""
    seen = False
    for image in found:
        for annotation in image.annotations:
            try:
                values = [v for p in outlines(annotation.get("segmentation")).polygons for v in p]
            except (ValueError, TypeError, KeyError, RecursionError):
                continue
            box = box_of(annotation)
            if not values and box is not None:
                values = list(box)
            if any(not 0 <= value <= 1 for value in values):
                return False
            seen = seen or bool(values)
    return seen


def _notes(
    found: Sequence[AnnotatedImage], images: Mapping[Id, Json], document: Document
) -> Iterable[str]:
    crowds = sum(plain_id(a.get("iscrowd")) == 1 for image in found for a in image.annotations)
    if crowds:
        yield f"{crowds} crowds count as objects of their class, and are part of the masks"
    twice = len(document.images) - len({str(node.get("file_name")) for node in images.values()})
    if twice:
        yield f"{twice} images are listed again: each file counts once, with all its annotations"


def _some(names: Mapping[Id, str]) -> str:
    numbers = [str(number) for number in in_order(names)]
    return ", ".join(numbers[:5]) + (", ..." if len(numbers) > 5 else "")
