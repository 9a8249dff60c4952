"""Checks of a spec's ranges: each field exists, and takes every end and choice of its range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hsplid_core.errors import ConfigError, did_you_mean
from sweeps.spec.allowed_values import alternatives, describe, kind_at
from sweeps.spec.name_checks import check_names
from sweeps.spec.overrides import SEARCHABLE, searchable_fields
from sweeps.spec.range_spec import RangeSpec
from sweeps.spec.sweep_spec import SweepSpec
from trainables.config import ParameterValue, TrialConfig, split_path


def range_faults(spec: SweepSpec) -> Iterator[str]:
    """Find what is wrong with the ranges of a spec, as far as one range tells.

    Args:
        spec: A spec that is otherwise as it should be.

    Yields:
        A sentence for each fault, which begins with the path of the range.
    """
    fields = searchable_fields(spec.resolved())
    config = spec.trial_config()
    for path, range_ in spec.search.ranges.items():
        for text in _faults(path, range_, fields, config):
            yield f"search.ranges.{path}{text}"
    try:
        when_order(spec.search.ranges)
    except CycleError as error:
        circle = " <- ".join(error.args[1])
        yield f"search.ranges has a circle of when: {circle}"


def when_order(ranges: Mapping[str, RangeSpec]) -> list[str]:
    """Return the fields with a range, each behind those that its ``when`` names.

    Raises:
        CycleError: They wait for each other.
    """
    graph = {
        path: [other for other in range_.when if other in ranges and other != path]
        for path, range_ in ranges.items()
    }
    return list(TopologicalSorter(graph).static_order())


def is_integer(path: str) -> bool:
    """Tell whether a field takes integers alone."""
    members = alternatives(kind_at(split_path(path)))
    return int in members and float not in members


def _faults(
    path: str, range_: RangeSpec, fields: Mapping[str, Any], config: TrialConfig
) -> Iterator[str]:
    if path not in fields:
        yield _unknown(path, fields)
        return
    kind = kind_at(split_path(path))
    if range_.choices is None and kind is not None and not {int, float} & {*alternatives(kind)}:
        yield f" is a range, but the field takes {describe(kind)}: give a list of choices"
        return
    yield from _value_faults(path, range_, kind, config)
    for other, wanted in range_.when.items():
        if other not in fields:
            yield f".when: {other}{_unknown(other, fields)}"
        elif other == path:
            yield f".when is {other}: name another field"
        else:
            values = wanted if isinstance(wanted, tuple) else (wanted,)
            of_other = kind_at(split_path(other))
            for value in values:
                if not isinstance(value, bool) and _is_of_no(of_other, value):
                    yield f".when: {other} is never {value!r}: use {describe(of_other)}"


def _unknown(path: str, fields: Mapping[str, Any]) -> str:
    section = path.rpartition(".")[0]
    siblings = [name for name in fields if name.rpartition(".")[0] == section]
    known = siblings or [name for name in (*SEARCHABLE, *fields)]
    if siblings and section:
        has = f"; {section} has {', '.join(name.rpartition('.')[2] for name in siblings)}"
    else:
        has = f"; what can be searched is in {', '.join(SEARCHABLE)}"
    return f" is no field of a trial{has}{did_you_mean(path, known)}"


def _value_faults(path: str, range_: RangeSpec, kind: Any, config: TrialConfig) -> Iterator[str]:
    """Try every end and choice, each beside the spec's own values of other fields."""
    for name, value in _named_values(range_):
        if is_integer(path) and isinstance(value, float):
            if not value.is_integer():
                yield f".{name} is {value:g}: use {describe(kind)}"
                continue
            value = int(value)
        if name == "step":
            continue
        if kind is not None and _is_of_no(kind, value):
            yield f".{name} is {value!r}: use {describe(kind)}"
            continue
        try:
            changed = config.with_parameters({path: value})
            check_names(changed.data, changed.model, changed.training, changed.evaluation)
        except ConfigError as error:
            yield f".{name}: {error}"


def _named_values(range_: RangeSpec) -> Iterator[tuple[str, ParameterValue]]:
    if range_.choices is not None:
        yield from (("choices", value) for value in range_.choices)
        return
    yield from (("low", range_.low), ("high", range_.high))
    if range_.step is not None:
        yield "step", range_.step
    if range_.or_off:
        yield "or_off", 0.0


def _is_of_no(kind: Any, value: ParameterValue) -> bool:
    if isinstance(value, bool) and bool not in alternatives(kind):
        return True
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return True
    return False
