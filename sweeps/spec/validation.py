"""Checking a spec, and saying everything that is wrong with it, one line a fault."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hsplid_core.config import DataConfig
from hsplid_core.config.methods import METHODS
from hsplid_core.config.rules import rules_hold
from hsplid_core.errors import ConfigError, did_you_mean, nearest
from hsplid_core.files import from_home
from sweeps.spec import allowed_values as _schema
from sweeps.spec.addresses import without_secrets
from sweeps.spec.allowed_values import Place
from sweeps.spec.method_settings import MethodFaultsError
from sweeps.spec.overrides import merged
from sweeps.spec.range_checks import range_faults
from sweeps.spec.sweep_spec import SweepSpec

# Takes the place of values that were wrong, so that the rest can still be checked; of methods all,
# for another section may need the one that was misspelt.
_STAND_IN: Mapping[str, Any] = {
    "name": "stand-in",
    "method": dict.fromkeys(METHODS),
    "search": {"space": "pretrain"},
    "trials": 1,
}
# Keys of earlier versions.
_RENAMED: Mapping[str, str] = {"max_failures": "failures.max_losses"}
# What Linux takes as a path, and as a name in one.
_MOST_CHARACTERS, _MOST_IN_NAME = 4096, 255
_TOO_LARGE = 2**63  # for an integer of 64 bits
_MOST_TOLD = 4  # keys that may have been meant
_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument", "invalid_key")


class _Fault(NamedTuple):
    place: Place
    text: str


def validated(values: Mapping[str, Any], *, source: str) -> SweepSpec:
    """Turn plain data into a spec.

    Args:
        values: What a file and the command line say.
        source: Where they come from, for the message.

    Raises:
        ConfigError: Values are wrong; the message has one line for each fault.
    """
    values = _with_text_keys(values)
    slips = list(_slips(values, ())) if rules_hold() else []
    faults = {slip.text: slip.place for slip in slips}
    remaining = copy.deepcopy(dict(values))
    # A slip within a list stays, so that the list's other members are still looked at.
    outside_lists = [place for place, _ in slips if all(isinstance(key, str) for key in place)]
    # What is wrong with a list that has a slip may follow from that.
    holding = {place[:depth] for place, _ in slips for depth in range(1, len(place))}
    holding -= {place[:depth] for place in outside_lists for depth in range(1, len(place))}
    removed = {_remove(remaining, place) for place in outside_lists}
    # A section with a fault of type is not checked for ranges: take the faulty values out and
    # look again, until nothing new turns up.
    while True:
        try:
            spec = SweepSpec.model_validate(remaining)
            break
        except ValidationError as error:
            translated = list(_translate(error.errors(), values))
        found = [fault for fault in translated if fault.place not in removed | holding]
        for fault in found:
            faults.setdefault(fault.text, fault.place)
            removed |= {fault.place, _remove(remaining, fault.place)}
        if not found:
            break
        wrong = {place[0] for place in removed if place}
        stand_in = {section: value for section, value in _STAND_IN.items() if section in wrong}
        remaining = merged(stand_in, remaining)
    if not faults and rules_hold():
        faults = {text: ("search", "ranges") for text in range_faults(spec)}
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        order = list(values)
        lines = sorted(faults, key=lambda text: _rank(order, faults[text]))
        raise ConfigError("\n  ".join([f"sweep {source} has {count}:", *lines]))
    return spec


def validated_data(values: Mapping[str, Any]) -> DataConfig:
    """Turn the values of a spec's section ``data`` alone into that section.

    Args:
        values: Fields of the section.

    Raises:
        ConfigError: Values are wrong; the message has one line for each fault.
    """
    try:
        return validated({**_STAND_IN, "data": dict(values)}, source="of no file").data
    except ConfigError as error:
        _headline, *lines = str(error).split("\n  ")
        raise ConfigError("\n  ".join(lines)) from error


def renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give what an earlier version wrote of a spec the keys of this one, and none of its secrets.

    Args:
        values: A stored spec, as it was read.
    """
    result = dict(values)
    tracking = result.get("tracking")
    if isinstance(tracking, Mapping) and isinstance(tracking.get("uri"), str):
        result["tracking"] = {**tracking, "uri": without_secrets(tracking["uri"])}
    for old, new in _RENAMED.items():
        if old in result:
            section, key = new.split(".")
            result = merged({section: {key: result.pop(old)}}, result)
    return result


