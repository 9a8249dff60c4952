"""Checkpoints of trials: which one to go on from, and the model's weights out of one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from hsplid_core.errors import CheckpointError
from hsplid_core.models.state_files import read_state


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the model's weights out of a checkpoint file.

    Raises:
        CheckpointError: The file is damaged, or holds no model.
    """
    state = read_state(path)
    if "model" not in state:
        raise CheckpointError(f"{path} holds {sorted(state)}, but no model")
    weights: dict[str, Tensor] = state["model"]
    return weights


def newest_readable(paths: Iterable[Path]) -> Path | None:
    """Pick the checkpoint with the most epochs among those that are whole.

    Args:
        paths: Checkpoint files, in any order; damaged and missing ones are passed over.
    """
    best: tuple[int, Path] | None = None
    for path in paths:
        try:
            epoch = int(read_state(path)["epoch"])
        except CheckpointError:
            continue
        if best is None or epoch > best[0]:
            best = epoch, path
    return None if best is None else best[1]
