"""The one object that training, attacks and evaluation read images from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from hsplid_core.data.batch import Batch, send
from hsplid_core.data.cache.checksums import open_verified
from hsplid_core.data.cache.file_format import (
    MAX_BATCH_ROWS,
    CacheFile,
    InvalidCacheError,
    open_cache,
)
from hsplid_core.data.cache.prefetching import GatheredRows, gather_ahead, gather_in_turn
from hsplid_core.data.coverage import Coverage
from hsplid_core.data.crops import centre_crop
from hsplid_core.errors import ConfigError, DataError, did_you_mean


class Change(Protocol):
    """What turns the batches of a set into others, row by row; it pickles."""

    @property
    def gives_masks(self) -> bool:
        """Whether its batches carry masks of its own."""

    @property
    def key(self) -> str:
        """What identifies the change, equal on every machine."""

    def __call__(self, batch: Batch) -> Batch:
        """Return the changed batch; `index` and `target` stay."""


class ImageSet:
    """Rows of a memory-mapped cache file, or a selection of them.

    Pixels stay in the file: processes that open the same one share the system's page cache, and
    only the rows of a batch are copied; or they are all copied to a device at once (`held_on`). A
    set pickles as its path.

    Attributes:
        labels: Class indices of the rows, int64, [N].
        class_names: Names in the order of the labels.
        mean: Mean of each channel, of pixels in [0, 1].
        std: Standard deviation of each channel.
        image_shape: C, H, W.
        has_masks: Whether batches carry masks.
        soft_masks: Whether these are attention in [0, 1] instead of true or false.
        is_demo: Whether this is a stand-in for the real data set.
        key: Hash that identifies source, transform, rows, change and choice of classes.
        change: What is done to every batch on its way out; None for nothing.
        n_underlying: Rows of the whole underlying set, to which the batches' `index` points.
        window: Side of the squares that images are cut to; None where they are left as they are.
    """

    def __init__(
        self,
        path: Path,
        cache: CacheFile,
        rows: Tensor | None,
        change: Change | None = None,
        classes: tuple[str, ...] | None = None,
        window: int | None = None,
    ) -> None:
        header = cache.header
        self._path = path.absolute()  # a pickled set is opened in other working directories
        self._cache = cache
        self._rows = rows
        self.labels = cache.labels if rows is None else cache.labels[rows]
        self.class_names: tuple[str, ...] = header.class_names
        self._classes = classes
        if classes is not None:
            self.class_names = classes
            numbers = torch.full((len(header.class_names),), -1)
            for number, name in enumerate(classes):
                numbers[header.class_names.index(name)] = number
            self.labels = numbers[self.labels]
        self.mean: tuple[float, ...] = header.mean
        self.std: tuple[float, ...] = header.std
        self.image_shape: tuple[int, int, int] = header.image_shape
        self.has_masks: bool = header.has_masks
        self.soft_masks: bool = header.soft_masks
        self.is_demo: bool = header.is_demo
        self.key: str = header.key if rows is None else _selection_key(header.key, rows)
        if classes is not None:
            self.key = hashlib.sha256(f"{self.key} {list(classes)}".encode()).hexdigest()
        self.window = window
        if window is not None:
            self.image_shape = (header.image_shape[0], window, window)
            self.key = hashlib.sha256(f"{self.key} window {window}".encode()).hexdigest()
        # All rows on a device, where they are kept there.
        self._held: GatheredRows | None = None
        self.change = change
        self.n_underlying = len(cache.labels)
        if change is not None:
            self.key = hashlib.sha256(f"{self.key} {change.key}".encode()).hexdigest()
            self.has_masks = self.has_masks or change.gives_masks
            self.soft_masks = self.soft_masks and not change.gives_masks

    @classmethod
    def open(cls, path: Path) -> Self:
        """Map a cache file that `build_or_open` wrote, verified once on each machine.

        Args:
            path: The Arrow file.

        Raises:
            DataError: The file is damaged, foreign or of another version.
            FileNotFoundError: There is none.
        """
        return cls(path, open_verified(path), None)

    @classmethod
    def open_unverified(cls, path: Path) -> Self:
        """Map a cache file that is going to be copied, whose copy is verified."""
        return cls(path, open_cache(path), None)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"ImageSet({self._path.name}, {len(self)} rows, key {self.key[:12]})"

    def __reduce__(self) -> tuple[object, ...]:
        rows = None if self._rows is None else self._rows.numpy()
        key = self._cache.header.key
        return _reopen, (self._path, key, rows, self.change, self._classes, self.window)

    @property
    def path(self) -> Path:
        """The cache file."""
        return self._path

    @property
    def ids(self) -> tuple[str, ...]:
        """The images' names in their data set, in the rows' order."""
        every = [name for chunk in self._cache.ids for name in chunk.to_pylist()]
        rows = range(len(every)) if self._rows is None else self._rows.tolist()
        return tuple(every[row] for row in rows)

    def coverage(self) -> Coverage | None:
        """How much of the masks in the file is object; None without. Reads all of them."""
        masks = self._cache.masks
        if masks is None:
            return None
        least = 128 if self.soft_masks else 1
        rows = torch.arange(len(self)) if self._rows is None else self._rows
        shares = [
            (masks.gather(part, torch.device("cpu")) >= least).double().mean(dim=(1, 2, 3))
            for part in torch.split(rows, 256)
        ]
        return Coverage.of(torch.cat(shares).numpy())

    def rows_hash(self) -> str:
        """Hash of which images these are, by their names; the same at every image size."""
        return hashlib.sha256("\n".join(self.ids).encode()).hexdigest()

    def batch(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """Gather rows and hand them over in pixel space.

        Args:
            indices: Positions in this set, int64, [B], in any order, repeats allowed.
            device: Where the batch shall live. Bytes travel, and become floats there.

        Returns:
            B images; `index` names rows of the whole underlying set.

        Raises:
            IndexError: A position lies outside the set.
        """
        return self._as_batch(self._gather(indices, torch.device(device)))

    @property
    def pixel_bytes(self) -> int:
        """Bytes of all rows' pixels and masks."""
        channels, height, width = self._cache.header.image_shape
        return len(self) * (channels + (self._cache.masks is not None)) * height * width

    def held_on(self, device: torch.device) -> ImageSet:
        """The same rows, copied to a device, where batches for it are gathered from then on."""
        held = self._with()
        parts = torch.split(torch.arange(len(self)), MAX_BATCH_ROWS)
        held._held = GatheredRows.joined([self._gather(part, device) for part in parts])
        return held

    def _is_held_on(self, device: torch.device) -> bool:
        return self._held is not None and self._held.image.device.type == device.type

    def _gather(self, indices: Tensor, device: torch.device) -> GatheredRows:
        """Copy the bytes of some rows to a device."""
        if self._held is not None and self._is_held_on(device):
            if indices.device.type != "cpu":  # from `batches`, whose positions are all within
                return self._held.at(indices)
            positions = torch.arange(len(self))[indices]
            return self._held.at(send(positions, self._held.image.device))
        positions = indices.cpu()
        target = self.labels[positions]
        # Negative positions count from the end, as in any sequence; rows are never negative.
        rows = positions % len(self) if self._rows is None else self._rows[positions]
        masks = self._cache.masks
        return GatheredRows(
            image=self._cache.images.gather(rows, device),
            mask=None if masks is None else masks.gather(rows, device),
            target=send(target, device),
            index=send(rows, device),
        )

    def _as_batch(self, rows: GatheredRows, *, uncropped: bool = False) -> Batch:
        mask = rows.mask
        if mask is not None:
            mask = mask.to(torch.float32).div_(255) if self.soft_masks else mask.to(torch.bool)
        batch = Batch(
            image=rows.image.to(torch.float32).div_(255),
            target=rows.target,
            mask=mask,
            index=rows.index,
        )
        if self.window is not None and not uncropped:
            batch = centre_crop(batch, self.window)
        return batch if self.change is None else self.change(batch)

    def select(self, indices: Tensor) -> ImageSet:
        """A set of some of the rows, on the same memory map.

        Args:
            indices: Positions in this set, int64, [M].

        Returns:
            A set of M rows. Its batches' `index` still names rows of the underlying full set.

        Raises:
            IndexError: A position lies outside the set.
        """
        every = torch.arange(len(self)) if self._rows is None else self._rows
        return self._with(rows=every[indices.cpu()])

    def of_classes(self, names: Sequence[str]) -> ImageSet:
        """A set of the rows of some classes, on the same memory map.

        Args:
            names: Classes of this set; their order is that of the new labels.

        Raises:
            ConfigError: There is no class of a name.
        """
        for name in names:
            if name not in self.class_names:
                raise ConfigError(
                    f"data.classes has {name}: use some of {', '.join(self.class_names)}"
                    f"{did_you_mean(name, self.class_names)}"
                )
        numbers = torch.tensor([self.class_names.index(name) for name in names])
        every = torch.arange(len(self)) if self._rows is None else self._rows
        rows = every[torch.isin(self.labels, numbers)]
        return self._with(rows=rows, classes=tuple(names))

    def changed(self, change: Change | None) -> ImageSet:
        """The same rows under another change, on the same memory map.

        Args:
            change: Replaces the one that there is; None gives the rows as they are in the file.
        """
        return self._with(change=change)

    def cropped(self, window: int) -> ImageSet:
        """The same rows, cut to the square in the middle of each image, on the same memory map.

        Args:
            window: Side of the squares in pixels, at most the images'.
        """
        return self._with(window=window)

    def _with(self, **changes: Any) -> ImageSet:
        kept = {"rows": self._rows, "change": self.change, "classes": self._classes}
        return ImageSet(self._path, self._cache, **{**kept, "window": self.window, **changes})

    def batches(
        self,
        batch_size: int,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
        drop_last: bool = False,
        uncropped: bool = False,
    ) -> Iterator[Batch]:
        """Go through the set once; on cuda the next batches travel while one is worked on.

        Args:
            batch_size: Rows per batch, at least 1.
            generator: Shuffles if given; a CPU generator.
            device: Where the batches shall live.
            drop_last: Leave out a last batch that is not full.
            uncropped: Give the images whole, where a window would cut them.

        Yields:
            Batches of `batch_size` rows, the last one possibly shorter.

        Raises:
            ConfigError: The batch size is below 1.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, got {batch_size}: try 64")
        order = torch.arange(len(self))
        if generator is not None:
            order = order[torch.randperm(len(self), generator=generator)]
        device = torch.device(device)
        held = self._is_held_on(device)
        if held:
            order = send(order, device)
        parts = [part for part in torch.split(order, batch_size) if len(part)]
        if drop_last and parts and len(parts[-1]) < batch_size:
            parts.pop()
        # On the CPU the work on a batch needs the cores that another thread would take from it.
        gathered = gather_ahead if device.type == "cuda" and not held else gather_in_turn
        for rows in gathered(self._gather, parts, device):
            yield self._as_batch(rows, uncropped=uncropped)


def _reopen(
    path: Path,
    key: str,
    rows: object,
    change: Change | None = None,
    classes: tuple[str, ...] | None = None,
    window: int | None = None,
) -> ImageSet:
    """Rebuild a pickled set in another process, from the same file."""
    try:
        cache = open_verified(path)
    except InvalidCacheError as error:
        raise DataError(f"{error}: the same command builds it again") from error
    except FileNotFoundError as error:
        raise DataError(
            f"{path} must exist where a pickled image set is opened: put cache_dir on storage "
            "that every node sees, or prepare the data on each node"
        ) from error
    if cache.header.key != key:
        raise DataError(f"{path} holds other rows than when the image set was pickled: load anew")
    chosen = None if rows is None else torch.as_tensor(rows)
    return ImageSet(path, cache, chosen, change, classes, window)


def _selection_key(key: str, rows: Tensor) -> str:
    return hashlib.sha256(key.encode() + rows.numpy().tobytes()).hexdigest()
