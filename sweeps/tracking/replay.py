"""Delivery of a journal whose driver is gone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from sweeps.tracking.client import ServerDownError, TrackingError
from sweeps.tracking.courier import deliveries
from sweeps.tracking.entries import Closed, Ended, Entry
from sweeps.tracking.spool import OPEN, SPOOL_FILE, Spool
from sweeps.tracking.store import SweepStore


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What a replay did.

    Attributes:
        delivered: How many entries were delivered.
        uri: Where to; empty for a sweep that never began to log.
    """

    delivered: int
    uri: str


def replay(folder: Path) -> Replayed:
    """Deliver all that is in a sweep's journal, and end the runs that its driver left open.

    Args:
        folder: The sweep's folder; its driver must not run.

    Raises:
        TrackingError: The server does not answer or refuses, or the journal cannot be read; what
            was not delivered stays in it.
    """
    path = folder / SPOOL_FILE
    if not path.is_file():
        return Replayed(delivered=0, uri="")
    spool = Spool(path)
    try:
        facts = spool.facts
        if "uri" not in facts:
            return Replayed(delivered=0, uri="")
        spool.put(_endings(spool))
        store = SweepStore(
            facts["uri"],
            experiment=facts["experiment"],
            sweep_id=facts["sweep_id"],
            run_name=facts["run_name"],
            folder=folder,
        )
        try:
            delivered = sum(deliveries(spool, store))
        except ServerDownError as error:
            raise TrackingError(
                f"{error}; {len(spool)} entries wait in {path}: try again when it does"
            ) from error
        return Replayed(delivered=delivered, uri=facts["uri"])
    finally:
        spool.close()


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
