"""Where a study is kept: a file beside the sweep's results, or a PostgreSQL database.

A sweep's folder says where its study is, in a small file of its own, so that the study is found
again whatever a later command asks for.
"""

from __future__ import annotations

import difflib
import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsplid_core.errors import ConfigError, SaliencyError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from sqlalchemy import Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection

SQLITE_FILE = "study.db"
JOURNAL_FILE = "study.log"
_PLACE_FILE = "study.json"
_KINDS = ("sqlite", "journal")
_LOCAL = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlay")
_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")


class SweepBusyError(SaliencyError):
    """Another process runs the same sweep."""


class StorageError(SaliencyError):
    """The database of a study does not answer, or cannot be used."""


@dataclass(frozen=True)
class StudyPlace:
    """Where a study is.

    Attributes:
        storage: ``sqlite``, ``journal`` or a database's URL.
        name: The study's name there.
    """

    storage: str
    name: str

    @property
    def in_database(self) -> bool:
        """Whether the study is in a database server instead of a file."""
        return self.storage not in _KINDS


def check_storage(text: str) -> str:
    """Check what a spec says about the study's storage, and return it.

    Raises:
        ConfigError: It is neither a known kind nor the URL of a PostgreSQL database, or holds a
            password.
    """
    if text in _KINDS:
        return text
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in _POSTGRES:
        near = difflib.get_close_matches(text, _KINDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"storage is {_without_password(text)}: use sqlite, journal or "
            f"postgresql://user@host/database{hint}"
        )
    user, at, _ = rest.rpartition("@")
    if (at and ":" in user) or "password=" in rest:
        raise ConfigError(
            f"storage is {_without_password(text)}, with a password: take it out, for the spec is "
            "logged; set PGPASSWORD, or PGPASSFILE to a password file"
        )
    return text


