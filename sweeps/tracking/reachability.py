"""Reachability of what MLflow records in, asked without MLflow, and the errors of what is not.

MLflow takes seconds to import, and asks a database that is down for minutes.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import tempfile
from contextlib import closing
from pathlib import Path

from hsplid_core.errors import SaliencyError
from sweeps.spec.addresses import without_secrets
from sweeps.tracking.tracking_uri import is_server, sqlite_file

_ANSWER_S = 10.0
_MAX_CAUSE = 200  # characters of an error's text that say more than they hide
_MOST_BYTES = 500  # sqlite takes paths of 512, and has longer names for files beside one
REDELIVERY = "python -m sweeps.sync NAME --again delivers again what a sweep's journal keeps"


class TrackingError(SaliencyError, ConnectionError):
    """The tracking server cannot be used as it is."""


class ServerDownError(TrackingError):
    """The tracking server does not answer now; the same request may succeed later."""


def check_answers(uri: str) -> None:
    """Ask once whether something can be recorded somewhere.

    Args:
        uri: Tracking server or database. A sqlite file may be missing.

    Raises:
        ServerDownError: The server or the database does not answer, or lets nobody in.
        TrackingError: The file is no database, or the database's driver is not installed.
    """
    file = sqlite_file(uri)
    if file is not None:
        _check_file(file)
    elif is_server(uri):
        _ask_server(uri)
    else:
        _ask_database(uri)


def _check_file(file: Path) -> None:
    try:
        is_folder = stat.S_ISDIR(file.stat().st_mode)
    except FileNotFoundError:
        _check_room_for(file)
        return
    except OSError as error:
        raise TrackingError(f"MLflow's file {file} cannot be read: {error.strerror}") from error
    if is_folder:
        raise TrackingError(
            f"MLflow's file {file} is a folder: name a file in it, {file}/mlflow.db, for "
            "tracking.uri"
        )
    if not os.access(file, os.R_OK):
        raise TrackingError(f"MLflow's file {file} cannot be read: {os.strerror(errno.EACCES)}")
    # By sqlite alone: whoever else closes the file takes from this process's connections the locks
    # that they have on it, and another process then writes between.
    try:
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA schema_version")
    except sqlite3.OperationalError:
        return  # locked, or not to be written: told by MLflow, which opens it next
    except sqlite3.DatabaseError as error:
        raise TrackingError(damage(file)) from error


def _check_room_for(file: Path) -> None:
    """Refuse a file that could not be made: MLflow would try for minutes."""
    there = next(folder for folder in file.parents if folder.exists())
    try:
        if len(os.fsencode(file)) > _MOST_BYTES:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise TrackingError(
            f"MLflow's file {file} cannot be made ({error.strerror}): name another one for "
            "tracking.uri"
        ) from error


def damage(file: Path) -> str:
    """Say that MLflow's file is no database, and how its content comes back."""
    return (
        f"MLflow's file {file} is damaged (file is not a database): move it to another name; "
        f"{REDELIVERY}"
    )


def _ask_server(uri: str) -> None:
    import requests

    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=_ANSWER_S)
    except requests.exceptions.SSLError:
        return  # it answers, and which certificates are good enough is MLflow's to know
    except requests.RequestException as error:
        raise ServerDownError(
            f"MLflow at {without_secrets(uri)} does not answer: {_told(error)}"
        ) from error


def _ask_database(uri: str) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    patience = {"connect_timeout": int(_ANSWER_S)} if uri.startswith("postgresql") else {}
    shown = without_secrets(uri)
    try:
        create_engine(uri, poolclass=NullPool, connect_args=patience).connect().close()
    except ImportError as error:
        package = "pip install '.[postgres]'" if uri.startswith("postgresql") else "install it"
        raise TrackingError(
            f"MLflow's database {shown} needs a package ({error}): {package}"
        ) from error
    except SQLAlchemyError as error:
        cause = _told(getattr(error, "orig", None) or error)
        raise ServerDownError(
            f"MLflow's database {shown} cannot be opened ({cause}): start it, or set PGPASSWORD"
        ) from error


def _told(error: BaseException) -> str:
    line = " ".join(str(error).split())
    return line if len(line) <= _MAX_CAUSE else f"{line[:_MAX_CAUSE]}..."
