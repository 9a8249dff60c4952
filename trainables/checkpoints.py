"""Checkpoints of trials: whose they are, which one to go on from, and the weights out of one."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hsplid_core.bucket_path import AnyPath
from hsplid_core.errors import CheckpointError
from hsplid_core.models.state_files import read_state
from trainables.config import ParameterValue

IDENTITY = "identity"
"""Under which key a checkpoint says whose it is."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrialIdentity:
    """The trial that a checkpoint is of.

    Attributes:
        sweep: Identity of its sweep.
        number: The trial's number there.
        parameters: What it changes of the sweep's configuration, by dotted path; None where
            that is not known, and not compared.
        always_told: Whether all checkpoints of the sweep say whose they are. Those of sweeps
            that were begun by earlier versions did not.
    """

    sweep: str
    number: int
    parameters: Mapping[str, ParameterValue] | None
    always_told: bool = True

    def described(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it, in values that any torch reads."""
        # Text: a space of one's own may suggest numpy's numbers, which weights_only refuses.
        parameters = json.dumps(dict(self.parameters or {}), sort_keys=True)
        return {"sweep": self.sweep, "number": self.number, "parameters": parameters}

    def difference(self, state: Mapping[str, Any]) -> str | None:
        """Say why a checkpoint is not this trial's; None where it is.

        Args:
            state: What the checkpoint holds.
        """
        found = state.get(IDENTITY)
        if not isinstance(found, Mapping):
            return "it does not say whose it is" if self.always_told else None
        own = self.described()
        sweep, number, parameters = (found.get(key) for key in own)
        if sweep != own["sweep"]:
            return f"it is of another study, with the id {sweep}"
        if number != own["number"]:
            return f"it is of trial {number}"
        if self.parameters is not None and parameters != own["parameters"]:
            return f"it is of a trial with other parameters: {parameters}"
        return None


def read_weights(path: AnyPath) -> dict[str, Tensor]:
    """Read the model's weights out of a checkpoint file.

    Raises:
        CheckpointError: The file is damaged, or holds no model's weights.
        BucketError: It lies in a bucket that does not answer, or refuses.
    """
    state = read_state(path)
    weights = state.get("model")
    if not isinstance(weights, dict) or not all(
        isinstance(value, Tensor) for value in weights.values()
    ):
        raise CheckpointError(f"{path} holds {sorted(map(str, state))}, but no model's weights")
    return weights


def newest_readable(
    paths: Iterable[AnyPath], identity: TrialIdentity | None = None
) -> AnyPath | None:
    """Pick the checkpoint with the most epochs among those that are whole and of the trial.

    Args:
        paths: Checkpoint files, in any order; damaged, missing and foreign ones are passed over,
            and named in the log.
        identity: The trial; None takes a checkpoint of any.

    Raises:
        BucketError: They lie in a bucket that does not answer, or refuses.
    """
    best: tuple[int, AnyPath] | None = None
    for path in paths:
        try:
            state = read_state(path)
        except CheckpointError as error:
            logger.warning("passed over a checkpoint: %s", error)
            continue
        if identity is not None and (difference := identity.difference(state)) is not None:
            logger.warning("passed over the checkpoint %s: %s", path, difference)
            continue
        epoch = state.get("epoch")
        if not isinstance(epoch, int):
            logger.warning("passed over the checkpoint %s: it does not say of which epoch", path)
            continue
        if best is None or epoch > best[0]:
            best = epoch, path
    return None if best is None else best[1]