def _without_password(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    credentials, at, address = rest.rpartition("@")
    if not separator or not at:
        return scheme + separator + rest.partition("?")[0]
    return f"{scheme}://{credentials.partition(':')[0]}@{address.partition('?')[0]}"


def find_place(folder: Path) -> StudyPlace | None:
    """Say where the study of a sweep's folder is; None where the sweep has not begun.

    Raises:
        StorageError: The folder's own note of it cannot be read.
    """
    file = folder / _PLACE_FILE
    if file.is_file():
        try:
            return StudyPlace(**json.loads(file.read_text()))
        except (ValueError, TypeError) as error:
            raise StorageError(f"{file} is damaged ({error}): delete {folder}") from error
    # Studies from before that note: a file, with the sweep's own name.
    return StudyPlace("sqlite", folder.name) if (folder / SQLITE_FILE).is_file() else None


def claim_place(folder: Path, storage: str) -> StudyPlace:
    """Return the place of a folder's study, and note it down for a new one.

    Args:
        folder: The sweep's folder, which exists.
        storage: What the spec says.

    Raises:
        ConfigError: The study is somewhere else already.
    """
    place = find_place(folder)
    if place is None:
        place = StudyPlace(storage, folder.name)
        temporary = folder / f".{_PLACE_FILE}"
        temporary.write_text(json.dumps(asdict(place)))
        temporary.replace(folder / _PLACE_FILE)
    if place.storage != storage:
        raise ConfigError(
            f"study.storage is {storage}, but the study in {folder} is kept in {place.storage}: "
            f"set study.storage={place.storage}, or add --fresh to start another study"
        )
    return place


def open_storage(folder: Path, place: StudyPlace, *, writes: bool) -> BaseStorage:
    """Open a study's storage; a file is created where there is none.

    Args:
        folder: The sweep's folder.
        place: Where its study is.
        writes: Whether this is the driver, which alone may mend a file.

    Raises:
        StorageError: The database does not answer, or its driver is not installed.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend

    if place.storage == "sqlite":
        storage = optuna.storages.RDBStorage(f"sqlite:///{folder / SQLITE_FILE}")
        if writes and is_local(folder):
            _write_ahead(storage.engine)
        return storage
    if place.storage == "journal":
        file = folder / JOURNAL_FILE
        if writes:
            _cut_torn_line(file)
        backend = JournalFileBackend(str(file), lock_obj=_held_by_driver())
        return optuna.storages.JournalStorage(backend)
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    # A reader keeps no connection: it asks a few times, and a server has only so many.
    options = {"pool_pre_ping": True} if writes else {"poolclass": NullPool}
    try:
        return optuna.storages.RDBStorage(_database_url(place), engine_kwargs=options)
    except (SQLAlchemyError, ImportError) as error:
        raise _no_database(place, error) from error


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


def is_local(folder: Path) -> bool:
    """Tell whether a folder is surely on a disk of this machine.

    Sqlite's write-ahead log needs memory that all processes share, so a study on a network's
    file system must do without, as must one of which this is not known.

    Args:
        folder: Exists.
    """
    mounts = Path("/proc/self/mounts")
    if not mounts.is_file():
        return False
    fields = [line.split() for line in mounts.read_text().splitlines()]
    here = folder.resolve()
    around = [(Path(mounted), kind) for _, mounted, kind, *_ in fields]
    holding = [(len(path.parts), kind) for path, kind in around if here.is_relative_to(path)]
    # Of several at the same place the last one hides the others.
    return bool(holding) and max(reversed(holding), key=lambda found: found[0])[1] in _LOCAL


def _database_url(place: StudyPlace) -> str:
    return "postgresql+psycopg://" + place.storage.partition("://")[2]


def _no_database(place: StudyPlace, error: Exception) -> StorageError:
    cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    hint = (
        "pip install 'saliency-sweeps[postgres]'"
        if isinstance(error, ImportError)
        else "start the database, or set PGPASSWORD"
    )
    return StorageError(f"study.storage is {place.storage}: it cannot be opened ({cause}); {hint}")


def _cut_torn_line(file: Path) -> None:
    """Take off what a killed driver wrote of a last line: nothing could be read behind it."""
    if not file.is_file():
        return
    content = file.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with file.open("r+b") as opened:
            opened.truncate(whole)


def _held_by_driver() -> Any:
    from optuna.storages.journal._file import BaseJournalFileLock

    class HeldByDriver(BaseJournalFileLock):
        """Locks nothing: the one process that writes holds the sweep's lock all the time."""

        def acquire(self) -> bool:
            return True

        def release(self) -> None:
            pass

    return HeldByDriver()


@contextmanager
def sole_driver(folder: Path, storage: str = "sqlite") -> Iterator[None]:
    """Hold a sweep's lock; the system lets go of it when the process ends, however it ends.

    A study in a database is locked there as well: two machines may share it without a folder.

    Args:
        folder: The sweep's folder; created where there is none.
        storage: Where the spec keeps the study.

    Raises:
        SweepBusyError: Another process holds it.
        StorageError: The database does not answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = find_place(folder) or StudyPlace(storage, folder.name)
    with (folder / "driver.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy(str(folder)) from None
        if not place.in_database:
            yield
            return
        with _locked_in_database(place):
            yield


@contextmanager
def _locked_in_database(place: StudyPlace) -> Iterator[None]:
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    # The lock belongs to the connection, so it ends with this process, too.
    try:
        engine = create_engine(
            _database_url(place), poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        connection = engine.connect()
        asked = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
        locked = connection.execute(asked, {"name": f"sweep {place.name}"}).scalar()
    except (SQLAlchemyError, ImportError) as error:
        raise _no_database(place, error) from error
    with connection:
        if not locked:
            raise _busy(f"the study {place.name} in {place.storage}")
        yield


def _busy(what: str) -> SweepBusyError:
    return SweepBusyError(
        f"{what} is in use: another process runs this sweep; wait for it, stop it, or "
        "add --fresh to start another study"
    )
