"""The journal between a sweep and MLflow: written before training goes on, then delivered.

A sqlite file beside the study. Every entry has a sequence number and is the operating system's
when ``put`` returns, so that no killed process takes it along; :meth:`Spool.sync` brings it to the
disk, which the delivery asks for every time, and until then a power cut may take the last seconds
of the log, as it does of the training. An entry is struck out after MLflow has it. In between it
may be delivered more than once, which :mod:`sweeps.tracking.sweep_runs` turns into once.

What was struck out is kept, so that an MLflow that was lost is made anew (:meth:`Spool.renew`).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sweeps.tracking.journal_entries import Begun, Closed, Ended, Entry, Opened, from_text, to_text
from sweeps.tracking.reachability import TrackingError

SPOOL_FILE = "tracking.db"
OPEN = "running"
REGISTERED = "registered"  # the fact which trials' models are in the registry as the front

_VERSION = 2
_SWEEP = -1  # where a key cannot be NULL
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    trial INTEGER,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    struck INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS waiting ON entries (seq) WHERE struck = 0;
CREATE TABLE IF NOT EXISTS states (trial INTEGER PRIMARY KEY, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
# The first version kept nothing that was delivered.
_FROM_FIRST = """
BEGIN;
ALTER TABLE entries ADD COLUMN struck INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = 2;
COMMIT;
"""


@dataclass(frozen=True)
class Item:
    """An entry in the journal.

    Attributes:
        seq: Its sequence number; later entries have larger ones.
        trial: Number of the trial that it is about; None for the sweep itself.
        entry: The entry.
    """

    seq: int
    trial: int | None
    entry: Entry


class Spool:
    """A sweep's journal; several threads may share it.

    Args:
        path: The file; created where there is none.

    Raises:
        TrackingError: The file is no journal, or of a later version, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        with self._explained():
            # A single connection: the lock serves the threads, and the sweep's own lock keeps
            # other processes away. Exclusive, it needs no shared memory and works on NFS, too.
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                self._open()
            except BaseException:
                self._database.close()
                raise

    def _open(self) -> None:
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise TrackingError(
                f"{self._path} was written by a later version of this program: use that one"
            )
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        if version == 1:
            self._database.executescript(_FROM_FIRST)
        self._database.executescript(f"{_SCHEMA}PRAGMA user_version = {_VERSION};")

    def __len__(self) -> int:
        with self._explained():
            asked = "SELECT COUNT(*) FROM entries WHERE struck = 0"
            (count,) = self._database.execute(asked).fetchone()
        return int(count)

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def put(self, entries: Sequence[tuple[int | None, Entry]]) -> None:
        """Append entries, all or none; they outlive this process when this returns.

        Args:
            entries: A trial's number, or None for the sweep, and what happened.
        """
        rows = [(trial, *to_text(entry)) for trial, entry in entries]
        with self._explained(), self._transaction():
            self._database.executemany(
                "INSERT INTO entries (trial, kind, body) VALUES (?, ?, ?)", rows
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO states VALUES (?, ?)",
                [(_SWEEP if trial is None else trial, state) for trial, state in _states(entries)],
            )

    def sync(self) -> None:
        """Bring what was put so far to the disk, without keeping others from putting."""
        log = self._path.with_name(f"{self._path.name}-wal")
        with suppress(OSError), log.open("rb") as opened:  # moved into the file: synced there
            os.fsync(opened.fileno())

    def head(self, limit: int) -> list[Item]:
        """Return the oldest entries that were not struck out, in order.

        Raises:
            TrackingError: One of them cannot be read.
        """
        with self._explained():
            rows = self._database.execute(
                "SELECT seq, trial, kind, body FROM entries WHERE struck = 0 ORDER BY seq LIMIT ?",
                (limit,),
            ).fetchall()
        try:
            return [Item(seq, trial, from_text(kind, body)) for seq, trial, kind, body in rows]
        except ValueError as error:
            raise TrackingError(f"{self._path}: {error}") from error

    def strike(self, items: Sequence[Item]) -> None:
        """Say of entries that they were delivered."""
        with self._explained(), self._transaction():
            self._database.executemany(
                "UPDATE entries SET struck = 1 WHERE seq = ?", [(item.seq,) for item in items]
            )

    @property
    def has_delivered(self) -> bool:
        """Whether any entry was delivered, also where an earlier version has not kept it."""
        with self._explained():
            asked = "SELECT seq > (SELECT COUNT(*) FROM entries WHERE struck = 0)"
            found = self._database.execute(
                f"{asked} FROM sqlite_sequence WHERE name = 'entries'"
            ).fetchone()
        return bool(found and found[0])

    def renew(self) -> None:
        """Let all entries that are kept wait for their delivery again, to an MLflow without them.

        What is known of trials without such entries, from an earlier version, is dropped with
        the facts on registered models.
        """
        with self._explained(), self._transaction():
            self._database.execute("UPDATE entries SET struck = 0")
            self._database.execute(
                "DELETE FROM states WHERE trial NOT IN "
                f"(SELECT COALESCE(trial, {_SWEEP}) FROM entries)"
            )
            self._database.execute("DELETE FROM facts WHERE name = ?", (REGISTERED,))

    @property
    def states(self) -> Mapping[int | None, str]:
        """What was last put about each trial, and the sweep: ``running``, or how it ended."""
        with self._explained():
            rows = self._database.execute("SELECT trial, state FROM states").fetchall()
        return {None if trial == _SWEEP else trial: state for trial, state in rows}

    @property
    def facts(self) -> Mapping[str, str]:
        """What the journal keeps besides: whose it is, and where that sweep is recorded."""
        with self._explained():
            return dict(self._database.execute("SELECT name, value FROM facts").fetchall())

    def note(self, facts: Mapping[str, str]) -> None:
        """Keep facts; each replaces an earlier one of its name."""
        with self._explained(), self._transaction():
            self._database.executemany(
                "INSERT OR REPLACE INTO facts VALUES (?, ?)", list(facts.items())
            )

    def forget(self) -> None:
        """Drop what is known of a sweep, all of whose entries were delivered."""
        with self._explained(), self._transaction():
            for table in ("entries", "states", "facts"):
                self._database.execute(f"DELETE FROM {table}")
            self._database.execute("DELETE FROM sqlite_sequence")

    def close(self) -> None:
        """Close the file; the journal cannot be used any more."""
        with self._lock:
            self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise TrackingError(
                    f"{self._path}, which keeps what MLflow does not have yet, cannot be used "
                    f"({error}): free the disk, or move the file away if it is damaged"
                ) from error


def _states(entries: Sequence[tuple[int | None, Entry]]) -> Iterator[tuple[int | None, str]]:
    for trial, entry in entries:
        if isinstance(entry, Begun | Opened):
            yield trial, OPEN
        elif isinstance(entry, Closed | Ended):
            yield trial, entry.state
