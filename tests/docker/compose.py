"""What ``docker compose`` makes of the compose file, as far as the tests need it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

COMPOSE = Path(__file__).resolve().parents[2] / "docker" / "compose.yaml"

# $$, ${NAME} and ${NAME:-default}, which are all that the file uses.
_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::-([^}]*))?\})")


def resolved(variables: Mapping[str, str]) -> dict[str, Any]:
    """Read the compose file with its variables filled in.

    Args:
        variables: Values for them; the others take their defaults.
    """

    def fill(match: re.Match[str]) -> str:
        escaped, name, default = match.groups()
        return "$" if escaped else variables.get(name) or default or ""

    text = COMPOSE.read_text(encoding="utf-8")
    assert "$" not in _VARIABLE.sub("", text), "a form of variable that this does not know"
    filled: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(fill, text))
    for service in filled["services"].values():
        environment = service.get("environment", {})
        # A name without a value is handed on from the shell, if that has it.
        for name in [name for name, value in environment.items() if value is None]:
            del environment[name]
            if name in variables:
                environment[name] = variables[name]
    return filled
