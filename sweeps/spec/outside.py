"""Objects from outside of the package, found by module or file and name."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hsplid_core.errors import ConfigError
from hsplid_core.files import from_home


def find_outside(field: str, text: str) -> Any:
    """Import what a field of a spec names.

    Args:
        field: The field, for the message.
        text: ``package.module:name`` or ``path/to/file.py:name``.

    Raises:
        ConfigError: There is no such module or file, it cannot be imported, or has no such name.
    """
    source, _, attribute = text.rpartition(":")
    found = getattr(_module(field, text, source), attribute, None)
    if found is None:
        raise ConfigError(f"{field} is {text!r}: {source} has no {attribute}")
    return found


def _module(field: str, text: str, source: str) -> ModuleType:
    try:
        return _load(Path(source)) if source.endswith(".py") else importlib.import_module(source)
    except (Exception, SystemExit) as error:
        # Whatever a person's file does while it is imported, or a name that is none.
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise ConfigError(f"{field} is {text!r}: cannot import {source}: {reason}") from error


def _load(path: Path) -> ModuleType:
    """Import a file that belongs to no package, so that it needs no installation."""
    resolved = from_home(path).resolve(strict=True)
    name = f"_outside_{resolved.stem}"
    found = importlib.util.spec_from_file_location(name, resolved)
    if found is None or found.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module
