"""Checkpoints of trials: which one to go on from, and the model's weights out of one."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from hsplid_core.bucket_path import AnyPath
from hsplid_core.errors import CheckpointError
from hsplid_core.models.state_files import read_state


def read_weights(path: AnyPath) -> dict[str, Tensor]:
    """Read the model's weights out of a checkpoint file.

    Raises:
        CheckpointError: The file is damaged, or holds no model.
        BucketError: It lies in a bucket that does not answer, or refuses.
    """
    state = read_state(path)
    if "model" not in state:
        raise CheckpointError(f"{path} holds {sorted(state)}, but no model")
    weights: dict[str, Tensor] = state["model"]
    return weights


def newest_readable(paths: Iterable[AnyPath]) -> AnyPath | None:
    """Pick the checkpoint with the most epochs among those that are whole.

    Args:
        paths: Checkpoint files, in any order; damaged and missing ones are passed over.

    Raises:
        BucketError: They lie in a bucket that does not answer, or refuses.
    """
    best: tuple[int, AnyPath] | None = None
    for path in paths:
        try:
            epoch = int(read_state(path)["epoch"])
        except CheckpointError:
            continue
        if best is None or epoch > best[0]:
            best = epoch, path
    return None if best is None else best[1]