def _with_text_keys(node: Any) -> Any:
    """Turn keys that YAML reads as numbers or words of its own into text, at every depth."""
    if isinstance(node, Mapping):
        return {str(key): _with_text_keys(value) for key, value in node.items()}
    return [_with_text_keys(value) for value in node] if isinstance(node, list) else node


def _rank(order: Sequence[str], place: Place) -> int:
    """Order faults as the sections of the file; what is missing comes last."""
    section = str(place[0]) if place else ""
    return order.index(section) if section in order else len(order)


def _remove(values: dict[str, Any], place: Place) -> Place:
    """Take a value out, or the whole list that holds it; return where something was taken."""
    node = values
    for depth, key in enumerate(place):
        child = node.get(key) if isinstance(key, str) else None
        if depth == len(place) - 1 or not isinstance(child, dict):
            node.pop(str(key), None)
            return place[: depth + 1]
        node = child
    return place


def _slips(node: object, place: Place) -> Iterator[_Fault]:
    """Find values that pydantic would convert, but that can only be a slip."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _slips(value, (*place, str(key)))
        return
    if isinstance(node, list):
        for index, value in enumerate(node):
            yield from _slips(value, (*place, index))
        return
    kind = _schema.kind_at(place)
    if kind is None:
        return
    slips = isinstance(node, bool) and bool not in _schema.alternatives(kind)
    endless = isinstance(node, float) and not math.isfinite(node)
    if slips or endless:
        yield _Fault(place, _wrong_value(place, node))
    elif isinstance(node, int) and abs(node) >= _TOO_LARGE:
        yield _Fault(place, _wrong_value(place, node, "a number of fewer digits"))
    elif isinstance(node, str) and (allowed := _text_fault(node, place, kind)):
        yield _Fault(place, _wrong_value(place, node, allowed))


def _text_fault(text: str, place: Place, kind: object) -> str | None:
    """Say what a text should be that no field can take, whatever it stands for."""
    many_lines = place == ("description",)
    if not all(c.isprintable() or (many_lines and c in "\n\t") for c in text):
        return "a text without control characters"
    if len(text) > _MOST_CHARACTERS:
        return f"a text of at most {_MOST_CHARACTERS:,} characters"
    if not text.strip() and not many_lines and all(isinstance(key, str) for key in place):
        return "a text that is not empty"
    is_path = Path in _schema.alternatives(kind) or place == ("storage",)
    if is_path and any(len(part.encode()) > _MOST_IN_NAME for part in text.split("/")):
        return f"a path whose names have at most {_MOST_IN_NAME} bytes each"
    if is_path and text.startswith("~"):
        try:
            from_home(Path(text))
        except ConfigError:
            return "a path whose home there is on this machine"
    return None


def _translate(errors: Sequence[ErrorDetails], values: Mapping[str, Any]) -> Iterator[_Fault]:
    of_unions: set[Place] = set()
    for error in errors:
        place = _existing(error["loc"], values)
        if place in of_unions:
            continue  # of the next member of a union: one line tells what all of them take
        if len(place) < len(error["loc"]) and error["type"] not in (*_UNKNOWN_KEY, "missing"):
            of_unions.add(place)
        cause = error.get("ctx", {}).get("error")
        if isinstance(cause, MethodFaultsError):
            nested: list[ErrorDetails] = [
                {**inner, "loc": (*error["loc"], *inner["loc"])} for inner in cause.errors
            ]
            yield from _translate(nested, values)
        elif isinstance(cause, ConfigError) and _unknown_method(error["loc"]):
            yield _Fault(error["loc"], _unknown_key(error["loc"], error["input"]))
        elif isinstance(cause, ConfigError):
            yield from _broken_rules(error["loc"], cause)
        else:
            yield _fault(error, values)


def _unknown_method(place: Place) -> bool:
    names_a_class = ":" in str(place[-1]) if place else False
    return place[:1] == ("method",) and _schema.kind_at(place) is None and not names_a_class


def _broken_rules(place: Place, error: ConfigError) -> Iterator[_Fault]:
    """Give the fields of an error's faults their paths in the spec."""
    for fault in error.faults:
        inner = (*place, *fault.field.split("."))
        if place and fault.field == place[-1]:
            inner = place
        if fault.field and _schema.kind_at(inner) is not None:
            yield _Fault(inner, f"{_dotted(inner)} {fault.text}")
        else:
            yield _Fault(place, str(fault))


