"""Lock of a sweep: one driver at a time, on one machine or over a database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import Timeout

from hsplid_core.errors import SaliencyError
from hsplid_core.files import locked, make_folder
from sweeps.study.database import database_url, no_database
from sweeps.study.location import StudyPlace, expected_place

_LOCK = "driver.lock"


class SweepBusyError(SaliencyError):
    """Another process runs the same sweep."""


@contextmanager
def sole_driver(folder: Path, storage: str | None = None) -> Iterator[None]:
    """Hold a sweep's lock; the system lets go of it when the process ends, however it ends.

    A study in a database is locked there as well: two machines may share it without a folder.

    Args:
        folder: The sweep's folder; created where there is none.
        storage: Where the spec keeps the study, where it says so.

    Raises:
        SweepBusyError: Another process holds it.
        DataError: The folder cannot be made or written.
        StorageError: The database does not answer.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    # Its checkpoints and study are nobody else's; a user may open it to others later.
    make_folder(folder, "storage", mode=0o700)
    place = expected_place(folder, storage)
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / _LOCK, "storage", wait=False))
        except Timeout:
            raise _busy(str(folder)) from None
        try:
            if place.in_database:
                stack.enter_context(_locked_in_database(place))
            yield
        except BaseException:
            _take_back(made)
            raise


def _take_back(made: Sequence[Path]) -> None:
    """Remove folders that were made for a sweep, if it has not come to write anything there."""
    with suppress(OSError):  # it is gone, or its storage has something else by now
        if made and [file.name for file in made[0].iterdir()] == [_LOCK]:
            (made[0] / _LOCK).unlink()
            for folder in made:
                folder.rmdir()


@contextmanager
def _locked_in_database(place: StudyPlace) -> Iterator[None]:
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    # The lock belongs to the connection, so it ends with this process, too.
    try:
        engine = create_engine(
            database_url(place), poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        connection = engine.connect()
        asked = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
        locked = connection.execute(asked, {"name": f"sweep {place.name}"}).scalar()
    except (SQLAlchemyError, ImportError) as error:
        raise no_database(place, error) from error
    with connection:
        if not locked:
            raise _busy(f"the study {place.name} in {place.storage}")
        yield


def _busy(what: str) -> SweepBusyError:
    return SweepBusyError(
        f"{what} is in use: another process runs this sweep; wait for it, stop it, or "
        "add --fresh to start another study"
    )
