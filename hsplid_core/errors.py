"""The exceptions that the whole project raises on purpose.

Every message names the rule that was broken, the value that broke it, and what to do next.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import NamedTuple, Self

# A rule's text begins with the field that it is about: "epochs is 0: use at least 1".
_SUBJECT = re.compile(r"(?P<field>[A-Za-z_][\w.]*) (?P<text>(?:is|has) .*)", re.DOTALL)


class Fault(NamedTuple):
    """One thing that is wrong with a configuration.

    Attributes:
        field: Dotted path of the field, below the section that found the fault; empty where it is
            about no single field.
        text: The rest of the sentence: ``is 0: use at least 1``.
    """

    field: str
    text: str

    @classmethod
    def of(cls, sentence: str) -> Self:
        """Make a fault of a sentence, which may begin with ``FIELD is`` or ``FIELD has``."""
        found = _SUBJECT.fullmatch(sentence)
        return cls("", sentence) if found is None else cls(found["field"], found["text"])

    def __str__(self) -> str:
        return f"{self.field} {self.text}" if self.field else self.text


class SaliencyError(Exception):
    """Base of every error that a user can cause or mend."""


class ConfigError(SaliencyError, ValueError):
    """A configured value is out of range, of the wrong kind, or clashes with another.

    Args:
        faults: What is wrong, each as a fault or as a sentence.

    Attributes:
        faults: All of them; the error's text joins their sentences.
    """

    def __init__(self, *faults: Fault | str) -> None:
        super().__init__(*faults)
        self.faults = tuple(Fault.of(f) if isinstance(f, str) else f for f in faults)

    def __str__(self) -> str:
        return "; ".join(map(str, self.faults))


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
