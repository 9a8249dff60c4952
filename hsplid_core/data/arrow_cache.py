"""Decode a data set once into an Arrow file that every process maps into its memory."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pyarrow as pa

from hsplid_core.data._arrow_file import FORMAT_VERSION, Header, InvalidCacheError, rows_per_batch
from hsplid_core.data._files import locked, make_folder, map_in_threads, replacing
from hsplid_core.data.image_set import ImageSet
from hsplid_core.data.source import Sample, Skipped, Source
from hsplid_core.errors import DataError

logger = logging.getLogger(__name__)


def build_or_open(source: Source, cache_dir: Path) -> ImageSet:
    """Open the cache of a source, after building it if there is no valid one.

    Safe when several processes ask at once: one builds, the others wait and open. A file that is
    truncated, foreign or of another version is built again.

    Args:
        source: The data set with its transform.
        cache_dir: Folder of the Arrow files; created if need be.

    Returns:
        All rows of the source.

    Raises:
        DataError: The source is damaged or has no usable image, the folder can't be written, or
            the disk is full. Nothing half-written is left.
    """
    make_folder(cache_dir, "cache_dir")
    key = _content_key(source, cache_dir)
    path = cache_dir / f"{source.name}-{key[:20]}.arrow"
    try:
        return ImageSet.open(path)
    except (FileNotFoundError, InvalidCacheError):
        # Another process may be about to replace it: look again once the lock is held.
        pass
    with locked(path.with_suffix(".lock")):
        try:
            return ImageSet.open(path)
        except FileNotFoundError:
            pass
        except InvalidCacheError as error:
            logger.warning("building the cache again: %s", error)
        _build(source, key, path)
        return ImageSet.open(path)


def _content_key(source: Source, cache_dir: Path) -> str:
    """The source's identity and the format's version, remembered under the source's stamp.

    The identity does not depend on file times or places, so that two machines agree on it, but
    it costs a pass over all files; the stamp costs a listing of them.
    """
    memo = cache_dir / f"{source.name}-{source.stamp()[:20]}.key"
    try:
        return memo.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        pass
    key = hashlib.sha256(f"{FORMAT_VERSION} {source.identity()}".encode()).hexdigest()
    try:
        with replacing(memo) as handle:
            handle.write(key.encode())
    except OSError as error:
        # A cache on read-only storage is still good to read, only slower to find.
        logger.debug("could not remember the key of %s: %s", source.name, error)
    return key


def _build(source: Source, key: str, path: Path) -> None:
    """Write the Arrow file; the caller holds its lock."""
    for stale in path.parent.glob(f"{path.name}.*.tmp"):  # of builders that were killed
        stale.unlink()
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
    logger.info("building %s from %d images", path, len(source))
    try:
        with replacing(path) as handle:
            _write_rows(source, header, handle)
    except OSError as error:
        channels, height, width = source.image_shape
        need_mb = len(source) * (channels + source.has_masks) * height * width / 1e6
        raise DataError(
            f"cache_dir must have room for {need_mb:.0f} MB, writing {path} failed "
            f"({error.strerror or error}): free space or choose another cache_dir"
        ) from error


def _write_rows(source: Source, header: Header, handle: IO[bytes]) -> None:
    schema = header.schema()
    skipped: Counter[str] = Counter()
    n_written = 0
    with pa.ipc.new_file(handle, schema) as writer:
        for rows in _groups(_samples(source, skipped), rows_per_batch(header.image_shape)):
            writer.write_batch(_record_batch(rows, schema))
            n_written += len(rows)
    for reason, count in sorted(skipped.items()):
        logger.warning("%s: left out %d of %d images: %s", source.name, count, len(source), reason)
    if n_written == 0:
        raise DataError(
            f"{source.name} must have at least one usable image, got none of {len(source)} "
            f"({dict(skipped)}): check its annotations"
        )


def _samples(source: Source, skipped: Counter[str]) -> Iterator[Sample]:
    """Decode in threads, in order: the decoders release Python's lock."""
    n_threads = min(32, os.cpu_count() or 1)
    for sample in map_in_threads(source.sample, range(len(source)), n_threads):
        if isinstance(sample, Skipped):
            skipped[sample.reason] += 1
        else:
            yield sample


def _groups(samples: Iterator[Sample], size: int) -> Iterator[list[Sample]]:
    group: list[Sample] = []
    for sample in samples:
        group.append(sample)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _record_batch(rows: list[Sample], schema: pa.Schema) -> pa.RecordBatch:
    columns = {
        "image": [row.image.tobytes() for row in rows],
        "label": [row.label for row in rows],
        "id": [row.id for row in rows],
    }
    if "mask" in schema.names:
        columns["mask"] = [row.mask.tobytes() for row in rows if row.mask is not None]
    arrays = [pa.array(columns[field.name], type=field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
