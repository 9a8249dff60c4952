"""Weights that a model begins with: published by torchvision or timm, or from a file."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.models import Weights, get_model_weights

from hsplid_core.config import ModelConfig
from hsplid_core.errors import CheckpointError, ConfigError
from hsplid_core.files import from_home
from hsplid_core.models.masked import MaskedClassifier
from hsplid_core.models.state_dicts import fit_state
from hsplid_core.models.state_files import load_plain
from hsplid_core.models.timm_encoder import fetch_from_timm, is_timm, published_by_timm

# Under which key programs keep the network's state dict in a checkpoint: this project and many
# others, Lightning, tutorials, and AdvGrad's training scripts.
_SECTIONS = ("model", "state_dict", "model_state_dict", "net")
# These were trained on inputs in [-1, 1]; torchvision converts ImageNet's normalisation to it.
_HALF = ("googlenet", "inception_v3")


def load_weights(model: MaskedClassifier, config: ModelConfig) -> None:
    """Give a new model the weights that its configuration names, if any.

    Args:
        model: Changed in place.
        config: Its configuration.

    Raises:
        ConfigError: Published weights are asked for, but not of a published network.
        CheckpointError: The weights cannot be had, or do not fit.
    """
    if config.weights is not None and is_timm(config.name):
        _load_from_timm(model, config.name, config.weights)
    elif config.weights is not None:
        _load_published(model, config.name, config.weights, config)
    elif config.checkpoint is not None:
        path = from_home(config.checkpoint)
        fit_state(model, read_tensors(path), source=str(path), new_head=config.new_head)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a network's tensors out of a file, without running any code that it may hold.

    Args:
        path: A state dict, a checkpoint that holds one, or safetensors (by its ending, where that
            package is installed).

    Raises:
        CheckpointError: The file is missing, damaged, holds other objects than tensors and plain
            values, or no state dict.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        with path.open("rb") as file:
            content: Any = load_plain(file, source=str(path))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    for section in (None, *_SECTIONS):
        found = content if section is None else _section(content, section)
        if tensors := _only_tensors(found):
            return tensors
    keys = sorted(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
    raise CheckpointError(
        f"{path} holds no state dict: there is none at its top nor under {', '.join(_SECTIONS)}, "
        f"only {keys}"
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        safetensors: Any = importlib.import_module("safetensors.torch")
    except ModuleNotFoundError as error:
        raise CheckpointError(
            f"{path} cannot be read without the package safetensors: pip install safetensors"
        ) from error
    try:
        tensors: dict[str, Tensor] = safetensors.load_file(path)
    except Exception as error:  # of a class of its own, which only the package knows
        raise CheckpointError(f"{path} is damaged, or no file of safetensors: {error}") from error
    return tensors


def _section(content: object, name: str) -> object:
    return content.get(name) if isinstance(content, Mapping) else None


def _only_tensors(found: object) -> dict[str, Tensor] | None:
    if not isinstance(found, Mapping) or not found:
        return None
    if not all(isinstance(value, Tensor) for value in found.values()):
        return None
    return {str(name): value for name, value in found.items()}


def _load_from_timm(model: MaskedClassifier, name: str, weights: str) -> None:
    channels = model.mean.shape[1]
    state = fetch_from_timm(name, weights, channels=channels)
    published = published_by_timm(name, weights)
    if channels == len(published.statistics[0]):
        model.set_normalisation(*published.statistics)
    new_head = published.num_classes != model.num_classes
    fit_state(model, state, source=f"model.weights={weights} of {name}", new_head=new_head)


def _load_published(model: MaskedClassifier, name: str, weights: str, config: ModelConfig) -> None:
    entry = get_model_weights(name)[weights].value
    if config.width != 1:
        raise ConfigError(
            f"model.weights is {weights} and model.width is {config.width}: weights are published "
            "for width 1 only"
        )
    state = _download(name, weights, entry)
    channels = model.mean.shape[1]
    if channels == 1:
        state = _for_one_channel(state)
    elif channels != 3:
        raise ConfigError(
            f"model.weights is {weights}, but images have {channels} channels: weights are "
            "published for 3 (and can be summed for 1)"
        )
    else:
        transform = entry.transforms()
        half = [0.5] * 3
        mean, std = (half, half) if name in _HALF else (transform.mean, transform.std)
        model.set_normalisation(mean, std)
    kept = {key: value for key, value in state.items() if not key.lower().startswith("aux")}
    classes = len(entry.meta["categories"])
    source = f"model.weights={weights} of {name}"
    fit_state(model, kept, source=source, new_head=classes != model.num_classes)


def _for_one_channel(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sum the first convolution over its input channels: a grey image has three equal ones."""
    first = next(name for name, value in state.items() if value.ndim == 4)
    return {**state, first: state[first].sum(dim=1, keepdim=True)}


def _download(name: str, weights: str, entry: Weights) -> dict[str, Tensor]:
    """Fetch published weights into torch's cache, or find them there; their hash is checked."""
    try:
        # It says what it does on stdout, which is for a command's answer.
        with redirect_stdout(sys.stderr):
            state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
                entry.url, map_location="cpu", progress=False, check_hash=True, weights_only=True
            )
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        file = Path(torch.hub.get_dir()) / "checkpoints" / entry.url.rpartition("/")[2]
        raise CheckpointError(
            f"model.weights is {weights}: {name}'s weights cannot be had from {entry.url} "
            f"({error}); without a network put the file at {file}, or name one with "
            "model.checkpoint"
        ) from error
    return state
