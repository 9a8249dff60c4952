"""Backup of a study's file, kept beside it while a sweep runs.

A study in a database server is left to that server's own backups.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from hsplid_core.files import replacing
from sweeps.study.location import StudyPlace
from sweeps.trials.record import TrialRecord
from trainables.config import ParameterValue

logger = logging.getLogger(__name__)

_CHUNK = 2**20  # bytes


def backup_file(folder: Path, place: StudyPlace) -> Path | None:
    """Return where the backup of a study is, or would be; None for one in a database server."""
    if place.in_database:
        return None
    file = place.file_in(folder)
    return file.with_name(f"{file.stem}.backup{file.suffix}")


def continues(file: Path, backup: Path) -> bool:
    """Tell whether a journal begins with all that an earlier copy of it has.

    Args:
        file: The journal.
        backup: The copy.
    """
    with backup.open("rb") as old, file.open("rb") as new:
        while chunk := old.read(_CHUNK):
            if new.read(len(chunk)) != chunk:
                return False
    return True


class StudyBackup:
    """A listener that copies a study's file when trials have ended.

    Args:
        folder: The sweep's folder.
        place: Where its study is.
        interval_s: Shortest time between two copies, but for the one at the sweep's end.
    """

    def __init__(self, folder: Path, place: StudyPlace, *, interval_s: float = 60.0) -> None:
        self._file = None if place.in_database else place.file_in(folder)
        self._backup = backup_file(folder, place)
        self._interval_s = interval_s
        self._not_before = 0.0

    def sweep_started(self, records: Sequence[TrialRecord]) -> None:
        """Do nothing: what earlier runs left is copied with the next end of a trial."""

    def trial_started(
        self, number: int, parameters: Mapping[str, ParameterValue], *, resumed: bool
    ) -> None:
        """Do nothing."""

    def epoch_finished(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Do nothing."""

    def trial_finished(self, record: TrialRecord, left: Sequence[int] = ()) -> None:
        """Copy the study, unless that was done a moment ago."""
        if time.monotonic() >= self._not_before:
            self._copy()

    def sweep_finished(self, records: Sequence[TrialRecord], *, interrupted: bool) -> None:
        """Copy the study."""
        self._copy()

    def _copy(self) -> None:
        if self._file is None or self._backup is None:
            return
        self._not_before = time.monotonic() + self._interval_s
        try:
            if self._file.suffix == ".db":
                _copy_sqlite(self._file, self._backup)
            else:
                _copy_journal(self._file, self._backup)
        except (OSError, sqlite3.Error) as error:  # training is worth more
            logger.warning(
                "%s was not copied to %s (%s). Training goes on", self._file, self._backup, error
            )


def _copy_journal(file: Path, backup: Path) -> None:
    if backup.is_file() and not continues(file, backup):
        # Of two that differ nobody can tell here which is right.
        previous = backup.with_name(f"{backup.stem}.previous{backup.suffix}")
        if not previous.exists():
            backup.replace(previous)
            logger.warning("%s was changed from outside; %s has it as it was", file, previous)
    with file.open("rb") as source, replacing(backup) as target:
        shutil.copyfileobj(source, target, _CHUNK)


def _copy_sqlite(file: Path, backup: Path) -> None:
    with replacing(backup) as target:
        source = sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True)
        with closing(source), closing(sqlite3.connect(target.name)) as copy:
            source.backup(copy)
            (answer,) = copy.execute("PRAGMA quick_check(1)").fetchone()
            if answer != "ok":
                raise sqlite3.DatabaseError(answer)
            # One file that anybody may read; the copy has the original's write-ahead log.
            copy.execute("PRAGMA journal_mode = DELETE")
