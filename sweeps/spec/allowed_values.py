"""Allowed values of a spec at each place: its keys, and what they take, in words."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from hsplid_core.bucket_path import BucketPath
from hsplid_core.config.method_classes import method_class
from hsplid_core.config.methods import METHODS
from hsplid_core.errors import ConfigError
from sweeps.spec.range_spec import RangeSpec
from sweeps.spec.search_spec import OutsideName, ReplicatesSpec
from sweeps.spec.sweep_spec import SweepSpec

Place = tuple[str | int, ...]

_WORDS: dict[object, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a text",
    Path: "a path",
    BucketPath: "s3://bucket/folder",
    NoneType: "null",
    OutsideName: "package.module:factory",
    ReplicatesSpec: "a number of seeds, or {front: ...}",
    RangeSpec: "a list of choices, or {low: ..., high: ...}",
}


# Members of lists; those of the list of jitters are pairs.
_PLURALS: dict[object, str] = {
    float: "numbers",
    str: "texts",
    int | str: "numbers and texts",
    tuple[float, float]: "pairs of numbers",
}


@functools.cache  # each value of a spec is looked up, and types are resolved anew each time
def fields_of(kind: object) -> Mapping[str, Any]:
    """Return the keys of a section and their types; none where the kind is no section."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        try:
            hints = get_type_hints(kind)
        except NameError:  # a class from outside, whose types are known to a type checker alone
            return {}
        return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    if get_origin(kind) in (Union, UnionType):  # a section that may be null
        return {name: k for member in get_args(kind) for name, k in fields_of(member).items()}
    return {}


def kind_at(place: Sequence[str | int]) -> object:
    """Return the type that a spec has at a place; None where nothing is known."""
    kind: object = SweepSpec
    for depth, key in enumerate(place):
        if tuple(place[:depth]) == ("method",):
            try:
                kind = method_class(str(key))
            except ConfigError:
                return None
        elif get_origin(kind) is dict:  # whatever its keys are
            kind = get_args(kind)[1]
        elif isinstance(key, int):
            kind = next(iter(get_args(kind)), None)
        else:
            kind = fields_of(kind).get(key)
    return kind


def keys_at(place: Sequence[str | int]) -> list[str]:
    """Return the keys that a spec knows at a place."""
    return sorted(METHODS) if tuple(place) == ("method",) else list(fields_of(kind_at(place)))


def alternatives(kind: object) -> tuple[object, ...]:
    """Return the members of a union, or the kind itself."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def choices(kind: object) -> list[str]:
    """Return the words that a kind allows literally."""
    return [
        str(word)
        for member in alternatives(kind)
        if get_origin(member) is Literal
        for word in get_args(member)
    ]


def describe(kind: object) -> str:
    """Say in words which values a kind allows."""
    return " or ".join(_describe_one(member) for member in alternatives(kind))


def _describe_one(kind: object) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(str(word) for word in get_args(kind))
    if get_origin(kind) is tuple:
        member = get_args(kind)[0]
        return f"a list of {_PLURALS.get(member, 'sections')}"
    return _WORDS.get(kind, "a section of keys")


def all_places(place: Place = ()) -> Iterator[Place]:
    """Yield every place of a spec, with the fields of every registered method."""
    for key in keys_at(place):
        yield (*place, key)
        yield from all_places((*place, key))


def released_names(place: Place) -> dict[str, str]:
    """Map the names in a method's released code to the names of its fields here."""
    kind = kind_at(place)
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return {}
    fields = dataclasses.fields(kind)
    names = {field.metadata.get("released_name"): field.name for field in fields}
    return {released: name for released, name in names.items() if released is not None}
