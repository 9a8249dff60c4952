"""Rules of a configuration: strict sections, and one error for all that is wrong with one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

from hsplid_core.errors import ConfigError, Fault

Rule = tuple[bool, str | Fault]


class Section:
    """Base of the dataclasses that a sweep's YAML becomes: a misspelt key is an error."""

    # Read by pydantic.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


def check(rules: Iterable[Rule]) -> None:
    """Raise one error that has a fault for every broken rule.

    Args:
        rules: Pairs of (rule holds, message); a message begins with the field, its value and what
            is allowed: ``epochs is 0: use at least 1``.

    Raises:
        ConfigError: At least one rule does not hold.
    """
    broken = [message for holds, message in rules if not holds]
    if broken:
        raise ConfigError(*broken)


def at_least(section: object, least: int, *fields: str, null: str | None = None) -> Iterator[Rule]:
    """Make the rule that fields have a least value.

    Args:
        section: The configuration.
        least: Smallest value allowed; 0 reads "0 or more".
        fields: Names of the fields.
        null: What null stands for, where a field may be it.
    """
    allowed = "0 or more" if least == 0 else f"at least {least}"
    otherwise = "" if null is None else f", or null for {null}"
    for field in fields:
        value = getattr(section, field)
        holds = (value is None and null is not None) or value >= least
        yield holds, Fault(field, f"is {value}: use {allowed}{otherwise}")


def one_of(section: object, field: str, allowed: Sequence[str]) -> Rule:
    """Make the rule that a field is one of some words.

    Args:
        section: The configuration.
        field: Name of the field.
        allowed: The words.
    """
    value = getattr(section, field)
    return value in allowed, Fault(field, f"is {value}: use {' or '.join(allowed)}")
