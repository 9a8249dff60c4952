"""From a model's configuration to the model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from hsplid_core.config import ModelConfig
from hsplid_core.errors import ConfigError
from hsplid_core.frequency.filters import FrequencyFilter
from hsplid_core.models.lenet import LeNet3Encoder, LeNet5Encoder
from hsplid_core.models.masked import MaskedClassifier
from hsplid_core.models.names import model_faults
from hsplid_core.models.resnet import RESNETS, ResNetEncoder
from hsplid_core.models.timm_encoder import TimmEncoder, is_timm
from hsplid_core.models.torchvision_encoder import TorchvisionEncoder, resolve_stem
from hsplid_core.models.weights import load_weights


def build_model(
    config: ModelConfig,
    *,
    image_shape: tuple[int, int, int],
    num_classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int,
    front: FrequencyFilter | None = None,
) -> MaskedClassifier:
    """Build a classifier, with seeded random weights or those that the configuration names.

    Args:
        config: Which network.
        image_shape: Channels, height and width of the images.
        num_classes: Number of classes.
        mean: Channel means in pixel space, or behind a filter that loses frequencies.
        std: Channel standard deviations, likewise.
        seed: Seed of the weights; the global random state is left as it was.
        front: Filter of the pixels before they are normalised.

    Raises:
        ConfigError: The name is unknown, or the images do not fit the network.
        CheckpointError: The named weights cannot be had, or do not fit.
    """
    if faults := model_faults(config):
        raise ConfigError("; ".join(faults))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = _encoder(config, image_shape)
        head = nn.Linear(encoder.num_features, num_classes)
    activation = nn.ReLU() if config.name == "lenet3" else None
    model = MaskedClassifier(encoder, head, mean=mean, std=std, activation=activation, front=front)
    load_weights(model, config)
    return model


def _encoder(
    config: ModelConfig, image_shape: tuple[int, int, int]
) -> ResNetEncoder | LeNet3Encoder | LeNet5Encoder | TorchvisionEncoder | TimmEncoder:
    channels, height, width = image_shape
    if is_timm(config.name):
        return TimmEncoder(config, image_shape=image_shape)
    if config.name == "lenet3":
        if height != width or height % 4:
            raise ConfigError(
                f"model.name is lenet3 but images are {height}x{width}: use square images "
                "whose side is a multiple of 4"
            )
        return LeNet3Encoder(image_size=height, width=config.width, in_channels=channels)
    if config.name == "lenet5":
        if height != width or height < 12:
            raise ConfigError(
                f"model.name is lenet5 but images are {height}x{width}: use square images of at "
                "least 12 pixels"
            )
        return LeNet5Encoder(image_size=height, width=config.width, in_channels=channels)
    stem = resolve_stem(config.name, config.stem, height)
    if config.name in RESNETS:
        if stem == "bare":
            raise ConfigError(f"model.stem is bare: {config.name} is no DenseNet; use small")
        return ResNetEncoder(
            config.name,
            width=config.width,
            norm=config.norm,
            stem=stem,
            in_channels=channels,
        )
    return TorchvisionEncoder(
        config.name, image_shape=image_shape, width=config.width, norm=config.norm, stem=stem
    )
