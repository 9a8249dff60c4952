"""The space of a sweep: the one that its spec names, with the ranges that the spec gives itself.

A range replaces what a named space asks for, or adds a field to it. Where the space leaves a
parameter of its own out of a trial, because it has no effect there, so does the range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import optuna

from hsplid_core.errors import ConfigError
from search_spaces import SWITCH_PREFIX, ParameterValue, SearchSpace
from sweeps.spec.find_space import find_space
from sweeps.spec.overrides import searchable_fields
from sweeps.spec.range_checks import is_integer, when_order
from sweeps.spec.range_spec import RangeSpec
from sweeps.spec.sweep_spec import SweepSpec

# Each switch of a space is on in half of the random trials, so that three in a row are found.
_TRIES = 50


def space_of(spec: SweepSpec) -> SearchSpace:
    """Return the space that a sweep searches.

    Published values outside of a range give way to the nearest within, and the space has no
    published point any more.

    Args:
        spec: The sweep.
    """
    search = spec.search
    named = None if search.space is None else find_space(search.space)
    if not search.ranges:
        assert named is not None, "a spec has a space or ranges"
        return named
    own = searchable_fields(spec.resolved())
    suggest = _RangedSpace(named, search.ranges, own)
    paper = {} if named is None else dict(named.paper)
    added = {path: own[path] for path in search.ranges if path not in paper}
    start = within_ranges({**paper, **added}, search.ranges)
    others = [] if named is None else [within_ranges(each, search.ranges) for each in named.others]
    # Without published values a trial of the spec's own is nobody's.
    reached = (
        named is not None
        and named.has_published
        and bool(paper)
        and paper.items() <= start.items()
    )
    return SearchSpace(suggest, start, others, has_published=reached)


def described(spec: SweepSpec) -> str:
    """Name what a sweep searches as its spec does, for messages."""
    search = spec.search
    if search.space is None:
        return "search.ranges"
    return f"search.space {search.space}{' with search.ranges' if search.ranges else ''}"


def within_ranges(
    values: Mapping[str, ParameterValue], ranges: Mapping[str, RangeSpec]
) -> dict[str, ParameterValue]:
    """Return values of fields, where a range excludes one the nearest that it has.

    Args:
        values: Config fields by dotted path.
        ranges: Ranges of some of them.
    """
    return {
        path: _nearest(value, ranges[path], whole=is_integer(path)) if path in ranges else value
        for path, value in values.items()
    }


def _nearest(value: ParameterValue, range_: RangeSpec, *, whole: bool) -> ParameterValue:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    number = float(cast(float, value)) if is_number else 0.0
    if range_.choices is not None:
        if value in range_.choices:
            return value
        numbers = [v for v in range_.choices if isinstance(v, int | float)]
        if is_number and numbers:
            return min(numbers, key=lambda v: abs(v - number))
        return range_.choices[0]
    if range_.or_off and not number:
        return 0 if whole else 0.0
    low, high = _ends(range_)
    step = range_.step or (1.0 if whole else None)
    if step is not None:
        high = low + (high - low) // step * step
        number = low + round((number - low) / step) * step
    found = min(max(number, low), high)
    return int(found) if whole else found


def _ends(range_: RangeSpec) -> tuple[float, float]:
    if range_.low is None or range_.high is None:
        raise ConfigError("a range of choices has no ends")
    return range_.low, range_.high


@dataclass(frozen=True)
class _RangedSpace:
    """Asks a trial for what a named space asks for and for what the ranges add.

    Attributes:
        named: The named space; None without.
        ranges: By the field's dotted path.
        own: What the spec itself says of each field.
    """

    named: SearchSpace | None
    ranges: Mapping[str, RangeSpec]
    own: Mapping[str, ParameterValue] = field(repr=False)

    def __call__(self, trial: optuna.Trial) -> dict[str, ParameterValue]:
        values: dict[str, ParameterValue] = {}
        if self.named is not None:
            values |= self.named(cast(optuna.Trial, _RangedTrial(trial, self.ranges)))
        for path in when_order(self.ranges):
            range_ = self.ranges[path]
            if path in self._asked_by_named and path in values:
                continue
            known = {**self.own, **values}
            if all(range_.holds(other, known[other]) for other in range_.when):
                values[path] = suggest(trial, path, range_)
            else:
                values.setdefault(path, self.own[path])
        return values

    @cached_property
    def _asked_by_named(self) -> set[str]:
        """The fields with a range that the named space itself asks for, in some trials at least.

        Raises:
            ConfigError: One of them has a condition, which the space has already.
        """
        if self.named is None:
            return set()
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
        optuna.logging.set_verbosity(verbosity)
        asked: set[str] = set()
        for _ in range(_TRIES):
            trial = study.ask()
            self.named(trial)
            asked |= {name.removeprefix(SWITCH_PREFIX) for name in trial.params}
        found = asked & self.ranges.keys()
        for path in sorted(found):
            if self.ranges[path].when:
                raise ConfigError(
                    f"search.ranges.{path}.when: the space decides itself when it searches "
                    f"{path}; leave when out, or space"
                )
        return found


class _RangedTrial:
    """A trial that answers by the spec's ranges, where there are some, whatever is asked.

    Args:
        trial: Optuna's.
        ranges: By the field's dotted path.
    """

    def __init__(self, trial: optuna.Trial, ranges: Mapping[str, RangeSpec]) -> None:
        self._trial = trial
        self._ranges = ranges

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trial, name)

    def suggest_float(self, name: str, *args: Any, **options: Any) -> Any:
        return self._suggest("suggest_float", name, args, options)

    def suggest_int(self, name: str, *args: Any, **options: Any) -> Any:
        return self._suggest("suggest_int", name, args, options)

    def suggest_categorical(self, name: str, *args: Any, **options: Any) -> Any:
        field = name.removeprefix(SWITCH_PREFIX)
        if field != name and field in self._ranges:
            # Of a weight that the space may switch off: the range says whether it can be.
            range_ = self._ranges[field]
            if range_.choices is not None:
                return True
            return _switch(self._trial, field) if range_.or_off else True
        return self._suggest("suggest_categorical", name, args, options)

    def _suggest(self, kind: str, name: str, args: Any, options: Any) -> Any:
        if name in self._ranges:
            return suggest(self._trial, name, self._ranges[name])
        return getattr(self._trial, kind)(name, *args, **options)


def suggest(trial: optuna.Trial, path: str, range_: RangeSpec) -> ParameterValue:
    """Ask a trial for a field's value.

    Args:
        trial: The trial.
        path: The field's dotted path.
        range_: Where the value comes from.
    """
    if range_.choices is not None:
        chosen: ParameterValue = trial.suggest_categorical(path, list(range_.choices))
        return chosen
    whole = is_integer(path)
    if range_.or_off and not _switch(trial, path):
        return 0 if whole else 0.0
    low, high = _ends(range_)
    if whole:
        return trial.suggest_int(
            path, int(low), int(high), step=int(range_.step or 1), log=range_.log
        )
    return trial.suggest_float(path, low, high, step=range_.step, log=range_.log)


def _switch(trial: optuna.Trial, path: str) -> bool:
    return bool(trial.suggest_categorical(SWITCH_PREFIX + path, [True, False]))
