"""Storage folder that was copied or moved: what a sweep wrote down below it, where that is now.

A sweep's folder names places by full paths, in ``spec.yaml``, ``about.json`` and its journal.
Those below the storage of that time are read as places below the storage that the folder lies in
today, so that a copy works by itself, and without touching what it was copied from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from hsplid_core.errors import ConfigError
from sweeps.spec.yaml_reader import read_mapping

SPEC_FILE = "spec.yaml"
ABOUT_FILE = "about.json"
CONFIRMATIONS_FOLDER = "confirm"
WRITTEN_ANEW = (
    "this copy of the sweep's spec is written anew when the sweep is run again as it was begun"
)

# In front of a path, in what a sweep writes down: a database, an artifact's address. Paths are
# quoted there, as URLs want it, which earlier versions did not do for databases.
_SCHEMES = ("sqlite+pysqlite:///", "sqlite:///", "file://")


@dataclass(frozen=True)
class StorageMove:
    """Where a storage folder was when something was written down, and where it is.

    Attributes:
        before: Its absolute path then.
        now: Its absolute path.
    """

    before: Path
    now: Path

    def text(self, text: str) -> str:
        """Return a path or address as it is now; any other text stays as it is."""
        for scheme in _SCHEMES:
            if text.startswith(scheme):
                path = text.removeprefix(scheme)
                moved = self._path(path) or self._path(unquote(path))
                return text if moved is None else scheme + quote(moved, safe="/ ")
        return self._path(text) or text

    def _path(self, text: str) -> str | None:
        before = str(self.before)
        if text == before or text.startswith(f"{before}/"):
            return str(self.now) + text.removeprefix(before)
        return None

    def values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return JSON-able values with all texts in them as they are now."""
        return {key: self._value(value) for key, value in values.items()}

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return self.values(value)
        return [self._value(each) for each in value] if isinstance(value, list) else value


def storage_around(folder: Path) -> Path:
    """Return the folder of all sweeps that a sweep's folder lies in, absolute.

    Args:
        folder: The folder of a sweep, or of a seed of its confirmation.
    """
    place = folder.absolute().parent
    return place.parent.parent if place.name == CONFIRMATIONS_FOLDER else place


def move_of(folder: Path) -> StorageMove | None:
    """Say from where to where a sweep's folder was moved with its storage, if it was.

    Args:
        folder: The sweep's folder.

    Raises:
        ConfigError: Its spec cannot be read.
    """
    file = folder / SPEC_FILE
    return _move_from(_stored(file).get("storage"), folder) if file.is_file() else None


def _move_from(written: object, folder: Path) -> StorageMove | None:
    # What is in a bucket has a full address that stays; what is relative names no other place.
    if not isinstance(written, str) or not Path(written).is_absolute():
        return None
    before, now = Path(written), storage_around(folder)
    # A link to the same folder is no other place.
    same = before == now or (before.exists() and before.samefile(now))
    return None if same else StorageMove(before, now)


def read_spec_file(file: Path) -> dict[str, Any]:
    """Read the mapping in a spec's YAML file; one in a sweep's folder names places as of now.

    Raises:
        ConfigError: The file cannot be read, or holds no mapping.
    """
    if file.name != SPEC_FILE or not (file.parent / ABOUT_FILE).is_file():
        return read_mapping(file)
    values = _stored(file)
    move = _move_from(values.get("storage"), file.parent)
    return values if move is None else move.values(values)


def _stored(file: Path) -> dict[str, Any]:
    """Read the spec that a sweep has written down, which nobody else has a reason to mend."""
    try:
        return read_mapping(file)
    except ConfigError as error:
        raise ConfigError(f"{error}; {WRITTEN_ANEW}") from error
