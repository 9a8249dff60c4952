"""Entries of the journal: what happens in a sweep, kept until MLflow has it.

An entry is plain data: it is written as JSON by one process and may be read back by another, after
a crash or with a later version of this code, which passes over fields that it does not know.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainables.config import ParameterValue


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A driver began a sweep, or went on with it.

    Attributes:
        spec: The resolved spec.
        tags: Tags of the parent run.
        time_ms: When, since 1970.
    """

    spec: Mapping[str, Any]
    tags: Mapping[str, str]
    time_ms: int


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A trial began an attempt.

    Attributes:
        parameters: Searched parameters by dotted path.
        attempt: Number of the attempt, from 1.
        tags: Tags of the trial's run.
        time_ms: When, since 1970.
    """

    parameters: Mapping[str, ParameterValue]
    attempt: int
    tags: Mapping[str, str] = field(default_factory=dict)
    time_ms: int


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """A trial finished an epoch.

    Attributes:
        epoch: Which one, from 1.
        metrics: What it measured.
        time_ms: When, since 1970.
    """

    epoch: int
    metrics: Mapping[str, float]
    time_ms: int


@dataclass(frozen=True, kw_only=True)
class Closed:
    """A trial ended, or was interrupted.

    Attributes:
        state: ``complete``, ``failed``, ``stopped`` or ``interrupted``.
        epoch: Its last epoch; 0 before the first.
        metrics: That epoch's metrics, which are logged unless they are already.
        results: Values of the whole trial, such as its objectives.
        tags: Further tags.
        failure: Why it failed, one line; None where it did not.
        traceback: Where in the code it failed.
        time_ms: When, since 1970.
    """

    state: str
    epoch: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    results: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    failure: str | None = None
    traceback: str | None = None
    time_ms: int


@dataclass(frozen=True, kw_only=True)
class Tagged:
    """Something about a run became known, or changed.

    Attributes:
        tags: Tags to set.
    """

    tags: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Something was measured beside the epochs.

    Attributes:
        metrics: Values by name.
        step: Their step.
        time_ms: When, since 1970.
    """

    metrics: Mapping[str, float]
    step: int
    time_ms: int


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A file, or a folder, is to be kept with a run; it is read when it is delivered.

    Attributes:
        path: Where it lies, absolute or from the journal's folder.
        folder: Folder among the run's artifacts; None for the topmost one.
    """

    path: str
    folder: str | None = None


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A sweep ended, or was interrupted.

    Attributes:
        state: ``complete`` or ``interrupted``.
        metrics: Numbers of the whole sweep.
        step: Number of finished trials.
        time_ms: When, since 1970.
    """

    state: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    step: int
    time_ms: int


Entry = Begun | Opened | Epoch | Closed | Tagged | Measured | Artifact | Ended

_KINDS: dict[str, type[Entry]] = {
    kind.__name__.lower(): kind
    for kind in (Begun, Opened, Epoch, Closed, Tagged, Measured, Artifact, Ended)
}


def to_text(entry: Entry) -> tuple[str, str]:
    """Return an entry's kind, and its fields as JSON (with NaN and Infinity, as Python has it)."""
    return type(entry).__name__.lower(), json.dumps(vars(entry))


def from_text(kind: str, text: str) -> Entry:
    """Make the entry that :func:`to_text` wrote.

    Raises:
        ValueError: The text is damaged, or of a kind that this version does not know.
    """
    try:
        made = _KINDS[kind]
        fields = {known.name for known in dataclasses.fields(made)}
        return made(**{key: value for key, value in json.loads(text).items() if key in fields})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an entry of a journal: {kind} {text[:80]}") from error
