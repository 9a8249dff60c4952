"""Storages of a study, opened: Optuna's journal file, sqlite or PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.storage.local_disk import is_local
from sweeps.study.location import StorageError, StudyPlace

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.storages.journal import JournalFileOpenLock
    from sqlalchemy import Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection


def open_storage(folder: Path, place: StudyPlace, *, writes: bool) -> BaseStorage:
    """Open a study's storage; a file is created where there is none.

    Args:
        folder: The sweep's folder.
        place: Where its study is.
        writes: Whether this is the driver, which alone may mend a file.

    Raises:
        StorageError: The database does not answer, or its driver is not installed.
    """
    if not place.in_database:
        return open_file(place.file_in(folder), writes=writes)
    import optuna
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    # A reader keeps no connection: it asks a few times, and a server has only so many.
    options = {"pool_pre_ping": True} if writes else {"poolclass": NullPool}
    try:
        return optuna.storages.RDBStorage(database_url(place), engine_kwargs=options)
    except (SQLAlchemyError, ImportError) as error:
        raise no_database(place, error) from error


def open_file(file: Path, *, writes: bool = False) -> BaseStorage:
    """Open a study's file, by its ending: a journal, or sqlite's; made where there is none.

    Args:
        file: The file.
        writes: Whether this is the driver.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend
    from sqlalchemy import URL

    if file.suffix != ".db":
        backend = JournalFileBackend(str(file), lock_obj=_held_by_driver(file))
        return optuna.storages.JournalStorage(backend)
    # In somebody else's database no tables are made.
    is_new = not file.is_file() or file.stat().st_size == 0
    url = URL.create("sqlite", database=str(file)).render_as_string()
    storage = optuna.storages.RDBStorage(url, skip_table_creation=not is_new)
    if writes and is_local(file.parent):
        _write_ahead(storage.engine)
    return storage


def _write_ahead(engine: Engine) -> None:
    """Let sqlite append transactions to a log, which readers do not block and no disk delays.

    Nothing of it is lost if processes are killed. A power cut may take the transactions of the
    last moments, never the file: those trials are then run again.
    """
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def set_modes(connection: DBAPIConnection, record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()

    engine.dispose()  # the connections of before


def database_url(place: StudyPlace) -> str:
    """Return SQLAlchemy's address of a PostgreSQL database."""
    return "postgresql+psycopg://" + place.storage.partition("://")[2]


def no_database(place: StudyPlace, error: Exception) -> StorageError:
    """Say that a database does not open, why, and what to do."""
    cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    hint = (
        "pip install '.[postgres]'"
        if isinstance(error, ImportError)
        else "start the database, or set PGPASSWORD"
    )
    return StorageError(f"study.storage is {place.storage}: it cannot be opened ({cause}); {hint}")


def cut_torn_line(file: Path) -> None:
    """Take off what a killed driver wrote of a last line: nothing could be read behind it.

    Args:
        file: A journal whose other lines could be read.
    """
    if not file.is_file():
        return
    content = file.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with file.open("r+b") as opened:
            opened.truncate(whole)


def _held_by_driver(file: Path) -> JournalFileOpenLock:
    from optuna.storages.journal import JournalFileOpenLock

    class HeldByDriver(JournalFileOpenLock):
        """Locks nothing: the one process that writes holds the sweep's lock all the time.

        Optuna's own is a file that a killed driver leaves behind, for which the next one would
        wait half a minute.
        """

        def acquire(self) -> bool:
            return True

        def release(self) -> None:
            pass

    return HeldByDriver(str(file))
