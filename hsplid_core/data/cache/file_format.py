"""The cache's file format: an Arrow IPC stream whose pixel columns torch reads in place.

A stream, not Arrow's file format, because a stream grows by appending: a build that was stopped
goes on after its last whole record batch. Mapped into memory both are read in the same way.
"""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from hsplid_core.errors import DataError

FORMAT_VERSION = 2
MAX_BATCH_ROWS = 512
MAX_BATCH_BYTES = 16 * 2**20
END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
"""What closes an Arrow stream; without it the file was not written to its end."""
_HEADER_FIELD = b"saliency_cache"
_FIRST_VERSION_MAGIC = b"ARROW1"  # version 1 was Arrow's file format


class InvalidCacheError(DataError):
    """The file is not a whole cache of this version; it can be built again."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the schema's metadata says about the rows.

    Attributes:
        key: Hash of source and transform.
        class_names: Names in the order of the labels.
        mean: Mean of each channel, of pixels in [0, 1].
        std: Standard deviation of each channel.
        image_shape: C, H, W.
        has_masks: Whether there is a column of masks.
        is_demo: Whether the rows are a stand-in's.
        soft_masks: Whether masks are attention from 0 to 255 instead of 0 or 1.
        version: Version of the format.
    """

    key: str
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_shape: tuple[int, int, int]
    has_masks: bool
    is_demo: bool
    soft_masks: bool = False
    version: int = FORMAT_VERSION

    def schema(self) -> pa.Schema:
        """Columns `image`, `mask` (if any), `label`, `id`, with this header as metadata."""
        channels, height, width = self.image_shape
        fields = [pa.field("image", pa.binary(channels * height * width), nullable=False)]
        if self.has_masks:
            fields.append(pa.field("mask", pa.binary(height * width), nullable=False))
        fields.append(pa.field("label", pa.int64(), nullable=False))
        fields.append(pa.field("id", pa.string(), nullable=False))
        return pa.schema(fields, metadata={_HEADER_FIELD: json.dumps(asdict(self))})


