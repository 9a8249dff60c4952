"""A cache file that is being built, and that a killed builder leaves in a state to go on from.

Two files lie beside the final name: the rows, an Arrow stream without its end, and a journal with
a line for each record batch in it. A batch counts once its line is written; what lies behind the
last counted batch is cut off.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from hsplid_core.data.cache.checksums import Part, note_verified, write_checksums
from hsplid_core.data.cache.file_format import END_OF_STREAM, Header
from hsplid_core.data.cache.record_batches import EncodedRows
from hsplid_core.files import sync_folder

logger = logging.getLogger(__name__)

_READ_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A line of the journal: the fields of `EncodedRows`, and the message's size."""

    stop: int
    n_bytes: int
    checksum: int
    n_rows: int
    skipped: dict[str, int]


class PartialCache:
    """Rows of a cache that is not whole yet; the caller holds the cache's lock.

    Args:
        path: The final name.
        header: The cache's header.

    Attributes:
        next_candidate: Index of the first candidate that is still to be decoded.
        n_rows: Rows written.
        skipped: Why candidates were left out, and how many.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self._path = path
        self._rows_file, self._journal_file = _files(path)
        self._schema = header.schema().serialize().to_pybytes()
        self.next_candidate = 0
        self.n_rows = 0
        self.skipped: Counter[str] = Counter()
        self._parts = [Part.of(self._schema)]

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Take up what an earlier builder left, and hold the files open for appending.

        Raises:
            OSError: They can't be written.
        """
        self._rows_file.touch()
        self._journal_file.touch()
        with self._rows_file.open("r+b") as rows, self._journal_file.open("r+b") as journal:
            self._take_up(rows, journal)
            self._rows, self._journal = rows, journal
            yield

    def append(self, encoded: EncodedRows) -> None:
        """Add a record batch; it counts once this returns.

        Raises:
            OSError: The disk is full.
        """
        entry = _Entry(
            stop=encoded.stop,
            n_bytes=encoded.message.size,
            checksum=encoded.checksum,
            n_rows=encoded.n_rows,
            skipped=encoded.skipped,
        )
        self._rows.write(encoded.message)
        self._rows.flush()
        self._journal.write(json.dumps(asdict(entry)).encode() + b"\n")
        self._journal.flush()
        self._count(entry)

    def finish(self) -> None:
        """Close the stream, and give the file its final name, and its checksums.

        Raises:
            OSError: The disk is full.
        """
        self._rows.write(END_OF_STREAM)
        self._rows.flush()
        os.fsync(self._rows.fileno())
        write_checksums(self._path, [*self._parts, Part.of(END_OF_STREAM)])
        self._rows_file.replace(self._path)
        sync_folder(self._path.parent)
        note_verified(self._path)
        self._journal_file.unlink()

    def discard(self) -> None:
        """Delete what was written."""
        self._rows_file.unlink(missing_ok=True)
        self._journal_file.unlink(missing_ok=True)

    def _take_up(self, rows: IO[bytes], journal: IO[bytes]) -> None:
        n_bytes, journal_bytes = 0, 0
        if rows.read(len(self._schema)) == self._schema:
            n_bytes = len(self._schema)
            for line in journal:
                entry = _parsed(line)
                if entry is None or _checksum(rows, entry.n_bytes) != entry.checksum:
                    break
                n_bytes += entry.n_bytes
                journal_bytes += len(line)
                self._count(entry)
        if self.next_candidate:
            logger.info(
                "going on with %s: %d rows are there already", self._rows_file, self.n_rows
            )
        for handle, size in ((rows, n_bytes), (journal, journal_bytes)):
            handle.truncate(size)
            handle.seek(size)
        if n_bytes == 0:
            rows.write(self._schema)

    def _count(self, entry: _Entry) -> None:
        self.next_candidate = entry.stop
        self.n_rows += entry.n_rows
        self.skipped.update(entry.skipped)
        if entry.n_bytes:
            self._parts.append(Part(entry.n_bytes, entry.checksum))


def _files(path: Path) -> tuple[Path, Path]:
    return path.with_name(f"{path.name}.partial"), path.with_name(f"{path.name}.journal")


def _parsed(line: bytes) -> _Entry | None:
    """Read a line of the journal; None for the torn last one of a killed builder."""
    try:
        return _Entry(**json.loads(line)) if line.endswith(b"\n") else None
    except (ValueError, TypeError):
        return None


def _checksum(rows: IO[bytes], n_bytes: int) -> int | None:
    """CRC-32 of the next bytes; None if there are fewer."""
    checksum = 0
    while n_bytes:
        content = rows.read(min(_READ_BYTES, n_bytes))
        if not content:
            return None
        checksum = zlib.crc32(content, checksum)
        n_bytes -= len(content)
    return checksum
