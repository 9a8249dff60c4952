"""Torchvision's networks at other widths, where their layout has one number to scale."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import torch
from torch import nn
from torchvision.models import VGG, DenseNet, MobileNetV2
from torchvision.models.vgg import cfgs, make_layers

from hsplid_core.errors import ConfigError

# Torchvision's layouts: stages of a VGG; growth, layers of each block and first channels of a
# DenseNet.
_VGGS = {"11": "A", "13": "B", "16": "D", "19": "E"}
_DENSENETS = {
    "densenet121": (32, (6, 12, 24, 16), 64),
    "densenet161": (48, (6, 12, 36, 24), 96),
    "densenet169": (32, (6, 12, 32, 32), 64),
    "densenet201": (32, (6, 12, 48, 32), 64),
}


def scaled_network(name: str, width: float) -> nn.Module:
    """Build a network of torchvision's with every number of channels scaled.

    Args:
        name: A VGG, a DenseNet or ``mobilenet_v2``.
        width: Factor on the channels.

    Raises:
        ConfigError: The network has one width only.
    """
    for pattern, build in _BUILDERS.items():
        if re.fullmatch(pattern, name):
            return build(name, width)
    raise ConfigError(
        f"model.width is {width}: {name} has one width only, use 1, or a network that scales "
        "(lenet3, lenet5, resnet18, resnet34, resnet50, vgg*, densenet*, mobilenet_v2)"
    )


def _scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))


def _vgg(name: str, width: float) -> nn.Module:
    number = name.removeprefix("vgg").removesuffix("_bn")
    stages = [c if isinstance(c, str) else _scaled(c, width) for c in cfgs[_VGGS[number]]]
    # The published classifier has 124 million weights, which the meta device spares.
    with torch.device("meta"):
        network: nn.Module = VGG(nn.Sequential(), init_weights=False)
    network.features = make_layers(stages, batch_norm=name.endswith("_bn"))
    channels, hidden = _scaled(512, width) * 7 * 7, _scaled(4096, width)
    network.classifier = nn.Sequential(
        nn.Linear(channels, hidden),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(hidden, 1000),
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        elif isinstance(module, nn.Linear):
            # Torchvision's 0.01 at width 1; the activations keep their size at others.
            nn.init.normal_(module.weight, 0, 0.01 / math.sqrt(width))
            nn.init.zeros_(module.bias)
    return network


def _densenet(name: str, width: float) -> nn.Module:
    growth, blocks, channels = _DENSENETS[name]
    network: nn.Module = DenseNet(_scaled(growth, width), blocks, _scaled(channels, width))
    return network


def _mobilenet(name: str, width: float) -> nn.Module:
    network: nn.Module = MobileNetV2(width_mult=width)
    return network


_BUILDERS: dict[str, Callable[[str, float], nn.Module]] = {
    r"vgg\d+(_bn)?": _vgg,
    r"densenet\d+": _densenet,
    r"mobilenet_v2": _mobilenet,
}
