"""Decode a data set once into an Arrow file that every process maps into its memory."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from pathlib import Path

from hsplid_core.data.cache.decoder_pool import decoders
from hsplid_core.data.cache.file_format import (
    FORMAT_VERSION,
    Header,
    InvalidCacheError,
    rows_per_batch,
)
from hsplid_core.data.cache.image_set import ImageSet
from hsplid_core.data.cache.resumable_file import PartialCache
from hsplid_core.data.source import Choosing, Source
from hsplid_core.data.workers import Workers
from hsplid_core.errors import DataError
from hsplid_core.files import locked, make_folder, map_ahead, replacing

logger = logging.getLogger(__name__)

_KEY = re.compile("[0-9a-f]{64}")

Progress = Callable[[int, int], None]
"""Is told how many images are done, and how many there are."""


def _unwatched(done: int, total: int) -> None:
    pass


def build_or_open(
    source: Source,
    cache_dir: Path,
    *,
    workers: Workers | None = None,
    progress: Progress = _unwatched,
    to_be_copied: bool = False,
) -> ImageSet:
    """Open the cache of a source, after building it if there is no valid one.

    Safe when several processes ask at once: one builds, the others wait and open. A file that is
    damaged, foreign or of another version is built again. A build that was interrupted, even
    killed, goes on where it stopped: its record batches are verified by their checksums and kept.

    Args:
        source: The data set with its transform.
        cache_dir: Folder of the Arrow files; created if need be.
        workers: What decodes; by default a thread for each core.
        progress: Called at the start of a build and after each record batch.
        to_be_copied: Leave it to the copy to be verified.

    Returns:
        All rows of the source.

    Raises:
        DataError: The source is damaged or has no usable image, the folder can't be written, or
            the disk is full. A damaged source leaves nothing behind; on a full disk the finished
            part stays, and the next call goes on with it.
    """
    make_folder(cache_dir, "cache_dir")
    key = _content_key(source, cache_dir)
    path = cache_dir / f"{source.name}-{key[:20]}.arrow"

    def opened() -> ImageSet:
        images = ImageSet.open_unverified(path) if to_be_copied else ImageSet.open(path)
        if images.key != key:
            raise InvalidCacheError(f"{path} holds other images: its key is {images.key[:20]}")
        return images

    try:
        return opened()
    except (FileNotFoundError, InvalidCacheError):
        # Another process may be about to replace it: look again once the lock is held.
        pass
    with locked(path.with_suffix(".lock")):
        try:
            return opened()
        except FileNotFoundError:
            pass
        except InvalidCacheError as error:
            logger.warning("building the cache again: %s", error)
        _build(source, key, path, workers or Workers(), progress)
        return opened()


def _content_key(source: Source, cache_dir: Path) -> str:
    """The source's identity and the format's version, remembered under the source's stamp.

    The identity does not depend on file times or places, so that two machines agree on it, but
    it costs a pass over all files; the stamp costs a listing of them.
    """
    stamp = source.stamp()
    memo = cache_dir / f"{source.name}-{stamp[:20]}.key"
    # Missing, damaged or of other files: it is found out once more.
    with contextlib.suppress(OSError, ValueError):
        # Earlier versions did not write the stamp.
        known, of_stamp = (*memo.read_text(encoding="ascii").split(), stamp)[:2]
        if _KEY.fullmatch(known) and of_stamp == stamp:
            return known
    key = hashlib.sha256(f"{FORMAT_VERSION} {source.identity()}".encode()).hexdigest()
    try:
        with replacing(memo) as handle:
            handle.write(f"{key} {stamp}".encode())
    except OSError as error:
        # A cache on read-only storage is still good to read, only slower to find.
        logger.debug("could not remember the key of %s: %s", source.name, error)
    return key


def _build(source: Source, key: str, path: Path, workers: Workers, progress: Progress) -> None:
    """Write the Arrow file, or the rest of it; the caller holds its lock."""
    header = Header(
        key=key,
        class_names=source.class_names,
        mean=source.mean,
        std=source.std,
        image_shape=source.image_shape,
        has_masks=source.has_masks,
        is_demo=source.is_demo,
        soft_masks=source.soft_masks,
    )
    partial = PartialCache(path, header)
    try:
        with partial.opened():
            logger.info("building %s from %d images", path, len(source))
            _check_room(source, header, partial, path)
            _write_rows(source, header, partial, workers, progress)
            partial.finish()
    except OSError as error:
        # What is written stays: the same command goes on once there is room.
        need = _row_bytes(header) * len(source) / 1e6
        raise DataError(
            f"cache_dir must have room for {need:.0f} MB, writing {path} failed "
            f"({error.strerror or error}): free space or choose another cache_dir"
        ) from error
    except BrokenExecutor as error:
        raise DataError(
            f"building {path} must not lose its decoding processes ({error}): was one killed for "
            "want of memory? the same command goes on; use fewer workers"
        ) from error
    except Exception:
        # The source is to blame. Mended, it has another key, and no use for these rows.
        partial.discard()
        raise


def _write_rows(
    source: Source, header: Header, partial: PartialCache, workers: Workers, progress: Progress
) -> None:
    n_images = len(source)
    done = partial.next_candidate
    progress(done, n_images)
    step = min(rows_per_batch(header.image_shape), -(-n_images // (4 * workers.count)) or 1)
    runs = (range(at, min(at + step, n_images)) for at in range(done, n_images, step))
    # A few runs wait for a worker, a few results for the file: more would only take memory.
    n_ahead = workers.count + workers.count // 2 + 1
    with decoders(source, header, workers) as submit:
        for encoded in map_ahead(submit, runs, n_ahead):
            partial.append(encoded)
            progress(encoded.stop, n_images)
    chosen, notes = (
        (source.left_out(), source.notes()) if isinstance(source, Choosing) else ({}, ())
    )
    n_all = n_images + sum(chosen.values())
    # Of a stand-in, what is drawn to be left out is no news.
    level = logging.INFO if source.is_demo else logging.WARNING
    for reason, count in sorted(chosen.items()):
        logger.log(level, "%s: left out %d of %d images: %s", source.name, count, n_all, reason)
    for note in notes:
        logger.log(level, "%s: %s", source.name, note)
    for reason, count in sorted(partial.skipped.items()):
        logger.warning("%s: left out %d of %d images: %s", source.name, count, n_all, reason)
    if partial.n_rows == 0:
        reasons = partial.skipped + Counter(chosen)
        told = "; ".join(f"{count}: {reason}" for reason, count in reasons.most_common())
        raise DataError(
            f"{source.name} must have at least one usable image, got none of {n_all}"
            f"{told and f' ({told})'}: check its annotations"
        )


def _check_room(source: Source, header: Header, partial: PartialCache, path: Path) -> None:
    """Tell before hours of decoding that the result will not fit."""
    need = _row_bytes(header) * (len(source) - partial.next_candidate)
    if shutil.disk_usage(path.parent).free < need:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _row_bytes(header: Header) -> int:
    channels, height, width = header.image_shape
    return (channels + header.has_masks) * height * width