def _fault(error: ErrorDetails, values: Mapping[str, Any]) -> _Fault:
    kind, context, given = error["type"], error.get("ctx", {}), error["input"]
    if kind in _UNKNOWN_KEY:
        return _Fault(error["loc"], _unknown_key(error["loc"], given))
    if kind == "missing":
        allowed = _schema.describe(_schema.kind_at(error["loc"]))
        return _Fault(error["loc"], f"{_dotted(error['loc'])} is missing: give {allowed}")
    limits = {
        "greater_than_equal": f"{context.get('ge', 0):g} or more",
        "greater_than": f"a value above {context.get('gt', 0):g}",
        "string_pattern_mismatch": "letters, digits, '_', '.' and '-'",
        "less_than_equal": f"{context.get('le', 0):,} or less",
        "string_too_long": f"at most {context.get('max_length')} characters",
        "string_too_short": "a text that is not empty",
        "too_short": "at least one entry",
    }
    # Behind the place itself, pydantic adds which member of a union it tried.
    place = _existing(error["loc"], values)
    return _Fault(place, _wrong_value(place, given, limits.get(kind)))


def _existing(place: Place, values: Mapping[str, Any]) -> Place:
    node: Any = values
    for depth, key in enumerate(place):
        try:
            node = node[key]
        except (KeyError, IndexError, TypeError):
            return place[:depth]
    return place


def _wrong_value(place: Place, value: object, allowed: str | None = None) -> str:
    kind = _schema.kind_at(place)
    hint = did_you_mean(str(value).lower(), _schema.choices(kind))
    if isinstance(value, Mapping) and {"low", "high"} <= value.keys():
        hint = f"; search.ranges.{_dotted(place)} searches a range"
    return f"{_dotted(place)} is {_shown(value)}: use {allowed or _schema.describe(kind)}{hint}"


def _unknown_key(place: Place, value: object) -> str:
    known = _schema.keys_at(place[:-1])
    where = _dotted(place[:-1]) or "a spec"
    near = _nearest(place)
    hint = f"; did you mean {near}?" if near else ""
    return f"{_dotted(place)} ({_shown(value)}) is no key: {where} has {', '.join(known)}{hint}"


def _nearest(place: Place) -> str | None:
    """Find the key that was probably meant: here, by its released name, or elsewhere."""
    key, section = str(place[-1]), place[:-1]
    if _dotted(place) in _RENAMED:
        return _RENAMED[_dotted(place)]
    released = _schema.released_names(section)
    near = nearest(key, [*_schema.keys_at(section), *released])
    if near in released:
        field = _dotted((*section, released[near]))
        return f"{field} (the released code's {near})"
    if near:
        return _dotted((*section, near))
    elsewhere = list(_schema.all_places())
    if same := [_dotted(other) for other in elsewhere if other[-1] == key]:
        # Several methods have a weight: each is told.
        return " or ".join(same[:_MOST_TOLD])
    for other in elsewhere:
        if _schema.released_names(other[:-1]).get(key) == other[-1]:
            return f"{_dotted(other)} (the released code's {key})"
    return None


def _dotted(place: Place) -> str:
    return ".".join(str(key) for key in place)


def _shown(value: object) -> str:
    text = json.dumps(without_secrets(value) if isinstance(value, str) else value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
