"""Paths of objects in an S3-compatible bucket, used as paths of files are."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NoReturn, Self

from hsplid_core.errors import ConfigError, SaliencyError

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem

SCHEME = "s3://"

# Nothing that would have to be quoted in a URL, and no way upwards.
_NAME = re.compile(r"(?!\.\.?$)[\w.=-]+", re.ASCII)


class BucketError(SaliencyError):
    """A bucket does not answer, or refuses."""


class BucketPath:
    """A place in a bucket, with the part of :class:`pathlib.Path` that this project uses.

    Address and credentials are those that every tool for S3 reads: ``AWS_ENDPOINT_URL_S3`` or
    ``AWS_ENDPOINT_URL`` (for a server of one's own), ``AWS_ACCESS_KEY_ID``,
    ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION``, a profile, or the machine's role. They are looked up
    where the path is used, and travel with none.

    An object is there as a whole or not at all, so writing is atomic. Folders are nothing of their
    own: they need not be made.

    Args:
        url: ``s3://bucket`` or ``s3://bucket/folder/file``.

    Raises:
        ConfigError: It is no such URL.
    """

    def __init__(self, url: str) -> None:
        path = url.removeprefix(SCHEME).rstrip("/")
        is_plain = all(_NAME.fullmatch(name) for name in path.split("/"))
        if not url.startswith(SCHEME) or not is_plain:
            raise ConfigError(
                f"{url} is no place in a bucket: write s3://bucket/folder, with letters, digits "
                "and . _ = - in the names; address and keys of the server come from "
                "AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        self._path = PurePosixPath(path)

    def __str__(self) -> str:
        return f"{SCHEME}{self._path}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BucketPath) and self._path == other._path

    def __hash__(self) -> int:
        return hash(self._path)

    def __truediv__(self, name: str) -> Self:
        return type(self)(f"{self}/{name}")

    @property
    def name(self) -> str:
        """The last part."""
        return self._path.name

    @property
    def stem(self) -> str:
        """The last part without its ending."""
        return self._path.stem

    @property
    def parts(self) -> tuple[str, ...]:
        """The bucket, and all folders down to the name."""
        return self._path.parts

    @property
    def parent(self) -> Self:
        """The folder around it."""
        return type(self)(f"{SCHEME}{self._path.parent}")

    def with_name(self, name: str) -> Self:
        """Return the path with another last part."""
        return type(self)(f"{SCHEME}{self._path.with_name(name)}")

    def read_bytes(self) -> bytes:
        """Read an object.

        Raises:
            FileNotFoundError: There is none.
            BucketError: The bucket does not answer, or refuses.
        """
        try:
            with self._filesystem.open_input_stream(str(self._path)) as stream:
                content: bytes = stream.read()
        except FileNotFoundError:
            raise
        except OSError as error:
            self._explain(error)
        return content

    def read_text(self) -> str:
        """Read an object as text; raises as :meth:`read_bytes` does."""
        return self.read_bytes().decode()

    def write_bytes(self, content: bytes) -> None:
        """Write an object, or replace it.

        Raises:
            BucketError: The bucket does not answer, or refuses.
        """
        try:
            with self._filesystem.open_output_stream(str(self._path)) as stream:
                stream.write(content)
        except OSError as error:
            self._explain(error)

    def write_text(self, text: str) -> None:
        """Write an object of text; raises as :meth:`write_bytes` does."""
        self.write_bytes(text.encode())

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove an object.

        Raises:
            FileNotFoundError: There is none, and that is not fine.
            BucketError: The bucket does not answer, or refuses.
        """
        try:
            self._filesystem.delete_file(str(self._path))
        except FileNotFoundError:
            if not missing_ok:
                raise
        except OSError as error:
            self._explain(error)

    def remove_tree(self) -> None:
        """Remove all objects below, if there are any.

        Raises:
            BucketError: The bucket does not answer, or refuses.
        """
        try:
            self._filesystem.delete_dir(str(self._path))
        except FileNotFoundError:
            pass
        except OSError as error:
            self._explain(error)

    def mkdir(self, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: a folder is there with its first object."""

    def is_file(self) -> bool:
        """Tell whether there is an object of this name.

        Raises:
            BucketError: The bucket does not answer, or refuses.
        """
        try:
            info: FileInfo = self._filesystem.get_file_info(str(self._path))
        except OSError as error:
            self._explain(error)
        return bool(info.is_file)

    def iterdir(self) -> Iterator[Self]:
        """Go through the objects and folders directly below; nothing where there are none.

        Raises:
            BucketError: The bucket does not answer, or refuses.
        """
        for info in self._below(recursive=False):
            yield type(self)(f"{SCHEME}{info.path}")

    def files(self) -> dict[str, float]:
        """Return all objects below, with the second of their last change, by path from here.

        Raises:
            BucketError: The bucket does not answer, or refuses.
        """
        return {
            PurePosixPath(info.path).relative_to(self._path).as_posix(): info.mtime.timestamp()
            for info in self._below(recursive=True)
            if info.is_file
        }

    def glob(self, pattern: str) -> Iterator[Self]:
        """Find what matches a pattern, ``*`` within a name only.

        Args:
            pattern: Names from here on, with ``/`` between them.

        Raises:
            BucketError: The bucket does not answer, or refuses.
        """
        name, _, rest = pattern.partition("/")
        if "*" not in name:
            found = self / name
            if rest:
                yield from found.glob(rest)
            elif found.is_file():
                yield found
            return
        names = pattern.split("/")
        if all("*" in name for name in names):
            yield from self._everything_like(names)
            return
        for path in self.iterdir():
            if fnmatchcase(path.name, name):
                yield from path.glob(rest)

    def _everything_like(self, names: Sequence[str]) -> Iterator[Self]:
        """Match names of every level with one listing, instead of one for each folder."""
        depth = len(self.parts)
        below = [PurePosixPath(info.path).parts[depth:] for info in self._below(recursive=True)]
        for found in sorted({parts[: len(names)] for parts in below if len(parts) >= len(names)}):
            if all(map(fnmatchcase, found, names)):
                yield self / "/".join(found)

    @property
    def _filesystem(self) -> FileSystem:
        return _filesystem_of(self._path.parts[0])

    def _below(self, *, recursive: bool) -> list[FileInfo]:
        from pyarrow.fs import FileSelector

        selector = FileSelector(str(self._path), recursive=recursive, allow_not_found=True)
        try:
            found: list[FileInfo] = self._filesystem.get_file_info(selector)
        except OSError as error:
            self._explain(error)
        return found

    def _explain(self, error: OSError) -> NoReturn:
        raise BucketError(
            f"{self}: {str(error).splitlines()[0]}; see that the bucket is there, and that "
            "AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are right on this "
            "machine"
        ) from error


AnyPath = Path | BucketPath
"""A path on disk or in a bucket."""


def any_path(text: str) -> AnyPath:
    """Read a path, or the URL of a place in a bucket.

    Raises:
        ConfigError: It is a URL of another kind.
    """
    return BucketPath(text) if "://" in text else Path(text)


@functools.cache
def _filesystem_of(bucket: str) -> FileSystem:
    # pyarrow takes long to import, and most sweeps have no bucket.
    from pyarrow.fs import FileSystem

    # Only from a URL does it read AWS_ENDPOINT_URL, or ask AWS for the bucket's region.
    found, _ = FileSystem.from_uri(f"{SCHEME}{bucket}")
    return found
