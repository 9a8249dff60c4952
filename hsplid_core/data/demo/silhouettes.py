"""The real animal silhouettes that the demo is drawn from (see assets/NOTICE)."""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

# Squared distance of two 28x28 alphas in [0, 255]. Exact copies are at 0; pictures up to here
# are the same animal in the same pose, cut out twice.
_SAME_POSE = 5 * 255**2


@cache
def silhouettes() -> dict[str, NDArray[np.uint8]]:
    """Read the silhouettes as they are stored, duplicates included.

    Returns:
        For each class in alphabetical order, soft-edged alpha, uint8, [1000, 28, 28]. The
        zebras' alpha carries their stripes.
    """
    asset = resources.files("hsplid_core.data") / "assets" / "coco_animal_silhouettes.npz"
    with asset.open("rb") as handle, np.load(handle) as arrays:
        return {name: arrays[name] for name in sorted(arrays.files)}


@cache
def distinct_rows(class_name: str) -> NDArray[np.int64]:
    """Find the silhouettes of a class that are no copy of an earlier one.

    Args:
        class_name: A key of :func:`silhouettes`.

    Returns:
        Their rows in ascending order, int64, [M].
    """
    # Whole numbers below 2^53: exact in any order of summation, so equal on every machine.
    stack = silhouettes()[class_name]
    flat = stack.reshape(len(stack), -1).astype(np.float64)
    norms = (flat**2).sum(axis=1)
    distance = norms[:, None] + norms[None, :] - 2 * flat @ flat.T
    earlier = np.tril(distance < _SAME_POSE, k=-1)
    # A silhouette goes as soon as any earlier one is near, kept or not: a chain of near copies
    # leaves only its first, so that no two that are left are alike.
    return np.flatnonzero(~earlier.any(axis=1))


def coverage(class_name: str, alpha: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How far the animal covers each pixel: float32 in [0, 1], [28, 28].

    A zebra's alpha is its brightness, so that dark stripes would be holes; they are closed.
    """
    if class_name != "zebra":
        return np.divide(alpha, 255, dtype=np.float32)
    return np.asarray(~_grown(~_grown(alpha > 24)), dtype=np.float32)


def _grown(area: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Add every pixel that touches the area, corners included."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(area, 1, mode="edge"), (3, 3))
    return np.asarray(windows.any(axis=(2, 3)), dtype=np.bool_)
