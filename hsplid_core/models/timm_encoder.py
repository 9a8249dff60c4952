"""timm's networks as encoders: everything before the classification layer.

timm (Wightman, https://github.com/huggingface/pytorch-image-models) is no requirement of this
library, and imported where it is asked for. Its networks have ``timm/`` before their names, for
torchvision has some of the same.
"""

from __future__ import annotations

import importlib
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from hsplid_core.config import ModelConfig
from hsplid_core.config.normalisation import Statistics
from hsplid_core.errors import CheckpointError, ConfigError, did_you_mean
from hsplid_core.models._surgery import keep_inputs
from hsplid_core.models.torchvision_encoder import probe, refuse_normalisation

_PREFIX = "timm/"
_DEFAULT = "DEFAULT"


class PublishedByTimm(NamedTuple):
    """How weights that timm publishes were trained."""

    statistics: Statistics
    num_classes: int
    image_size: int
    resize_size: int


class TimmEncoder(nn.Module):
    """A network of timm up to its penultimate features: [B, C, H, W] to [B, D].

    Args:
        config: Its ``name`` begins with ``timm/``; ``width`` and ``stem`` are those of timm.
        image_shape: Channels C, height and width of the images.

    Raises:
        ConfigError: The network has no single linear head, does not take these images, or has not
            what the configuration asks for.

    Attributes:
        num_features: Length D of the features.
        hidden_layers: None of these networks names its own for HBaR.
        native_head: Path of the classification layer in timm's own module.
        native_prefix: Where timm's state dicts begin in this module's.
    """

    native_prefix: ClassVar[str] = "network."
    hidden_layers: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: ModelConfig, *, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        if config.width != 1 or config.stem in ("small", "bare"):
            raise ConfigError(
                f"model.width is {config.width:g} and model.stem is {config.stem}: timm's "
                "networks are taken as they are, use width 1 and stem imagenet"
            )
        timm, name = _timm(), config.name.removeprefix(_PREFIX)
        published = timm.get_pretrained_cfg(name)
        channels, height, width = image_shape
        # Transformers have a place for each patch; all others take images of any size.
        sized = {"img_size": (height, width)} if published.fixed_input_size else {}
        network: Any = timm.create_model(name, num_classes=0, in_chans=channels, **sized)
        if not isinstance(published.classifier, str):
            raise ConfigError(
                f"model.name is {config.name}: it has no single linear classification layer, so "
                "there is no feature vector to mask; choose another network"
            )
        if config.norm == "none":
            refuse_normalisation(config.name, network)
        keep_inputs(network)
        self.native_head = published.classifier
        self.network = network
        # Some have a layer between their last features and the head.
        self.num_features = int(getattr(network, "head_hidden_size", network.num_features))
        probe(self, config.name, image_shape)

    def forward(self, x: Tensor) -> Tensor:
        """Encode normalised images [B, C, H, W]; features [B, D]."""
        features: Tensor = self.network(x)
        return features


def is_timm(name: str) -> bool:
    """Tell whether a network's name is one of timm's."""
    return name.startswith(_PREFIX)


def timm_faults(config: ModelConfig) -> list[str]:
    """Say what in the configuration of a network of timm nothing answers to.

    Args:
        config: Which network, and which weights.
    """
    try:
        timm = _timm()
    except ConfigError as error:
        return [f"model.name is {config.name}: {error}"]
    name = config.name.removeprefix(_PREFIX)
    if not timm.is_model(name) or "." in name:
        near = did_you_mean(name, timm.list_models())
        return [f"model.name is {config.name}: timm has no network of that name{near}"]
    tags = _tags(name)
    if config.weights is not None and config.weights not in (*tags, _DEFAULT):
        there = ", ".join((*tags, _DEFAULT)) if tags else "none"
        return [f"model.weights is {config.weights}: {config.name} has {there}"]
    return []


def published_by_timm(name: str, weights: str) -> PublishedByTimm:
    """Say how published weights were trained, without fetching them.

    Args:
        name: A network of timm, prefix and all.
        weights: Their tag, or ``DEFAULT``; there are some of that name.
    """
    known = _timm().get_pretrained_cfg(_tagged(name, weights))
    size = int(known.input_size[-1])
    return PublishedByTimm(
        statistics=(known.mean, known.std),
        num_classes=known.num_classes,
        image_size=size,
        resize_size=round(size / known.crop_pct),
    )


def fetch_from_timm(name: str, weights: str, *, channels: int) -> dict[str, Tensor]:
    """Fetch published weights by timm's own download, or find them in its cache.

    Args:
        name: A network of timm, prefix and all.
        weights: Their tag, or ``DEFAULT``.
        channels: Channels of the images, for which timm changes the first layer.

    Raises:
        CheckpointError: They cannot be had.
    """
    try:
        network: nn.Module = _timm().create_model(
            _tagged(name, weights), pretrained=True, in_chans=channels
        )
    except Exception as error:  # of the hub's classes, of the network's, or of torch's
        cause = str(error).strip().partition("\n")[0]
        raise CheckpointError(
            f"model.weights is {weights}: {name}'s weights cannot be had ({cause}); without a "
            "network name a file of them instead"
        ) from error
    return dict(network.state_dict())


def _tagged(name: str, weights: str) -> str:
    bare = name.removeprefix(_PREFIX)
    return bare if weights == _DEFAULT else f"{bare}.{weights}"


def _tags(name: str) -> tuple[str, ...]:
    published = _timm().list_pretrained(f"{name}.*")
    return tuple(each.partition(".")[2] for each in published)


def _timm() -> Any:
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        raise ConfigError("it is of timm, which is not installed: pip install timm") from error
