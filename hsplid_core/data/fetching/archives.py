"""Unpack an archive: whole or not at all, and nothing outside its folder."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

from hsplid_core.errors import DataError

_READ_BYTES = 2**20
_END_MARK_BYTES = 1024
_ENCRYPTED = 0x1  # bit of a zip member's flags
# No published data set unpacks to so many times its size: pictures hardly compress, and text in
# JSON does by about ten. More is a bomb, or the wrong file.
_MAX_RATIO = 64
_ALWAYS_ALLOWED_BYTES = 16 * 2**20

FilesDone = Callable[[int, int | None], None]
"""Is told how many files are unpacked, and how many there are if that is known."""


def unpack(
    archive: Path, folder: Path, *, prefixes: tuple[str, ...] = (), progress: FilesDone
) -> None:
    """Unpack a zip or a tar, compressed or not, into a folder that does not exist yet.

    Args:
        archive: The file; its name tells the kind.
        folder: Created; removed again if the archive is damaged.
        prefixes: Beginnings of the names that are wanted; none wants all.
        progress: Told about every file.

    Raises:
        DataError: The archive is damaged, encrypted or half-downloaded, holds names that lead out
            of the folder or far more than its size lets expect, or the disk is full. The folder is
            not there then.
    """
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    folder.mkdir(parents=True)
    try:
        members = _unzip if archive.suffix == ".zip" else _untar
        total = None
        for done, total in members(archive, folder, prefixes):
            progress(done, total)
        if total is None:
            raise DataError(f"{archive} must hold {' or '.join(prefixes) or 'files'}, got none")
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        gzip.BadGzipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        KeyError,  # a hard link to what the archive does not hold
    ) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise DataError(
            f"{archive} must be a whole archive ({error}): it is damaged or only half "
            "downloaded; delete it and fetch it again"
        ) from error
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise DataError(
            f"{archive} must be a whole archive, and its folder must have room to unpack it "
            f"({error.strerror or error}): free space, or delete the archive and fetch it again"
        ) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def place(unpacked: Path, folder: Path) -> None:
    """Move unpacked files into a folder: what is not there yet as a whole, the rest file by file.

    Args:
        unpacked: Gone afterwards.
        folder: On the same file system.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for item in sorted(unpacked.iterdir()):
        target = folder / item.name
        if item.is_dir() and target.is_dir():
            place(item, target)
        else:
            item.replace(target)
    unpacked.rmdir()


def _unzip(
    archive: Path, folder: Path, prefixes: tuple[str, ...]
) -> Iterator[tuple[int, int | None]]:
    with zipfile.ZipFile(archive) as opened:
        members = [
            member
            for member in opened.infolist()
            if _wanted(archive, member.filename, prefixes) and not member.is_dir()
        ]
        if any(member.flag_bits & _ENCRYPTED for member in members):
            raise DataError(f"{archive} is encrypted: unpack it by hand, with its password")
        # What a member says of its size holds: the reader stops there.
        _check_size(archive, sum(member.file_size for member in members))
        for number, member in enumerate(members, start=1):
            opened.extract(member, folder)
            yield number, len(members)


def _untar(
    archive: Path, folder: Path, prefixes: tuple[str, ...]
) -> Iterator[tuple[int, int | None]]:
    opener = gzip.open if archive.suffix in (".tgz", ".gz") else Path.open
    # Read as a stream: to count the members first would take a second pass over gigabytes.
    with opener(archive, "rb") as opened:
        content = _Tail(cast(IO[bytes], opened))
        with tarfile.open(fileobj=cast(IO[bytes], content), mode="r|") as members:
            number = size = 0
            for member in members:
                if _wanted(archive, member.name, prefixes) and not member.isdir():
                    size += member.size
                    _check_size(archive, size)
                    # Refuses links that lead out, devices and rights beyond the user's own.
                    members.extract(member, folder, filter="data")
                    number += 1
                    yield number, None
        content.check_end()
        if number:
            yield number, number


def _check_size(archive: Path, unpacked: int) -> None:
    allowed = max(_ALWAYS_ALLOWED_BYTES, _MAX_RATIO * archive.stat().st_size)
    if unpacked > allowed:
        raise DataError(
            f"{archive} would unpack to more than {_MAX_RATIO} times its size "
            f"({unpacked / 2**20:.0f} MiB): do not trust it, or unpack it by hand"
        )


class _Tail:
    """A file that remembers its last bytes.

    tarfile takes an archive that was cut between two members for whole, and leaves gzip's
    checksum, which lies at the very end, unread.
    """

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content
        self._last = b""

    def read(self, size: int) -> bytes:
        """Read on."""
        read = self._content.read(size)
        self._last = (self._last + read)[-_END_MARK_BYTES:]
        return read

    def check_end(self) -> None:
        """Read what is left; refuse a content without the end mark, which is all zeros."""
        while self.read(_READ_BYTES):
            pass
        if len(self._last) < _END_MARK_BYTES or self._last.strip(b"\0"):
            raise tarfile.ReadError("its end mark is missing")


def _wanted(archive: Path, name: str, prefixes: tuple[str, ...]) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
        raise DataError(
            f"{archive} must hold files below its own folder, got {name!r}: do not trust it"
        )
    plain = path.as_posix()
    return not prefixes or any(plain.startswith(prefix) for prefix in prefixes)
