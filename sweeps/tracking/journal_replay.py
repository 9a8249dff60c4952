"""Delivery of a journal whose driver is gone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from sweeps.spec.addresses import without_secrets
from sweeps.tracking.delivery import deliveries
from sweeps.tracking.find_runs import Recording, find_runs, recording_of
from sweeps.tracking.journal import OPEN, REGISTERED, SPOOL_FILE, Spool
from sweeps.tracking.journal_entries import Closed, Ended, Entry
from sweeps.tracking.mlflow_client import connect, explained
from sweeps.tracking.reachability import REDELIVERY, ServerDownError, TrackingError
from sweeps.tracking.sweep_runs import SweepStore
from sweeps.tracking.tracking_uri import sqlite_file


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What a replay did.

    Attributes:
        delivered: How many entries were delivered.
        uri: Where to; empty for a sweep that never began to log.
        is_complete: Whether the sweep's driver came to its end, with all trials done.
        registered: The trials whose models are noted to be in the registry as the front.
        missing: Trials that were delivered earlier, and that MLflow has no runs of.
    """

    delivered: int
    uri: str
    is_complete: bool = False
    registered: frozenset[int] | None = None
    missing: frozenset[int] = frozenset()


def replay(folder: Path, *, again: bool = False) -> Replayed:
    """Deliver all that waits in a sweep's journal, and end the runs that its driver left open.

    Args:
        folder: The sweep's folder; its driver must not run.
        again: Deliver all that the journal keeps, also what was delivered before.

    Raises:
        TrackingError: The server does not answer or refuses, the journal cannot be read, or, not
            again, MLflow has lost the sweep; what was not delivered stays in the journal.
    """
    path = folder / SPOOL_FILE
    if not path.is_file():
        return Replayed(delivered=0, uri="")
    spool = Spool(path)
    try:
        facts = spool.facts
        if "uri" not in facts:
            return Replayed(delivered=0, uri="")
        if again:
            spool.renew()
        recording = recording_of(folder, facts)
        spool.put(_endings(spool))
        store = SweepStore(
            recording.uri,
            experiment=recording.experiment,
            sweep_id=facts["sweep_id"],
            run_name=facts["run_name"],
            folder=folder,
        )
        missing: frozenset[int] = frozenset()
        try:
            if spool.has_delivered and not again:
                # Before the delivery, which would make a new run with the rest alone.
                missing = _lost(spool, recording)
            delivered = sum(deliveries(spool, store))
        except ServerDownError as error:
            raise TrackingError(
                f"{error}; {len(spool)} entries wait in {path}: try again when it does"
            ) from error
        return Replayed(
            delivered=delivered,
            uri=without_secrets(recording.uri),
            is_complete=spool.states.get(None) == "complete",
            registered=None if again else _numbers(facts.get(REGISTERED)),
            missing=missing,
        )
    finally:
        spool.close()


def note_registered(folder: Path, trials: Iterable[int]) -> None:
    """Note in a sweep's journal that the models of its front are in the registry.

    Without the note, as where another thread still uses the journal, they are only looked for once
    more.

    Args:
        folder: The sweep's folder.
        trials: The front's trials.
    """
    path = folder / SPOOL_FILE
    if not path.is_file():
        return
    with suppress(TrackingError), closing(Spool(path)) as spool:
        spool.note({REGISTERED: json.dumps(sorted(trials))})


def _lost(spool: Spool, recording: Recording) -> frozenset[int]:
    """Look for a sweep in MLflow; return the trials that it should have runs of, and has not.

    Raises:
        TrackingError: Nothing of the sweep is there, or the server does not answer.
    """
    file = sqlite_file(recording.uri)
    if file is not None and not file.exists():
        raise TrackingError(f"MLflow's file {file} is gone: {REDELIVERY}")
    with explained(recording.uri):
        found = find_runs(connect(recording.uri), recording)
    waiting = {item.trial for item in spool.head(len(spool))}
    return frozenset(
        trial
        for trial in spool.states
        if trial is not None and trial not in found.trials and trial not in waiting
    )


def _numbers(noted: str | None) -> frozenset[int] | None:
    return None if noted is None else frozenset(json.loads(noted))


def _endings(spool: Spool) -> list[tuple[int | None, Entry]]:
    """Say of what a killed driver left open that it was interrupted."""
    now = int(1000 * time.time())
    left_open = [trial for trial, state in spool.states.items() if state == OPEN]
    entries: list[tuple[int | None, Entry]] = [
        (trial, Closed(state="interrupted", epoch=0, time_ms=now))
        for trial in left_open
        if trial is not None
    ]
    if None in left_open:
        entries.append((None, Ended(state="interrupted", step=0, time_ms=now)))
    return entries
