"""Locks, temporary names and bounded threads, shared by all that writes data to disk."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar

from filelock import FileLock, Timeout

from hsplid_core.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def from_home(path: Path) -> Path:
    """Put a home for a leading ``~`` or ``~USER``.

    Raises:
        ConfigError: There is no such home on this machine.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{path}: there is no such home here; write the whole path") from error


def make_folder(folder: Path, setting: str, *, mode: int = 0o777) -> None:
    """Create a folder with its parents.

    Args:
        folder: The folder; may exist.
        setting: The argument that names it, for the error's text.
        mode: Rights of a new folder, before the process's own mask.

    Raises:
        DataError: The folder can't be made, for instance because a file has its name.
    """
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{setting} must be a folder that can be created, got {folder} "
            f"({error.strerror}): choose another {setting}"
        ) from error


@contextlib.contextmanager
def locked(path: Path, setting: str = "cache_dir", *, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock between processes; the kernel frees a dead holder's lock.

    The lock file stays behind: deleting it would let two processes hold "the" lock at once.

    Args:
        path: The lock file; its folder must exist.
        setting: The argument that names the folder, for the error's text.
        wait: Wait for a process that holds it, instead of raising.

    Raises:
        DataError: The lock file can't be written.
        Timeout: Another process holds it, and nobody shall wait.
    """
    lock = FileLock(path)
    try:
        if not path.exists():
            path.touch()  # where no file can be made, the lock would be waited for without end
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if not wait:
                raise
            logger.info("waiting for another process that holds %s", path)
            lock.acquire()
    except Timeout:
        raise
    except OSError as error:
        raise DataError(
            f"{path.parent} must be writable to hold {path.name} ({error.strerror}): "
            f"choose another {setting}"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file so that others see the old one or the whole new one, never a part.

    Args:
        path: The file's final name. The content first goes to a hidden name beside it, which is
            removed if the writing fails.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        with temporary.open("wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def replace_text(path: Path, text: str) -> None:
    """Write a text file, or replace it, so that others see the old one or the whole new one."""
    with replacing(path) as file:
        file.write(text.encode())


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        OSError: It cannot be read.
        ValueError: It holds something else.
    """
    try:
        return json.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def sync_folder(folder: Path) -> None:
    """Make a rename inside the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def map_in_threads(
    function: Callable[[ItemT], ResultT], items: Iterable[ItemT], n_threads: int
) -> Iterator[ResultT]:
    """Apply a function in threads, results in order, few of them alive at a time.

    `Executor.map` would queue every item at once and so hold a whole data set in memory.

    Args:
        function: Called from several threads.
        items: Its arguments.
        n_threads: Number of threads, at least 1.

    Yields:
        One result per item, in the items' order.
    """
    with ThreadPoolExecutor(n_threads) as executor:

        def submit(item: ItemT) -> Future[ResultT]:
            return executor.submit(function, item)

        yield from map_ahead(submit, items, 4 * n_threads)


def map_ahead(
    submit: Callable[[ItemT], Future[ResultT]], items: Iterable[ItemT], n_ahead: int
) -> Iterator[ResultT]:
    """Hand items to workers, a bounded number ahead of the results.

    Args:
        submit: Hands an item over.
        items: What to work on.
        n_ahead: Items handed over whose results were not taken yet, at most; at least 1.

    Yields:
        One result per item, in the items' order.
    """
    pending: deque[Future[ResultT]] = deque()
    try:
        for item in items:
            pending.append(submit(item))
            if len(pending) >= n_ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
