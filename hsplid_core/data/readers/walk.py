"""Walk of a folder: the one way in which files of a data set are found.

Listing, stamp and check see the same files, so that none of them counts what another leaves out.
Links to folders are followed, but never back into a folder that they lie in. What operating
systems and editors leave behind (hidden files, `Thumbs.db`, `__MACOSX`, ...) is no part of a data
set; it is found apart, to be counted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from hsplid_core.data.readers.spelling import in_order

_LEFTOVERS = frozenset(
    {
        *("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir"),
        *("$recycle.bin", "system volume information", "lost+found", "__pycache__"),
    }
)


class Found(NamedTuple):
    """Something that a folder holds.

    Attributes:
        path: Below the folder that was asked for, as it was named; links are not resolved.
        kind: `leftover` is a hidden file or folder, or one of those that systems leave behind;
            `broken` a link to nothing; `loop` a link back to a folder around it; `closed` a
            folder that may not be read.
    """

    path: Path
    kind: Literal["file", "leftover", "broken", "loop", "closed"]


def is_leftover(name: str) -> bool:
    """Whether a name is hidden, or one that systems and editors leave behind."""
    return name.startswith(".") or name.casefold() in _LEFTOVERS


def walk(folder: Path) -> Iterator[Found]:
    """Find everything in a folder and in the folders below it, always in the same order.

    Args:
        folder: May be missing, which counts as empty.

    Yields:
        Files, and what could not be one; folders only where they are not entered.
    """
    if folder.is_dir():
        yield from _walk(folder, ())


def folders_in(folder: Path) -> list[Path]:
    """Folders directly in a folder, links to folders among them and leftovers not, in order."""
    return in_order(
        path for path in folder.iterdir() if not is_leftover(path.name) and path.is_dir()
    )


def _walk(folder: Path, around: tuple[tuple[int, int], ...]) -> Iterator[Found]:
    try:
        status = folder.stat()
        with os.scandir(folder) as entries:
            found = {folder / entry.name: entry for entry in entries}
    except OSError:
        yield Found(folder, "closed")
        return
    identity = status.st_dev, status.st_ino
    if identity in around:
        yield Found(folder, "loop")
        return
    for path in in_order(found):
        entry = found[path]
        if is_leftover(path.name):
            yield Found(path, "leftover")
        elif _is_folder(entry):
            yield from _walk(path, (*around, identity))
        else:
            # A link in a circle with itself exists as little as what a broken one leads to.
            broken = entry.is_symlink() and not path.exists()
            yield Found(path, "broken" if broken else "file")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circle of links
        return False
