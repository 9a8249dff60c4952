"""Checksums of a cache file, by which a machine verifies it once, before it is first read there.

Beside the file lies another one with the CRC-32 of each record batch. That a machine has found
them right is remembered in its temporary folder, for this very content: a file that was written
to, copied or built again is verified anew, and so is every file after a restart that empties the
folder. Checksums tell accidents. Whoever may write to the file may write to them, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import stat
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from hsplid_core.data.cache.file_format import CacheFile, InvalidCacheError, open_cache
from hsplid_core.data.workers import Workers
from hsplid_core.errors import DataError
from hsplid_core.files import locked, map_in_threads, replacing

logger = logging.getLogger(__name__)

_READ_BYTES = 4 * 2**20
_PART_BYTES = 16 * 2**20


class Part(NamedTuple):
    """A part of a cache file: its schema, a record batch, its end.

    Attributes:
        n_bytes: Its length, at least 1; parts lie one behind the other.
        checksum: CRC-32 of its bytes.
    """

    n_bytes: int
    checksum: int

    @classmethod
    def of(cls, content: bytes) -> Part:
        """Return the part that these bytes are."""
        return cls(len(content), zlib.crc32(content))


def checksums_file(path: Path) -> Path:
    """Return where the checksums of a cache file lie."""
    return path.with_name(f"{path.name}.crc32")


def write_checksums(path: Path, parts: Sequence[Part]) -> None:
    """Write the checksums of a cache file.

    Args:
        path: The cache file.
        parts: All parts of it, in order.

    Raises:
        OSError: They can't be written.
    """
    with replacing(checksums_file(path)) as file:
        file.write(json.dumps([list(part) for part in parts]).encode())


def open_verified(path: Path) -> CacheFile:
    """Map a cache file into memory, and see that it is what was written.

    Args:
        path: The cache file.

    Raises:
        InvalidCacheError: It is damaged, foreign, or of another version.
        FileNotFoundError: There is no such file.
    """
    cache = open_cache(path)
    _verify(path)
    return cache


def _verify(path: Path) -> None:
    """Compare a cache file with its checksums, unless this machine has done so before.

    For a file of an earlier version, which wrote none, they are written as it is now.
    """
    try:
        sums = checksums_file(path).read_bytes()
    except FileNotFoundError:
        _write_missing(path)
        return
    except OSError as error:
        raise InvalidCacheError(
            f"{checksums_file(path)} cannot be read ({error.strerror})"
        ) from error
    note = _Note(path, sums)
    if note.is_there():
        return
    with note.locked():
        if note.is_there():  # another process of this machine has done it in the meantime
            return
        logger.info("verifying %s", path)
        _compare(path, sums)
        note.write()


def note_verified(path: Path) -> None:
    """Remember that this machine need not verify a cache file, which it has just written."""
    _Note(path, checksums_file(path).read_bytes()).write()


def _compare(path: Path, sums: bytes) -> None:
    try:
        parts = [Part(int(n_bytes), int(checksum)) for n_bytes, checksum in json.loads(sums)]
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise InvalidCacheError(f"{checksums_file(path)} is damaged ({error})") from error
    found = _parts_of(path, [part.n_bytes for part in parts])
    bad = [number for number, part in enumerate(parts) if part != next(found)]
    whole = sum(part.n_bytes for part in parts) == path.stat().st_size
    if bad or not whole:
        raise InvalidCacheError(
            f"{path} is damaged: {len(bad) or 'none'} of its {len(parts)} parts differ from their "
            f"checksums{'' if whole else ', and it has another length'}"
        )


def _write_missing(path: Path) -> None:
    size = path.stat().st_size
    full, rest = divmod(size, _PART_BYTES)
    lengths = [_PART_BYTES] * full + [rest] * bool(rest)
    logger.warning(
        "%s has no checksums, which earlier versions did not write: they are written as it is now",
        path,
    )
    try:
        write_checksums(path, list(_parts_of(path, lengths)))
        note_verified(path)
    except OSError as error:
        logger.warning("the checksums of %s cannot be written: %s", path, error)


def _parts_of(path: Path, lengths: Sequence[int]) -> Iterator[Part]:
    """Read parts of given lengths, several at a time: a disk and a CPU have more than one lane."""
    with path.open("rb") as file:

        def part_at(place: tuple[int, int]) -> Part:
            start, n_bytes = place
            checksum, read = 0, 0
            while read < n_bytes:
                content = os.pread(file.fileno(), min(_READ_BYTES, n_bytes - read), start + read)
                if not content:
                    break
                checksum = zlib.crc32(content, checksum)
                read += len(content)
            return Part(read, checksum)

        starts = accumulate(lengths, initial=0)
        yield from map_in_threads(part_at, zip(starts, lengths, strict=False), Workers().count)


class _Note:
    """Note of this machine that a file is what its checksums say."""

    def __init__(self, path: Path, sums: bytes) -> None:
        file = path.stat()
        content = (file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, zlib.crc32(sums))
        self._content = " ".join(map(str, content))
        # A machine has a temporary folder of its own; the user is in the name.
        folder = Path(tempfile.gettempdir()) / f"saliency-sweeps-{os.getuid()}"
        name = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:20]
        self._file = folder / f"{name}.verified"

    def is_there(self) -> bool:
        try:
            self._check_folder()
            return self._file.read_text() == self._content
        except OSError:
            return False

    def write(self) -> None:
        """Write it; where that cannot be, the file is verified again by the next process."""
        try:
            self._make_folder()
            with replacing(self._file) as file:
                file.write(self._content.encode())
        except OSError as error:
            logger.debug("could not remember that a cache is verified: %s", error)

    def _make_folder(self) -> None:
        self._file.parent.mkdir(mode=0o700, exist_ok=True)
        self._check_folder()

    def _check_folder(self) -> None:
        """Refuse a folder that another user has made, or has led elsewhere by a link."""
        folder = self._file.parent.lstat()
        if not stat.S_ISDIR(folder.st_mode) or folder.st_uid != os.getuid():
            raise PermissionError(f"{self._file.parent} is somebody else's")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes of this machine from reading the whole file, too."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError, DataError):
                self._make_folder()
                stack.enter_context(locked(self._file.with_suffix(".lock"), "TMPDIR"))
            yield
