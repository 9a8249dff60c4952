"""Search spaces found by what a spec calls them."""

from __future__ import annotations

import inspect
from types import BuiltinFunctionType
from typing import Any

from hsplid_core.errors import ConfigError, did_you_mean
from search_spaces import SPACES, SearchSpace
from sweeps.spec.outside import find_outside


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
    if ":" not in text:
        raise ConfigError(
            f"space is {text!r}: use one of {', '.join(sorted(SPACES))}, "
            f"package.module:function or path/to/file.py:function{did_you_mean(text, SPACES)}"
        )
    found = find_outside("space", text)
    if not (isinstance(found, SearchSpace) or _is_function_of_one(found)):
        raise ConfigError(
            f"space is {text!r}: {text.rpartition(':')[2]} is no function of an Optuna trial"
        )
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
