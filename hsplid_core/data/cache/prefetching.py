"""Bringing rows to the device: one batch after the other, or ahead of the one in work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from hsplid_core.files import map_ahead

_BATCHES_AHEAD = 2


@dataclass(frozen=True)
class GatheredRows:
    """Rows as they lie in the cache, on their device.

    Attributes:
        image: uint8, [B, C, H, W].
        mask: uint8, [B, 1, H, W]; None without masks.
        target: int64, [B].
        index: int64, [B].
    """

    image: Tensor
    mask: Tensor | None
    target: Tensor
    index: Tensor

    def at(self, positions: Tensor) -> GatheredRows:
        """Return some of the rows, on the same device.

        Args:
            positions: int64, [M], on that device.
        """
        return GatheredRows(
            image=self.image.index_select(0, positions),
            mask=None if self.mask is None else self.mask.index_select(0, positions),
            target=self.target[positions],
            index=self.index[positions],
        )

    @staticmethod
    def joined(parts: Sequence[GatheredRows]) -> GatheredRows:
        """Put parts behind each other."""
        masks = [part.mask for part in parts if part.mask is not None]
        return GatheredRows(
            image=torch.cat([part.image for part in parts]),
            mask=torch.cat(masks) if masks else None,
            target=torch.cat([part.target for part in parts]),
            index=torch.cat([part.index for part in parts]),
        )


Gather = Callable[[Tensor, torch.device], GatheredRows]
"""Copies the rows at some positions to a device."""


def gather_in_turn(
    gather: Gather, parts: Sequence[Tensor], device: torch.device
) -> Iterator[GatheredRows]:
    """Gather each batch when it is asked for.

    Args:
        gather: Copies the rows of one batch.
        parts: Positions of the rows of each batch, int64, [B].
        device: Where the rows shall live.
    """
    return (gather(part, device) for part in parts)


def gather_ahead(
    gather: Gather, parts: Sequence[Tensor], device: torch.device
) -> Iterator[GatheredRows]:
    """Gather the next batches while the caller works on one; for cuda.

    A thread copies rows out of the memory map into pinned memory, and a stream of its own takes
    them to the device beside the caller's kernels.

    Args:
        gather: Copies the rows of one batch, to cuda without waiting.
        parts: Positions of the rows of each batch, int64, [B].
        device: A cuda device.
    """
    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def gather_aside(part: Tensor) -> tuple[GatheredRows, torch.cuda.Event]:
        with torch.cuda.stream(stream):
            rows = gather(part, device)
            return rows, stream.record_event()

    with ThreadPoolExecutor(1) as executor:

        def submit(part: Tensor) -> Future[tuple[GatheredRows, torch.cuda.Event]]:
            return executor.submit(gather_aside, part)

        for rows, arrived in map_ahead(submit, parts, _BATCHES_AHEAD):
            current = torch.cuda.current_stream(device)
            current.wait_event(arrived)
            for values in (rows.image, rows.mask, rows.target, rows.index):
                if values is not None:
                    # Or the allocator would hand the memory out again for the other stream.
                    values.record_stream(current)
            yield rows
