"""What every configuration shares: strictness, and one error for all broken rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hsplid_core.errors import ConfigError

# Read by pydantic where a sweep's YAML becomes these classes: a misspelt key is an error.
STRICT: dict[str, Any] = {"extra": "forbid"}


def check(rules: Iterable[tuple[bool, str]]) -> None:
    """Raise one error that lists every broken rule.

    Args:
        rules: Pairs of (rule holds, message); a message names the field, its value and what is
            allowed.

    Raises:
        ConfigError: At least one rule does not hold.
    """
    broken = [message for holds, message in rules if not holds]
    if broken:
        raise ConfigError("; ".join(broken))
