"""Duplicates: images that show the same pixels, in one split of a data set or in both.

An image that is in training and test alike makes the test easier than it is; one that bears two
labels can't be learnt.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsplid_core.data.cache.image_set import ImageSet
from hsplid_core.files import replacing

logger = logging.getLogger(__name__)


def fingerprint(pixels: bytes) -> int:
    """Hash of an image's decoded pixels, of 64 bits: equal for equal files."""
    return int.from_bytes(hashlib.blake2b(pixels, digest_size=8).digest())


class Images(NamedTuple):
    """A split's images, in its order.

    Attributes:
        prints: Fingerprints, uint64, [N].
        labels: Class indices, int64, [N].
    """

    prints: NDArray[np.uint64]
    labels: NDArray[np.int64]


class Member(NamedTuple):
    """One of several equal images: the split's number, its row there, its label."""

    split: int
    row: int
    label: int


def equal_images(splits: Sequence[Images]) -> Iterator[list[Member]]:
    """Find images that are equal.

    Args:
        splits: Of one data set, with the same classes.

    Yields:
        Groups of two or more, each in the splits' order.
    """
    if not splits:
        return
    prints = np.concatenate([images.prints for images in splits])
    labels = np.concatenate([images.labels for images in splits])
    numbers = np.repeat(np.arange(len(splits)), [len(images.prints) for images in splits])
    starts = np.concatenate([[0], np.cumsum([len(images.prints) for images in splits])])
    order = np.argsort(prints, kind="stable")
    bounds = np.flatnonzero(np.diff(prints[order])) + 1
    begins, ends = np.concatenate([[0], bounds]), np.concatenate([bounds, [len(order)]])
    for group in np.flatnonzero(ends - begins > 1):
        yield [
            Member(int(numbers[at]), int(at - starts[numbers[at]]), int(labels[at]))
            for at in order[begins[group] : ends[group]]
        ]


def training_without_equals(training: ImageSet, test: ImageSet, folder: Path) -> Tensor:
    """Choose the training images that `kept_in_training` keeps.

    Every image is read for it, so that the choice is remembered beside the caches.

    Args:
        training: All images that are trained on or validated with.
        test: The test images.
        folder: Where to remember it.

    Returns:
        Positions in `training` that are kept, int64, in ascending order.
    """
    key = hashlib.sha256(f"{training.key} {test.key}".encode()).hexdigest()[:20]
    memo = folder / f"unequal-{key}.npy"
    # Missing or damaged: it is found out once more.
    with contextlib.suppress(OSError, ValueError, EOFError, TypeError):
        known = torch.from_numpy(np.load(memo))
        if known.dtype == torch.int64 and known.ndim == 1 and len(known) <= len(training):
            return known
    kept = np.flatnonzero(kept_in_training(_printed(training), _printed(test)))
    if len(kept) < len(training):
        count = len(training) - len(kept)
        logger.warning("%d of %d training images equal others: left out", count, len(training))
    try:
        with replacing(memo) as handle:
            np.save(handle, kept)
    except OSError as error:  # a cache on read-only storage
        logger.debug("could not remember which images are equal: %s", error)
    return torch.from_numpy(kept)


def _printed(images: ImageSet) -> Images:
    prints = [
        fingerprint(pixels.numpy().tobytes())
        for batch in images.batches(256)
        for pixels in batch.image.mul(255).round().byte()
    ]
    return Images(np.array(prints, np.uint64), images.labels.numpy())


def kept_in_training(training: Images, test: Images) -> NDArray[np.bool_]:
    """Choose training images that have no equal: none in the test images, none of another label.

    Of several that are equal and of one label, the first is kept.

    Returns:
        Whether each training image is kept, bool, [N].
    """
    kept = np.ones(len(training.prints), dtype=bool)
    for group in equal_images([training, test]):
        rows = [member.row for member in group if member.split == 0]
        alone = all(member.split == 0 and member.label == group[0].label for member in group)
        kept[rows[1:] if alone else rows] = False
    return kept
