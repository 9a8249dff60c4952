"""Values given on the command line: ``key.path=value``, with the value read as YAML.

As in Hydra, a mapping is merged into a section, and ``~key.path`` takes a key out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from hsplid_core.errors import ConfigError
from sweeps.spec.yaml_reader import parse_yaml, yaml_problem
from trainables.config import ParameterValue, split_path

# One colon may stand in the name of a method from outside: package.module:Class.
_KEY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)?")
_BEGINS_OTHER_THAN_PLAIN_TEXT = "'\"[{&*!|>"
# A field's path is one key of the ranges, behind which a part of its range may be named.
_RANGE = re.compile(
    r"search\.ranges\.(?P<field>.+?)(\.(?P<part>low|high|log|step|or_off|choices|when(\..+)?))?"
)
# What pretrain names is another spec, whose values stand in a section of their own.
_PRETRAIN = "pretrain."
_MOST_SHOWN = 60  # characters of an override, in an error
_PLACES = ("model.checkpoint",)  # files, which no search changes
SEARCHABLE = ("data.pixel", "model", "method", "recipe", "training", "evaluation", "seed")


@dataclass(frozen=True)
class Override:
    """One value given on the command line.

    Attributes:
        path: Dotted path in the spec.
        value: The value, as YAML reads it.
        removes: Whether the key is taken out instead.
    """

    path: str
    value: Any = None
    removes: bool = False


def parse_overrides(texts: Sequence[str]) -> list[Override]:
    """Read overrides.

    Args:
        texts: Each ``key.path=value`` or ``~key.path``; the value is YAML, so ``null``,
            ``[1, 2]`` and ``1e-3`` mean what they mean in a spec.

    Raises:
        ConfigError: Some are malformed; the message has one line for each.
    """
    overrides: list[Override] = []
    faults: list[str] = []
    for text in texts:
        try:
            overrides.append(_parse(text))
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("\n  ".join(faults))
    return overrides


def _parse(given: str) -> Override:
    shown = given if len(given) <= _MOST_SHOWN else f"{given[:_MOST_SHOWN]}..."
    if given.startswith("~") and _KEY.fullmatch(given[1:]):
        return Override(given[1:], removes=True)
    path, equals, value = given.partition("=")
    if not equals or not _KEY.fullmatch(path):
        raise ConfigError(
            f"override {shown!r}: write key.path=value, for instance training.epochs=3"
        )
    if path.split(".")[0] == "demo":
        rest = path.partition(".")[2] or "training.epochs"
        raise ConfigError(
            f"override {shown!r}: overrides win over the demo section; write {rest}=... instead"
        )
    if not value.strip():
        raise ConfigError(f"override {shown!r}: there is no value; write {path}=null for none")
    # A command line has no comments, which YAML sees in the experiment's name "run #3".
    if re.search(r"(^|\s)#", value) and value.strip()[0] not in _BEGINS_OTHER_THAN_PLAIN_TEXT:
        return Override(path, value.strip())
    try:
        return Override(path, parse_yaml(value))
    except yaml.YAMLError as error:
        problem = yaml_problem(error)
        raise ConfigError(f"override {shown!r}: the value is not YAML ({problem})") from error


def apply_overrides(values: Mapping[str, Any], overrides: Sequence[Override]) -> dict[str, Any]:
    """Return nested dictionaries with some entries replaced; the last of two overrides wins.

    Args:
        values: What a spec says; left as it is.
        overrides: What to replace. Sections that do not exist yet are made.

    Raises:
        ConfigError: A path leads into something that is not a section.
    """
    result = dict(values)
    for override in overrides:
        result = _set(result, _keys(override), override)
    return result


def _keys(override: Override) -> list[str]:
    if override.path.startswith(_PRETRAIN):
        return ["pretraining", *split_path(override.path.removeprefix(_PRETRAIN))]
    found = _RANGE.fullmatch(override.path)
    if found is None:
        return split_path(override.path)
    # A field may be called step, too, and then gets a whole range.
    field, part = found["field"], found["part"]
    if part == "step" and isinstance(override.value, Mapping | list):
        field, part = f"{field}.{part}", None
    return ["search", "ranges", field, *(part.split(".", 1) if part else ())]


def _set(node: Mapping[str, Any], keys: list[str], override: Override) -> dict[str, Any]:
    key, *rest = keys
    child = node.get(key)
    if not rest:
        return _replace(node, key, override)
    if child is not None and not isinstance(child, Mapping):
        inner = override.path[: -len(".".join(rest)) - 1]
        raise ConfigError(f"override {override.path}: {inner} is {child!r}, it has no keys below")
    return {**node, key: _set(child or {}, rest, override)}


def _replace(node: Mapping[str, Any], key: str, override: Override) -> dict[str, Any]:
    if not override.removes:
        return merged(node, {key: override.value})
    if key not in node:
        keys = ", ".join(node)
        raise ConfigError(f"override ~{override.path}: there is no such key, only {keys}")
    return {name: value for name, value in node.items() if name != key}


def merged(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested dictionaries; the overlay wins, and only sections are merged, not lists."""
    result = dict(base)
    for key, value in overlay.items():
        below = result.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            result[key] = merged(below, value)
        else:
            result[key] = value
    return result


def fixed_parameters(
    resolved: Mapping[str, Any], overrides: Sequence[Override]
) -> dict[str, ParameterValue]:
    """Return the config fields that a user has set by hand, which a search must not change.

    Args:
        resolved: The whole spec as plain data (``SweepSpec.resolved()``): values are taken from
            here, checked and converted.
        overrides: What the user gave.
    """
    given = [path for o in overrides if not o.removes for path, _ in _leaves(o.path, o.value)]
    known = searchable_fields(resolved)
    # What a later override took out, or a method set to its defaults, is no leaf of the spec.
    return {path: known[path] for path in given if path in known}


def searchable_fields(resolved: Mapping[str, Any]) -> dict[str, ParameterValue]:
    """Return the config fields that a search can change, by dotted path, with their values.

    Args:
        resolved: The whole spec as plain data.
    """
    return {
        path: value
        for section in SEARCHABLE
        for path, value in _leaves(section, _lookup(resolved, section))
        if not isinstance(value, list) and path not in _PLACES
    }


def _lookup(values: Mapping[str, Any], path: str) -> Any:
    node: Any = values
    for key in path.split("."):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what lies at a path, or below it where that is a section."""
    if not isinstance(value, Mapping):
        yield path, value
        return
    for key, below in value.items():
        yield from _leaves(f"{path}.{key}", below)
