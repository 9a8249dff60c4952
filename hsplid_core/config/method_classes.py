"""Classes of methods' settings, found by what a spec calls a method."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

from hsplid_core.config.methods import METHODS
from hsplid_core.errors import ConfigError, did_you_mean


def method_class(name: str) -> type[Any]:
    """Find the configuration class of a method.

    Args:
        name: A name in :data:`METHODS`, or ``package.module:Class`` for a method that lives
            outside this package.

    Raises:
        ConfigError: No such name, module or class; or what has the name is no method, and is then
            not called.
    """
    if name in METHODS:
        return METHODS[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ConfigError(
            f"method {name} is unknown: use one of {sorted(METHODS)}{did_you_mean(name, METHODS)}"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        # Whatever a person's file does while it is imported, or a name that is none.
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise ConfigError(f"method {name} cannot be imported: {reason}") from error
    builds = found in METHODS.values() or callable(getattr(found, "build", None))
    if not (isinstance(found, type) and dataclasses.is_dataclass(found) and builds):
        raise ConfigError(
            f"method {name} is no method: name a dataclass of settings with a function build"
        )
    return found
