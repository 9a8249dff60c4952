"""From a model's configuration to the model."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import torch
from torch import nn

from hsplid_core.config import ModelConfig
from hsplid_core.errors import ConfigError
from hsplid_core.models.lenet import LeNet3Encoder
from hsplid_core.models.masked import MaskedClassifier
from hsplid_core.models.resnet import RESNETS, ResNetEncoder

MODELS = ("lenet3", *RESNETS)


def build_model(
    config: ModelConfig,
    *,
    image_shape: tuple[int, int, int],
    num_classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int,
) -> MaskedClassifier:
    """Build a classifier with seeded random weights.

    Args:
        config: Which network.
        image_shape: Channels, height and width of the images.
        num_classes: Number of classes.
        mean: Channel means in pixel space.
        std: Channel standard deviations in pixel space.
        seed: Seed of the weights; the global random state is left as it was.

    Raises:
        ConfigError: The name is unknown, or the images do not fit the network.
    """
    if config.name not in MODELS:
        near = difflib.get_close_matches(config.name, MODELS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"model.name is {config.name}: use one of {sorted(MODELS)}{hint}")
    channels, height, width = image_shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder: ResNetEncoder | LeNet3Encoder
        if config.name in RESNETS:
            encoder = ResNetEncoder(
                config.name,
                width=config.width,
                norm=config.norm,
                stem=config.stem,
                in_channels=channels,
            )
        else:
            if height != width or height % 4:
                raise ConfigError(
                    f"model.name is lenet3 but images are {height}x{width}: use square images "
                    "whose side is a multiple of 4"
                )
            encoder = LeNet3Encoder(image_size=height, width=config.width, in_channels=channels)
        head = nn.Linear(encoder.num_features, num_classes)
    return MaskedClassifier(encoder, head, mean=mean, std=std)
