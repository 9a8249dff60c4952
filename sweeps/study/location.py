"""Location of a study: a file beside the sweep's results, or a PostgreSQL database.

A sweep's folder says where its study is, in a small file of its own, so that the study is found
again whatever a later command asks for.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from hsplid_core.errors import ConfigError, SaliencyError
from hsplid_core.files import replace_text
from sweeps.spec.study_url import FILE_KINDS

JOURNAL_FILE = "study.log"
SQLITE_FILE = "study.db"
_PLACE_FILE = "study.json"


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
        return self.storage not in FILE_KINDS


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


def expected_place(folder: Path, storage: str | None) -> StudyPlace:
    """Return the place of a folder's study, or where a new one would be.

    Args:
        folder: The sweep's folder.
        storage: What the spec says; None is a journal for a new study.
    """
    return find_place(folder) or StudyPlace(storage or "journal", folder.name)


def claim_place(folder: Path, storage: str | None) -> StudyPlace:
    """Return the place of a folder's study, and note it down for a new one.

    Args:
        folder: The sweep's folder, which exists.
        storage: What the spec says; None goes on with what the folder has.

    Raises:
        ConfigError: The study is somewhere else already.
    """
    place = expected_place(folder, storage)
    if storage not in (None, place.storage):
        raise ConfigError(
            f"study.storage is {storage}, but the study in {folder} is kept in {place.storage}: "
            f"set study.storage={place.storage}, or add --fresh to start another study"
        )
    if find_place(folder) is None:
        replace_text(folder / _PLACE_FILE, json.dumps(asdict(place)))
    return place
