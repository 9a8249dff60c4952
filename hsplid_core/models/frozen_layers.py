"""Frozen layers: parts of a network that stay as they are while the rest trains."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from hsplid_core.errors import ConfigError, did_you_mean
from hsplid_core.models.masked import MaskedClassifier

_BACKBONE = "backbone"


def freeze_layers(model: MaskedClassifier, names: Sequence[str]) -> tuple[nn.Module, ...]:
    """Keep gradients from some layers for good.

    Args:
        model: Changed in place.
        names: Paths of modules in the published network, such as ``layer1``; ``backbone`` is all
            before the classification layer.

    Returns:
        The layers. Whoever trains the model has to keep them in eval mode, or their batch
        statistics would move on.

    Raises:
        ConfigError: The network has no such layer.
    """
    prefix = str(getattr(model.encoder, "native_prefix", ""))
    network = model.encoder.get_submodule(prefix.removesuffix("."))
    known = [path for path, _ in network.named_modules() if path]
    for name in names:
        if name not in (_BACKBONE, *known):
            blocks = [path for path in known if "." not in path]
            raise ConfigError(
                f"training.frozen has {name}: use {_BACKBONE}, {', '.join(blocks)}, or a layer "
                f"inside one of them{did_you_mean(name, known)}"
            )
    layers = tuple(network if n == _BACKBONE else network.get_submodule(n) for n in names)
    for layer in layers:
        layer.requires_grad_(False)
    return layers
