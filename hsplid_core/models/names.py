"""Names of networks, and whether a configuration asks for one of them."""

from __future__ import annotations

from torchvision.models import get_model_weights

from hsplid_core.config import ModelConfig
from hsplid_core.errors import did_you_mean
from hsplid_core.files import from_home
from hsplid_core.models.resnet import RESNETS
from hsplid_core.models.timm_encoder import is_timm, timm_faults
from hsplid_core.models.torchvision_encoder import CLASSIFIERS

_OWN = ("lenet3", "lenet5", *RESNETS)

MODELS: tuple[str, ...] = (*_OWN, *(n for n in CLASSIFIERS if n not in RESNETS))
"""Names of all networks; torchvision's may be refused when built, for want of a linear head."""


def model_faults(config: ModelConfig) -> list[str]:
    """Say what in a model's configuration nothing answers to, before anything is built.

    Args:
        config: Which network, and which weights.

    Returns:
        One sentence for each fault, naming the field; none where all is well.
    """
    if is_timm(config.name):
        faults = timm_faults(config)
    elif config.name not in MODELS:
        known = ", ".join(_OWN)
        return [
            f"model.name is {config.name}: use {known}, or a classifier of torchvision such as "
            f"vgg16, densenet121, efficientnet_b0 or vit_b_16{did_you_mean(config.name, MODELS)}"
        ]
    else:
        faults = _weights_faults(config)
    if config.checkpoint is not None and not from_home(config.checkpoint).is_file():
        faults.append(f"model.checkpoint is {config.checkpoint}: there is no such file")
    return faults


def _weights_faults(config: ModelConfig) -> list[str]:
    published = published_names(config)
    if config.weights is None or config.weights in published:
        return []
    there = ", ".join(published) or "none"
    return [f"model.weights is {config.weights}: {config.name} has {there}"]


def published_names(config: ModelConfig) -> list[str]:
    """Return the names of the weights that torchvision publishes of a network.

    Args:
        config: Which network.
    """
    if config.name not in CLASSIFIERS:
        return []
    return list(get_model_weights(config.name).__members__)
