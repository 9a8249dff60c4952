"""Database of MLflow that was copied or moved with its artifacts: its addresses follow it.

MLflow keeps the full address of every artifact, and has no way to change one. Left alone, a copy
of a storage folder would read its pictures and models from the original's folder, and write there.
So this writes into MLflow's own tables; a test finds the columns where they are expected.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

ARTIFACTS_FOLDER = "mlartifacts"
"""Folder of the artifacts, beside the database."""

ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables and columns with addresses of artifacts."""


def follow_move(database: Path) -> None:
    """Let a database that lies elsewhere than it was made name the artifacts that lie beside it.

    Args:
        database: MLflow's sqlite file; one that is missing, or is none, is left alone.
    """
    if not database.is_file():
        return
    here = database.parent / ARTIFACTS_FOLDER
    try:
        with closing(sqlite3.connect(database)) as connection:
            rows = connection.execute("SELECT artifact_location FROM experiments").fetchall()
            known = {address for (address,) in rows if address is not None}
            # Otherwise it was at home here, and what lies elsewhere is somebody else's.
            if here.as_uri() not in known:
                for address in sorted(known):
                    if _is_moved(address, here):
                        _replace(connection, address, here.as_uri())
                connection.commit()
    except sqlite3.Error:
        return  # told by MLflow, which reads it next


def _is_moved(address: str, here: Path) -> bool:
    """Tell whether an address is that of a folder like ours, in another place."""
    parts = urlsplit(address)
    there = Path(unquote(parts.path))
    if parts.scheme != "file" or there.name != ARTIFACTS_FOLDER or there == here:
        return False
    if not there.is_dir():
        return True
    # A link to the same folder is no other place; and artifacts that were not copied stay there.
    return here.is_dir() and not there.samefile(here)


def _replace(connection: sqlite3.Connection, before: str, now: str) -> None:
    for table, column in ADDRESSES:
        connection.execute(
            f'UPDATE "{table}" SET "{column}" = ? || substr("{column}", ?) '
            f'WHERE "{column}" = ? OR substr("{column}", 1, ?) = ?',
            (now, len(before) + 1, before, len(before) + 1, f"{before}/"),
        )