def rows_per_batch(image_shape: tuple[int, int, int]) -> int:
    """Rows of a record batch: what bounds the memory of a build, whatever the image size."""
    channels, height, width = image_shape
    return max(1, min(MAX_BATCH_ROWS, MAX_BATCH_BYTES // ((channels + 1) * height * width)))


def _read_header(path: Path, schema: pa.Schema) -> Header:
    text = (schema.metadata or {}).get(_HEADER_FIELD)
    if text is None:
        raise InvalidCacheError(f"{path} is an Arrow file, but not one of this cache")
    values = json.loads(text)
    if values.get("version") != FORMAT_VERSION:
        raise InvalidCacheError(
            f"{path} has cache version {values.get('version')}, this program reads "
            f"{FORMAT_VERSION}"
        )
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    header = Header(**fields)
    if not schema.equals(header.schema()):
        raise InvalidCacheError(f"{path} has columns that do not fit its header")
    return header


class MappedRows(NamedTuple):
    """A column of pixels, left in the memory map.

    The record batches lie apart in the file. Seen as overlapping windows, one at every byte, the
    file is one tensor all the same, and a batch is gathered in one call whatever its rows.

    Attributes:
        windows: View on the map whose row i is the R bytes from byte i on, uint8, [bytes, R].
        starts: Byte at which each row of the column starts, int64, [N].
        shape: Shape of one row, of R elements.
    """

    windows: Tensor
    starts: Tensor
    shape: tuple[int, ...]

    def gather(self, rows: Tensor, device: torch.device) -> Tensor:
        """Copy rows out of the map, to cuda by way of pinned memory and without waiting.

        Args:
            rows: Rows of the column, int64, [B].
            device: Where the copy shall live.

        Returns:
            uint8, [B, *shape].
        """
        pin = device.type == "cuda"
        shape = (len(rows), self.windows.shape[1])
        copied = torch.empty(shape, dtype=torch.uint8, pin_memory=pin)
        torch.index_select(self.windows, 0, self.starts[rows], out=copied)
        return copied.to(device, non_blocking=pin).view(-1, *self.shape)


class CacheFile(NamedTuple):
    """An opened cache.

    Attributes:
        header: The schema's metadata.
        images: Pixels, rows of [C, H, W].
        masks: 0 or 1, or attention from 0 to 255, rows of [1, H, W]; None without masks.
        labels: Copied, since they are read at random all the time: int64, [N].
        ids: One Arrow array of strings per record batch.
    """

    header: Header
    images: MappedRows
    masks: MappedRows | None
    labels: Tensor
    ids: list[pa.StringArray]


def _copied_int64(column: pa.Int64Array) -> Tensor:
    # Not by the column's own to_numpy, which imports pandas: 28 MB and a third of a second.
    return torch.tensor(np.frombuffer(column.buffers()[1], np.int64, count=len(column)))


def _whole_file(path: Path) -> tuple[pa.Buffer, Tensor]:
    """Map a file: as Arrow's buffer, and as a tensor of its bytes, uint8, [bytes]."""
    buffer = pa.memory_map(str(path), "r").read_buffer()
    with warnings.catch_warnings():
        # torch warns that it can't mark a tensor as read-only. The map is, and nothing here
        # hands it out for writing: every batch is a gathered copy.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return buffer, torch.from_numpy(np.frombuffer(buffer, dtype=np.uint8))


def _mapped_rows(
    buffer: pa.Buffer, content: Tensor, columns: list[pa.Array], shape: tuple[int, ...]
) -> MappedRows:
    """Find where in the file each row of a column of fixed size starts."""
    row_bytes = math.prod(shape)
    starts = [
        column.buffers()[1].address - buffer.address + row_bytes * torch.arange(len(column))
        for column in columns
    ]
    windows = content.as_strided((len(content) - row_bytes + 1, row_bytes), (1, 1))
    return MappedRows(windows, torch.cat(starts), shape)


def open_cache(path: Path) -> CacheFile:
    """Map a cache file into memory and check that it is whole.

    Args:
        path: The Arrow IPC stream.

    Returns:
        Views on the map, which stays open as long as one of them lives.

    Raises:
        InvalidCacheError: Truncated, foreign, or of another version.
        FileNotFoundError: No such file.
    """
    try:
        buffer, content = _whole_file(path)
        if buffer[: len(_FIRST_VERSION_MAGIC)].to_pybytes() == _FIRST_VERSION_MAGIC:
            raise InvalidCacheError(
                f"{path} has cache version 1, this program reads {FORMAT_VERSION}"
            )
        reader = pa.ipc.open_stream(pa.BufferReader(buffer))
        header = _read_header(path, reader.schema)
        batches = list(reader)
        for batch in batches:
            batch.validate()
        if buffer[-len(END_OF_STREAM) :].to_pybytes() != END_OF_STREAM:
            raise InvalidCacheError(f"{path} ends before its end mark")
    except (FileNotFoundError, InvalidCacheError):
        raise
    except (pa.ArrowException, OSError, TypeError, ValueError, AttributeError) as error:
        # Arrow itself checks that every buffer lies inside the file.
        raise InvalidCacheError(f"{path} is damaged or no Arrow file ({error})") from error
    if sum(batch.num_rows for batch in batches) == 0:
        raise InvalidCacheError(f"{path} has no rows")

    def rows(name: str, shape: tuple[int, ...]) -> MappedRows:
        return _mapped_rows(buffer, content, [batch.column(name) for batch in batches], shape)

    labels = torch.cat([_copied_int64(batch.column("label")) for batch in batches])
    if int(labels.min()) < 0 or int(labels.max()) >= len(header.class_names):
        raise InvalidCacheError(f"{path} has labels outside its {len(header.class_names)} classes")
    return CacheFile(
        header=header,
        images=rows("image", header.image_shape),
        masks=rows("mask", (1, *header.image_shape[1:])) if header.has_masks else None,
        labels=labels,
        ids=[batch.column("id") for batch in batches],
    )
