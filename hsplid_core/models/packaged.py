"""A trained model as a folder that stands for itself, and its reader in any process.

A package is a folder with one file of weights and their description (``state.pt``, read with
``weights_only=True``) and its checksum. Nothing but this library is needed to open it: no sweep,
no tracking server, no pickled code. MLflow's ``python_function`` flavour asks a module for
``_load_pyfunc``, which is here, so a registered model is a package too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hsplid_core.errors import CheckpointError
from hsplid_core.models.masked import MaskedClassifier
from hsplid_core.models.state_files import STATE_FILE, read_state, write_state
from hsplid_core.models.trained import DESCRIPTION, TrainedModel, rebuild

_BATCH = 256


class Predictor:
    """A packaged model behind MLflow's interface.

    Args:
        trained: The model.
    """

    def __init__(self, trained: TrainedModel) -> None:
        self._trained = trained

    def predict(
        self, model_input: NDArray[np.float32], params: Mapping[str, Any] | None = None
    ) -> NDArray[np.float32]:
        """Return logits [N, K] of images [N, C, H, W] with pixels in [0, 1]."""
        images = torch.from_numpy(np.array(model_input, dtype=np.float32))
        with torch.inference_mode():
            logits = [self._trained.model(batch) for batch in torch.split(images, _BATCH)]
        found: NDArray[np.float32] = torch.cat(logits).numpy()
        return found

    def get_raw_model(self) -> MaskedClassifier:
        """Return the network itself, in eval mode."""
        return self._trained.model


def write_package(folder: Path, checkpoint: Mapping[str, Any]) -> None:
    """Write the package of a checkpoint's model, without what only training needs.

    Args:
        folder: Where to write; created where it is missing.
        checkpoint: Holds ``model``, the weights, and their description.

    Raises:
        CheckpointError: There is no description, or the weights do not fit it.
    """
    rebuild(checkpoint, source="the checkpoint")
    folder.mkdir(parents=True, exist_ok=True)
    write_state(folder / STATE_FILE, {key: checkpoint[key] for key in ("model", DESCRIPTION)})


def open_package(folder: Path) -> TrainedModel:
    """Open a package, or whatever folder holds one: a checkpoint, a model of MLflow.

    Raises:
        CheckpointError: There is none, it is damaged, or it does not say which model it is.
    """
    files = [folder / STATE_FILE, *sorted(folder.rglob(STATE_FILE))]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        raise CheckpointError(f"{folder} holds no {STATE_FILE}: no sweep wrote it")
    return rebuild(read_state(found), source=str(folder))


def _load_pyfunc(path: str) -> Predictor:
    return Predictor(open_package(Path(path)))
