"""COCO annotation files as programs write them: one checked form, whatever their ids and encoding.

A number may be an id as text or as a float (`3`, `"3"`, `3.0`): these are one id. An id that
stands for two different things, as in files that were merged without numbering them anew, is
refused, for no annotation can be traced to its image then.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Collection, Hashable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from hsplid_core.data.readers.pictures import read_file
from hsplid_core.errors import DataError

# A mapping or list as json reads it; every access below checks what it takes out.
Json = dict[str, Any]
Id = int | str

_LISTS = ("images", "annotations", "categories")
_WHOLE_NUMBER = re.compile(r"[0-9]{1,30}(?:\.0+)?", re.ASCII)
_MEND = "correct the file, or export it again"


class Document(NamedTuple):
    """The three lists of an annotation file.

    Attributes:
        path: The file, for messages.
        images: Its images.
        annotations: Its annotations; those that nobody asked for have lost their outlines.
        categories: Its categories.
    """

    path: Path
    images: list[Json]
    annotations: list[Json]
    categories: list[Json]


def read_document(path: Path, wanted: Collection[Id] | None = None) -> Document:
    """Read an annotation file, which may be compressed by gzip.

    Args:
        path: The file.
        wanted: Ids of the categories whose outlines are kept; None keeps all. COCO's train2017
            has 860,000 annotations, and takes several gigabytes with all outlines.

    Raises:
        DataError: The file is missing, no valid JSON, or lacks one of the three lists.
    """
    if not path.exists():
        raise DataError(f"{path} is missing: it must hold the annotations") from (
            FileNotFoundError(path)
        )
    dataset = parse_json(path, None if wanted is None else _without_outlines(wanted))
    if isinstance(dataset, list):
        raise DataError(
            f"{path} must hold a list 'images', 'annotations' and 'categories', but is a list "
            "itself: a tool's own format, or results? Export it as COCO"
        )
    for name in _LISTS:
        if not isinstance(dataset, dict) or not isinstance(dataset.get(name), list):
            raise DataError(
                f"{path} must hold a list '{name}', as COCO's instances_*.json does: is this the "
                "right file?"
            )
        for node in dataset[name]:
            if not isinstance(node, dict):
                raise DataError(
                    f"{path}: every entry of '{name}' must be an object, got {shown(node)}: "
                    f"{_MEND}"
                )
    return Document(path, *(dataset[name] for name in _LISTS))


def parse_json(path: Path, hook: Callable[[Json], Json] | None = None) -> Any:
    """Parse a JSON file: UTF-8 with or without a byte order mark, UTF-16, or these in gzip.

    Args:
        path: The file.
        hook: Is given every object as soon as it is read, and returns what takes its place.

    Raises:
        DataError: It can't be read or is no JSON.
    """
    content = read_file(path)
    try:
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        if content.startswith(b"\xef\xbb\xbf"):
            content = content[3:]
        return json.loads(content, object_hook=hook)
    except (ValueError, OSError, EOFError, zlib.error, RecursionError) as error:
        raise DataError(f"{path} must be valid JSON ({error}): is it whole? {_MEND}") from error


def plain_id(value: object) -> Id | None:
    """Return an id in the one form that all its spellings share; None for what is no id."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if not isinstance(value, str) or not value.strip():
        return None
    text = value.strip()
    return int(text.partition(".")[0]) if _WHOLE_NUMBER.fullmatch(text) else text


def id_of(path: Path, kind: str, node: Json, name: str = "id") -> Id:
    """Take an id out of an image, an annotation or a category.

    Args:
        path: The file, for the error's text.
        kind: What the node is.
        node: The node.
        name: The id's field.

    Raises:
        DataError: The field is missing, or holds no id.
    """
    value = field_of(path, kind, node, name)
    number = plain_id(value)
    if number is None:
        raise DataError(
            f"{path}: {kind} {shown(node.get('id'))} must have a number or a text as '{name}', "
            f"got {shown(value)}: {_MEND}"
        )
    return number


def field_of(path: Path, kind: str, node: Json, name: str) -> Any:
    """Take a field out of a node.

    Raises:
        DataError: It is missing.
    """
    if name not in node:
        raise DataError(
            f"{path}: {kind} {shown(node.get('id'))} must have a field '{name}': {_MEND}"
        )
    return node[name]


def names_of_categories(document: Document) -> dict[Id, str]:
    """Name the categories; of one that has no name, an empty text.

    Raises:
        DataError: An id is given to two names.
    """
    names: dict[Id, str] = {}
    for node in document.categories:
        number = id_of(document.path, "category", node)
        name = str(node.get("name") or "").strip()
        if names.setdefault(number, name) != name:
            raise DataError(
                f"{document.path}: category id {number} must stand for one category, got "
                f"'{names[number]}' and '{name}': was it merged from several files? Number the "
                "categories anew"
            )
    return names


def images_by_id(document: Document) -> dict[Id, Json]:
    """Return the images by their ids; an image that is listed twice alike counts once.

    Raises:
        DataError: An id is given to images of different files.
    """
    images: dict[Id, Json] = {}
    repeated: dict[Id, tuple[object, object]] = {}
    for node in document.images:
        number = id_of(document.path, "image", node)
        first = images.setdefault(number, node)
        if first is not node and first.get("file_name") != node.get("file_name"):
            repeated.setdefault(number, (first.get("file_name"), node.get("file_name")))
    if repeated:
        number, (one, other) = next(iter(repeated.items()))
        raise DataError(
            f"{document.path}: every image must have an id of its own, {len(repeated)} are given "
            f"to several (first: {number} to {one} and {other}): was it merged from several "
            "files? Number the images, and their annotations, anew"
        )
    return images


def in_order(ids: Iterable[Id]) -> list[Id]:
    """Sort ids: numbers by their size, then texts."""
    return sorted(ids, key=lambda number: (isinstance(number, str), number))


def shown(value: object) -> str:
    """Write a value of a file into an error's line, however long it is."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _without_outlines(wanted: Collection[Id]) -> Callable[[Json], Json]:
    def slim(node: Json) -> Json:
        if "segmentation" in node:
            category = node.get("category_id")
            known = isinstance(category, Hashable) and category in wanted
            if not known and plain_id(category) not in wanted:
                del node["segmentation"]
        return node

    return slim
