"""The exceptions that the whole project raises on purpose.

Every message names the rule that was broken, the value that broke it, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SaliencyError(Exception):
    """Base of every error that a user can cause or mend."""


class ConfigError(SaliencyError, ValueError):
    """A configured value is out of range, of the wrong kind, or clashes with another."""


class DataError(SaliencyError, ValueError):
    """A data set on disk is missing, incomplete or not what its layout promises."""


class CheckpointError(SaliencyError, ValueError):
    """A checkpoint is damaged, or does not belong to what is being restored."""


class TrainingDivergedError(SaliencyError, ArithmeticError):
    """A loss or a metric became NaN or infinite; going on would only waste time."""


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """End an error's text with the nearest known name.

    Args:
        name: What was given.
        known: The names that there are.
        cutoff: Least similarity, from 0 to 1, of a name worth telling.

    Returns:
        ``; did you mean NAME?``, or nothing where no name is near.
    """
    near = nearest(name, known, cutoff=cutoff)
    return "" if near is None else f"; did you mean {near}?"


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name that is most like another; None where none is."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)
