"""Location of a study: a file beside the sweep's results, or a PostgreSQL database.

A sweep's folder says where its study is and whose it is, in a small file of its own, so that the
study is found again whatever a later command asks for. The note can be lost without harm: what it
says follows from the study's file and from ``spec.yaml``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hsplid_core.errors import ConfigError, SaliencyError
from hsplid_core.files import read_json, replace_text
from sweeps.spec.moved_storage import ABOUT_FILE, SPEC_FILE
from sweeps.spec.study_url import FILE_KINDS, check_storage
from sweeps.spec.yaml_reader import read_mapping

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
        sweep: Name of the sweep whose study it is; None where an earlier version has not said.
        number: Which of that sweep's studies it is, from 1.
    """

    storage: str
    name: str
    sweep: str | None = None
    number: int = 1

    @property
    def in_database(self) -> bool:
        """Whether the study is in a database server instead of a file."""
        return self.storage not in FILE_KINDS

    def file_in(self, folder: Path) -> Path:
        """Return the file that holds the study.

        Args:
            folder: The sweep's folder.
        """
        return folder / {"journal": JOURNAL_FILE, "sqlite": SQLITE_FILE}[self.storage]


def holds_sweep(folder: Path) -> bool:
    """Tell whether a folder is a sweep's, with or without a study that can be found."""
    files = (_PLACE_FILE, JOURNAL_FILE, SQLITE_FILE, ABOUT_FILE)
    return any((folder / name).exists() for name in files)


def find_place(folder: Path) -> StudyPlace | None:
    """Say where the study of a sweep's folder is; None where the sweep has not begun.

    A note that is lost or damaged is made up for from the other files.

    Raises:
        StorageError: The folder had a note, and nothing else in it says where the study is.
    """
    noted = _noted(folder)
    if noted is not None and (noted.in_database or noted.file_in(folder).exists()):
        return noted
    for storage, name in (("journal", JOURNAL_FILE), ("sqlite", SQLITE_FILE)):
        if (folder / name).exists():
            return _owned(folder, storage)
    if noted is not None:
        return noted
    if not holds_sweep(folder):
        return None
    spec = _spec(folder)
    if not spec and not (folder / ABOUT_FILE).exists():
        raise StorageError(
            f"{folder / _PLACE_FILE}, which says where the study is, is damaged, and neither "
            f"{JOURNAL_FILE} nor {SQLITE_FILE} is beside it: put one of them back, or write "
            f'{{"storage": "postgresql://user@host/db", "name": "{folder.name}"}} into it'
        )
    return _owned(folder, _named_storage(spec) or "journal")


def _noted(folder: Path) -> StudyPlace | None:
    try:
        note = read_json(folder / _PLACE_FILE)
        number = note.get("number", 1)
        place = StudyPlace(check_storage(note["storage"]), note["name"], note.get("sweep"), number)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    fits = isinstance(place.name, str) and isinstance(place.sweep, str | None)
    return place if fits and isinstance(number, int) else None


def _spec(folder: Path) -> Mapping[str, Any]:
    with suppress(ConfigError, OSError, ValueError):
        return read_mapping(folder / SPEC_FILE)
    return {}


def _named_storage(spec: Mapping[str, Any]) -> str | None:
    with suppress(LookupError, ConfigError, TypeError, AttributeError):
        return check_storage(spec["study"]["storage"])
    return None


def _owned(folder: Path, storage: str) -> StudyPlace:
    """Make a place of a folder without a note, and of the spec beside it, if there is one."""
    sweep = _spec(folder).get("name")
    if not isinstance(sweep, str):
        return StudyPlace(storage, folder.name)
    return StudyPlace(storage, folder.name, sweep, number_of(folder, sweep) or 1)


def _owner(folder: Path) -> StudyPlace:
    """Say whose study a folder holds; earlier versions' notes do not, but the spec beside them."""
    noted = _noted(folder)
    return noted if noted is not None and noted.sweep is not None else _owned(folder, "journal")


def number_of(folder: Path, sweep: str) -> int | None:
    """Read from a folder's name which of a sweep's studies it would hold; None where none."""
    found = re.fullmatch(rf"{re.escape(sweep)}(?:-([2-9]|[1-9]\d+))?", folder.name)
    return None if found is None else int(found[1] or 1)


def is_study_of(folder: Path, sweep: str) -> bool:
    """Tell whether a folder belongs to a sweep, and not to another one with a similar name.

    Args:
        folder: A folder with the sweep's name, or with that and a number.
        sweep: The sweep's name.
    """
    number = number_of(folder, sweep)
    if number is None or not holds_sweep(folder):
        return False
    owner = _owner(folder)
    if owner.sweep is None:  # before specs were kept
        return number == 1
    return (owner.sweep, owner.number) == (sweep, number)


def expected_place(folder: Path, storage: str | None) -> StudyPlace:
    """Return the place of a folder's study, or where a new one would be.

    Args:
        folder: The sweep's folder.
        storage: What the spec says; None is a journal for a new study.
    """
    return find_place(folder) or StudyPlace(storage or "journal", folder.name)


def claim_place(folder: Path, storage: str | None, sweep: str) -> StudyPlace:
    """Return the place of a folder's study, and note it down where that is not done.

    Args:
        folder: The sweep's folder, which exists.
        storage: What the spec says; None goes on with what the folder has.
        sweep: Name of the sweep.

    Raises:
        ConfigError: The study is somewhere else already, or another sweep's.
    """
    place = expected_place(folder, storage)
    if storage not in (None, place.storage):
        raise ConfigError(
            f"study.storage is {storage}, but the study in {folder} is kept in {place.storage}: "
            f"set study.storage={place.storage}, or add --fresh to start another study"
        )
    check_owner(folder, sweep)
    place = replace(place, sweep=sweep, number=number_of(folder, sweep) or 1)
    note_place(folder, place)
    return place


def note_place(folder: Path, place: StudyPlace) -> None:
    """Write down where a folder's study is, unless that is there already.

    Raises:
        StorageError: It cannot be written.
    """
    if _noted(folder) == place:
        return
    file = folder / _PLACE_FILE
    try:
        replace_text(file, json.dumps(asdict(place)))
    except OSError as error:
        raise StorageError(
            f"{file} cannot be written ({error.strerror}): free the disk, or move away what has "
            "its name"
        ) from error


def check_owner(folder: Path, sweep: str) -> None:
    """Refuse a folder that is another sweep's.

    Raises:
        ConfigError: It is.
    """
    owner = _owner(folder)
    if holds_sweep(folder) and owner.sweep not in (None, sweep):
        raise ConfigError(
            f"name is {sweep}, but {folder} holds study {owner.number} of the sweep "
            f"{owner.sweep}: give another name, or another storage=FOLDER"
        )
