"""Spelling of file names: one name may be written in other bytes, another case or another suffix.

macOS stores an umlaut as two code points where others store one; Windows does not tell cases
apart; programs that convert pictures change suffixes.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

# What lies beside a picture under its name, and is none.
_NO_PICTURES = (".json", ".xml", ".txt", ".csv", ".yaml", ".yml")


def spelt(name: str) -> str:
    """The name in the one spelling that all its spellings share."""
    return unicodedata.normalize("NFC", name).casefold()


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Sort paths by their parts, in an order that does not depend on how umlauts are stored."""

    def key(path: Path) -> tuple[tuple[str, ...], str]:
        text = str(path)
        same = path if text.isascii() else Path(unicodedata.normalize("NFC", text))
        return same.parts, text

    return sorted(paths, key=key)


def readable(text: object) -> str:
    r"""Write a name so that it can be printed and stored, whatever bytes it is made of.

    Bytes that are no UTF-8 become `\udcXX`, Python's own mark for them.
    """
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")


def other_spelling(path: Path) -> Path | None:
    """Find a file that a missing one may be: of the same base name, in the same folder.

    Args:
        path: The missing file.

    Returns:
        A file whose name differs in case, normalisation, suffix or percent signs alone; None
        without one.
    """
    try:
        names = _names(path.parent, path.parent.stat().st_mtime_ns)
    except OSError:
        return None
    # Some tools write a name as in an address: a%201 for "a 1".
    stems = dict.fromkeys((spelt(path.stem), spelt(unquote(path.stem))))
    found = [name for stem in stems for name in names.get(stem, ())]
    return next((path.with_name(name) for name in found if name != path.name), None)


@functools.lru_cache(maxsize=16)
def _names(folder: Path, mtime_ns: int) -> dict[str, list[str]]:
    """Names of a folder's files but annotations, by base names, until the folder changes."""
    names: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in _NO_PICTURES:
            continue
        names.setdefault(spelt(path.stem), []).append(path.name)
    return names
