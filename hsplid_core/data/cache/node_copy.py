"""A cache's copy on a machine's own disk, made once and read by all its processes."""

from __future__ import annotations

import logging
import os
import shutil
import socket
from pathlib import Path

from hsplid_core.data.cache.checksums import checksums_file
from hsplid_core.data.cache.file_format import InvalidCacheError
from hsplid_core.data.cache.image_set import ImageSet
from hsplid_core.errors import ConfigError, DataError
from hsplid_core.files import from_home, locked, make_folder, replacing

logger = logging.getLogger(__name__)


def on_node(images: ImageSet, folder: Path) -> ImageSet:
    """Open this machine's own copy of a cache, after making it if there is none.

    Safe when several processes ask at once: one copies, the others wait and open. A copy that is
    cut short or damaged is made again. Its name holds the hash of the content, so an old one is
    never taken for a new one.

    Args:
        images: All rows of a cache, which may lie on a slow or distant disk.
        folder: Folder on the machine's own disk; created if need be.

    Returns:
        The same rows, read from the copy.

    Raises:
        DataError: The folder can't be written, or has no room.
    """
    make_folder(folder, "node_cache")
    path = folder / images.path.name
    if (copy := _opened(path)) is not None:
        return copy
    with locked(path.with_suffix(".lock"), "node_cache"):
        # Another process may have made it in the meantime.
        if (copy := _opened(path)) is not None:
            return copy
        logger.info("copying %s to %s", images.path, folder)
        try:
            _copy_checksums(images.path, path)
            with images.path.open("rb") as source, replacing(path) as target:
                shutil.copyfileobj(source, target, 16 * 2**20)
        except OSError as error:
            checksums_file(path).unlink(missing_ok=True)
            need = images.path.stat().st_size / 1e6
            raise DataError(
                f"node_cache must have room for {need:.0f} MB, copying to {path} failed "
                f"({error.strerror or error}): free space or choose another node_cache"
            ) from error
        try:
            return ImageSet.open(path)
        except InvalidCacheError as error:
            raise DataError(
                f"{images.path} is damaged, for its copy is ({error}): the next start of the same "
                "command builds it again"
            ) from error


def _copy_checksums(source: Path, target: Path) -> None:
    """Copy them before the file: a copy without would be taken for an earlier version's."""
    try:
        sums = checksums_file(source).read_bytes()
    except FileNotFoundError:
        checksums_file(target).unlink(missing_ok=True)
        return
    with replacing(checksums_file(target)) as file:
        file.write(sums)


def node_folder(given: Path) -> Path:
    """Say where ``data.node_cache`` is on this machine.

    Args:
        given: As in the spec, with variables of the environment.

    Raises:
        ConfigError: A variable is not set here, or the path is relative: each trial's working
            directory is another one.
    """
    folder = from_home(Path(os.path.expandvars(given)))
    if "$" in str(folder) or not folder.is_absolute():
        raise ConfigError(
            f"data.node_cache is {given}, on {socket.gethostname()} {folder}: name an absolute "
            "path, with variables that are set on every node before Ray starts there"
        )
    return folder


def _opened(path: Path) -> ImageSet | None:
    try:
        return ImageSet.open(path)
    except FileNotFoundError:
        return None
    except InvalidCacheError as error:
        logger.warning("copying again: %s", error)
        return None
