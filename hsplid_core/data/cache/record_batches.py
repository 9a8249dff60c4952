"""Decode candidates of a source into one record batch of the cache, ready to be appended."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hsplid_core.data.cache.file_format import Header
from hsplid_core.data.source import Sample, Skipped, Source
from hsplid_core.errors import DataError


@dataclass(frozen=True, kw_only=True)
class EncodedRows:
    """What a run of candidates became.

    Attributes:
        stop: Index of the candidate after the last one.
        message: Their record batch as a message of an Arrow stream; empty without rows.
        checksum: CRC-32 of the message.
        n_rows: Rows in it.
        skipped: Why candidates were left out, and how many.
    """

    stop: int
    message: pa.Buffer
    checksum: int
    n_rows: int
    skipped: dict[str, int]


def encode_rows(source: Source, header: Header, candidates: range) -> EncodedRows:
    """Decode a run of candidates.

    Args:
        source: Where they come from.
        header: The cache's header.
        candidates: Their indices, one after the other.

    Raises:
        DataError: A candidate is damaged, or is not what the source promised.
    """
    images = np.empty((len(candidates), *header.image_shape), np.uint8)
    masks = np.empty((len(candidates), 1, *header.image_shape[1:]), np.uint8)
    labels: list[int] = []
    ids: list[str] = []
    skipped: Counter[str] = Counter()
    for index in candidates:
        sample = _read(source, index)
        if isinstance(sample, Skipped):
            skipped[sample.reason] += 1
            continue
        _check_sample(source, header, sample)
        row = len(ids)
        images[row] = sample.image
        if sample.mask is not None:
            masks[row] = sample.mask
        labels.append(sample.label)
        ids.append(sample.id)
    columns = {
        "image": _pixels(images[: len(ids)]),
        "mask": _pixels(masks[: len(ids)]),
        "label": pa.array(labels, pa.int64()),
        "id": pa.array(ids, pa.string()),
    }
    message = pa.py_buffer(b"")
    if ids:
        schema = header.schema()
        arrays = [columns[name] for name in schema.names]
        message = pa.RecordBatch.from_arrays(arrays, schema=schema).serialize()
    return EncodedRows(
        stop=candidates.stop,
        message=message,
        checksum=zlib.crc32(message),
        n_rows=len(ids),
        skipped=dict(skipped),
    )


def _read(source: Source, index: int) -> Sample | Skipped:
    try:
        return source.sample(index)
    except OSError as error:
        raise DataError(
            f"{source.name}: image {index} must be readable ({error}): download it again"
        ) from error


def _pixels(rows: NDArray[np.uint8]) -> pa.FixedSizeBinaryArray:
    row_bytes = rows[0].size if len(rows) else 0
    buffers = [None, pa.py_buffer(np.ascontiguousarray(rows))]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(row_bytes), len(rows), buffers)


def _check_sample(source: Source, header: Header, sample: Sample) -> None:
    """Numpy would stretch a wrong shape over the row without a word."""
    expected = [(sample.image, header.image_shape)]
    if header.has_masks != (sample.mask is not None):
        raise DataError(
            f"{source.name}: {sample.id} must {'' if header.has_masks else 'not '}have a mask, "
            "as every image of the data set: complete the masks or leave them all out"
        )
    if sample.mask is not None:
        expected.append((sample.mask, (1, *header.image_shape[1:])))
    for pixels, shape in expected:
        if pixels.dtype != np.uint8 or pixels.shape != shape:
            raise DataError(
                f"{source.name}: {sample.id} must be read as uint8 of {shape}, got "
                f"{pixels.dtype} of {pixels.shape}: mend the data set's reader"
            )
    n_classes = len(header.class_names)
    if not 0 <= sample.label < n_classes:
        raise DataError(
            f"{source.name}: the label of {sample.id} must be one of 0 to {n_classes - 1}, got "
            f"{sample.label}: correct the data set's labels"
        )
