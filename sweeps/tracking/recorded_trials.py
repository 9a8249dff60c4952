"""Trials as MLflow and the journal before it have them, for a study that was lost."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from sweeps.tracking.find_runs import Recording, check_database, find_runs, recording_of
from sweeps.tracking.journal import SPOOL_FILE, Spool
from sweeps.tracking.journal_entries import Closed, Opened
from sweeps.tracking.mlflow_client import connect, explained
from sweeps.tracking.names import ATTEMPT, CAUSE_TAG, FAILURE_TAG, STATE
from sweeps.trials.record import ENDED_STATES, WARNING_TAG, Cause, TrialRecord, TrialState
from trainables.config import ParameterValue

if TYPE_CHECKING:
    from mlflow.entities import Run

# Beside the trial's own metrics: its end, and what its epochs cost.
_OBJECTIVE = "objective/"
_OTHER_FOLDERS = (_OBJECTIVE, "trial/", "system/")
_COSTS = ("seconds", "gpu_seconds", "cpu_seconds")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Journal:
    """What a sweep's journal still has.

    Attributes:
        trials: What was not delivered yet of trials, by their numbers.
        numbers: Numbers of all trials that it ever heard of.
        recording: Where the rest was delivered to; None where nothing was.
    """

    trials: Mapping[int, TrialRecord]
    numbers: frozenset[int]
    recording: Recording | None


def read_journal(folder: Path) -> Journal:
    """Read the journal of a sweep that does not run.

    Raises:
        TrackingError: It cannot be read.
    """
    path = folder / SPOOL_FILE
    if not path.is_file():
        return Journal(trials={}, numbers=frozenset(), recording=None)
    with closing(Spool(path)) as spool:
        facts, items = spool.facts, spool.head(len(spool))
        numbers = frozenset(number for number in spool.states if number is not None)
    trials: dict[int, TrialRecord] = {}
    for item in items:
        if item.trial is None:
            continue
        known = trials.get(item.trial)
        if known is None:
            known = TrialRecord(number=item.trial, state="running", parameters={})
        if isinstance(item.entry, Opened):
            known = dataclasses.replace(
                known,
                state="running",
                parameters=item.entry.parameters,
                attempts=item.entry.attempt,
            )
        elif isinstance(item.entry, Closed):
            known = _closed(known, item.entry)
        trials[item.trial] = known
    recording = None
    if "uri" in facts:
        recording = recording_of(folder, facts)
    return Journal(trials=trials, numbers=numbers, recording=recording)


def _closed(known: TrialRecord, entry: Closed) -> TrialRecord:
    return dataclasses.replace(
        known,
        state=_state(entry.state),
        metrics={**entry.metrics, **_objectives(entry.results)},
        seconds=entry.results.get("trial/seconds"),
        failure=entry.failure,
        cause=_cause(entry.tags.get(CAUSE_TAG)),
        traceback=entry.traceback,
        tags=_warnings(entry.tags),
    )


def read_runs(recording: Recording) -> Mapping[int, TrialRecord]:
    """Read the trials of a sweep from MLflow, by their numbers.

    Raises:
        ConfigError: There is no such database.
        TrackingError: The sweep is not recorded there, or the server does not answer.
    """
    check_database(recording.uri)
    with explained(recording.uri):
        runs = find_runs(connect(recording.uri), recording).trials
    return {number: _of_run(number, run) for number, run in runs.items()}


def _of_run(number: int, run: Run) -> TrialRecord:
    metrics, tags = run.data.metrics, run.data.tags
    return TrialRecord(
        number=number,
        state=_state(tags.get(STATE, "")),
        parameters={name: _value(text) for name, text in run.data.params.items()},
        metrics={
            **{
                name: value
                for name, value in metrics.items()
                if name not in _COSTS and not name.startswith(_OTHER_FOLDERS)
            },
            **_objectives(metrics),
        },
        seconds=metrics.get("trial/seconds"),
        failure=tags.get(FAILURE_TAG) or None,
        cause=_cause(tags.get(CAUSE_TAG)),
        attempts=int(tags.get(ATTEMPT, 0)),
        tags=_warnings(tags),
    )


def _objectives(results: Mapping[str, float]) -> dict[str, float]:
    return {
        name.removeprefix(_OBJECTIVE): value
        for name, value in results.items()
        if name.startswith(_OBJECTIVE)
    }


def _state(text: str) -> TrialState:
    return next((state for state in ENDED_STATES if state == text), "running")


def _cause(text: str | None) -> Cause | None:
    return next((cause for cause in get_args(Cause) if cause == text), None)


def _warnings(tags: Mapping[str, str]) -> Mapping[str, str]:
    named = {name.removeprefix("sweep."): text for name, text in tags.items()}
    return {name: text for name, text in named.items() if name.startswith(WARNING_TAG)}


def _value(text: str) -> ParameterValue:
    """Read a parameter as it was written: a text as it is, anything else as JSON."""
    try:
        value: ParameterValue = json.loads(text)
    except ValueError:
        return text
    return value
