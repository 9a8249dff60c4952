"""Finding the layer whose activations Grad-CAM weighs."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from hsplid_core.errors import ConfigError


def last_spatial_layer(model: nn.Module, image: Tensor) -> nn.Module:
    """Find the last module that puts out a map of more than one place.

    Modules that run more than once (the activation that a residual block shares) are passed over:
    a hook could not tell their outputs apart.

    Args:
        model: Runs once, on one image.
        image: Images, [B, C, H, W].

    Returns:
        The module that finishes last among those with an output [1, D, h, w], h * w > 1. That is
        the last stage of a ResNet, or the feature extractor of a VGG.

    Raises:
        ConfigError: No module has such an output.
    """
    runs: Counter[nn.Module] = Counter()
    spatial: list[nn.Module] = []

    def look(module: nn.Module, arguments: tuple[object, ...], output: object) -> None:
        runs[module] += 1
        if isinstance(output, Tensor) and output.ndim == 4 and output[0, 0].numel() > 1:
            spatial.append(module)

    with ExitStack() as stack, torch.no_grad():
        for module in model.modules():
            stack.callback(module.register_forward_hook(look).remove)
        model(image[:1].detach())
    once = [module for module in spatial if runs[module] == 1 and module is not model]
    if not once:
        raise ConfigError(
            f"grad_cam needs a layer with a map of features, and {type(model).__name__} has none "
            "for these images: use another method, or larger images"
        )
    return once[-1]
