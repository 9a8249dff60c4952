"""Rules of a configuration: strict sections, and one error for all that is wrong with one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, ParamSpec, TypeVar

from hsplid_core.errors import ConfigError, Fault

Rule = tuple[bool, str | Fault]
_Given = ParamSpec("_Given")
_Checked = TypeVar("_Checked")

_hold: ContextVar[bool] = ContextVar("rules_hold", default=True)

MOST_SEED = 2**32 - 1
"""Largest seed that numpy's generators take, and with them Optuna's samplers."""
MOST_SIDE = 4096
"""Largest side of an image in pixels: one is 200 MB then, and no classifier is trained on more."""
MOST_IN_BATCH = 65_536
"""Most images at a time: larger batches fit no device, nor is a method published for them."""
MOST_IMAGES = 1_000_000_000
"""Most images of a subset: more than any data set has."""
MOST_EPOCHS = 100_000
"""Most epochs: an epoch of a second each would take more than a day."""
MOST_STEPS = 10_000
"""Most steps of an attack or an integral: each is a pass through the network."""
MOST_WEIGHT = 1_000_000
"""Largest weight of a term: a thousand times the largest published one, S-IB's 1000."""


class Section:
    """Base of the dataclasses that a sweep's YAML becomes: a misspelt key is an error."""

    # Read by pydantic.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


@contextmanager
def as_stored() -> Iterator[None]:
    """Take the values of what has run as they are: a rule that came later says nothing of them.

    What is of the wrong kind, or has a key that is none, is refused here, too.
    """
    token = _hold.set(False)
    try:
        yield
    finally:
        _hold.reset(token)


def rules_hold() -> bool:
    """Tell whether values are held to the rules of today; they are not in :func:`as_stored`."""
    return _hold.get()


def rule(validator: Callable[_Given, _Checked]) -> Callable[_Given, _Checked]:
    """Let a pydantic validator pass what is stored.

    Args:
        validator: Returns its last argument, the value or the model, or raises.
    """

    @functools.wraps(validator)
    def validate(*args: _Given.args, **kwargs: _Given.kwargs) -> _Checked:
        if rules_hold():
            return validator(*args, **kwargs)
        stored: Any = args[-1]
        return stored  # type: ignore[no-any-return]

    return validate


def check(rules: Iterable[Rule]) -> None:
    """Raise one error that has a fault for every broken rule.

    Args:
        rules: Pairs of (rule holds, message); a message begins with the field, its value and what
            is allowed: ``epochs is 0: use at least 1``.

    Raises:
        ConfigError: At least one rule does not hold.
    """
    broken = [message for holds, message in rules if not holds]
    if broken and rules_hold():
        raise ConfigError(*broken)


def within(
    section: object, least: float, most: float, *fields: str, null: str | None = None
) -> Iterator[Rule]:
    """Make the rule that fields lie in a range; NaN and infinity lie in none.

    Args:
        section: The configuration.
        least: Smallest value allowed; 0 reads "0 or more".
        most: Largest value allowed: beyond it lie slips, and what the computation cannot take.
        fields: Names of the fields.
        null: What null stands for, where a field may be it.
    """
    low = "0 or more" if least == 0 else f"at least {least}"
    otherwise = "" if null is None else f", or null for {null}"
    for field in fields:
        value = getattr(section, field)
        if value is None and null is not None:
            continue
        allowed = f"at most {most:,}" if value > most else low
        yield least <= value <= most, Fault(field, f"is {value}: use {allowed}{otherwise}")


def positive(
    section: object, most: float, *fields: str, null: str | None = None
) -> Iterator[Rule]:
    """Make the rule that fields lie above 0, up to a largest value.

    Args:
        section: The configuration.
        most: Largest value allowed.
        fields: Names of the fields.
        null: What null stands for, where a field may be it.
    """
    otherwise = "" if null is None else f", or null for {null}"
    for field in fields:
        value = getattr(section, field)
        holds = (value is None and null is not None) or 0 < value <= most
        yield holds, Fault(field, f"is {value}: use a value above 0, at most {most:,}{otherwise}")


def one_of(section: object, field: str, allowed: Sequence[str]) -> Rule:
    """Make the rule that a field is one of some words.

    Args:
        section: The configuration.
        field: Name of the field.
        allowed: The words.
    """
    value = getattr(section, field)
    return value in allowed, Fault(field, f"is {value}: use {' or '.join(allowed)}")
