"""Search spaces found by what a spec calls them."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import BuiltinFunctionType, ModuleType
from typing import Any

from hsplid_core.errors import ConfigError, did_you_mean
from search_spaces import SPACES, SearchSpace


def find_space(text: str) -> SearchSpace:
    """Find a search space.

    Args:
        text: A name in ``search_spaces.SPACES``, ``package.module:function``, or
            ``path/to/file.py:function``. What stands behind the colon is a function of an
            Optuna trial, or a :class:`SearchSpace` where there are published values.

    Raises:
        ConfigError: No such space, module, file or function.
    """
    if text in SPACES:
        return SPACES[text]
    source, colon, attribute = text.rpartition(":")
    if not colon:
        raise ConfigError(
            f"space is {text!r}: use one of {', '.join(sorted(SPACES))}, "
            f"package.module:function or path/to/file.py:function{did_you_mean(text, SPACES)}"
        )
    found = getattr(_module(text, source), attribute, None)
    if found is None:
        raise ConfigError(f"space is {text!r}: {source} has no {attribute}")
    if not (isinstance(found, SearchSpace) or _is_function_of_one(found)):
        raise ConfigError(f"space is {text!r}: {attribute} is no function of an Optuna trial")
    return found if isinstance(found, SearchSpace) else SearchSpace(found)


def _is_function_of_one(found: Any) -> bool:
    """Tell, without calling it, whether something can be a function of a trial."""
    if isinstance(found, type | BuiltinFunctionType) or not callable(found):
        return False
    try:
        inspect.signature(found).bind(None)
    except (TypeError, ValueError):
        return False
    return True


def _module(text: str, source: str) -> ModuleType:
    try:
        return _load(Path(source)) if source.endswith(".py") else importlib.import_module(source)
    except (Exception, SystemExit) as error:
        # Whatever a person's file does while it is imported, or a name that is none.
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise ConfigError(f"space is {text!r}: cannot import {source}: {reason}") from error


def _load(path: Path) -> ModuleType:
    """Import a file that belongs to no package, so that a space needs no installation."""
    resolved = path.expanduser().resolve(strict=True)
    name = f"_space_{resolved.stem}"
    found = importlib.util.spec_from_file_location(name, resolved)
    if found is None or found.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module
