"""Any classifier of torchvision as an encoder: everything before its last linear layer."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import VGG, DenseNet, get_model, list_models

from hsplid_core.errors import ConfigError
from hsplid_core.models._surgery import (
    has_stem,
    keep_inputs,
    set_input_channels,
    use_bare_stem,
    use_small_classifier,
    use_small_stem,
)
from hsplid_core.models._widths import scaled_network

CLASSIFIERS: tuple[str, ...] = tuple(list_models(module=torchvision.models))
"""Names of torchvision's classifiers."""

_CLASSES = 1000
_NORMALISATIONS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
# Where networks keep the layers that follow one another, in the order in which they run.
_TRUNKS = ("features", "encoder.layers", "trunk_output", "blocks")


class TorchvisionEncoder(nn.Module):
    """A torchvision classifier up to its penultimate features: [B, C, H, W] to [B, D].

    Activations that would overwrite their input are told not to, which changes no number, and
    auxiliary classifiers are left out.

    Args:
        name: One of :data:`CLASSIFIERS`.
        image_shape: Channels C, height and width of the images.
        width: Factor on every number of channels, where the network scales.
        norm: ``none`` for networks without normalisation layers.
        stem: ``small`` replaces a 7x7 stem by a 3x3 one, and a VGG's hidden layers by small ones;
            ``bare`` leaves a DenseNet's 3x3 convolution alone, without normalisation behind it.

    Raises:
        ConfigError: The network has no linear head, does not take these images, or has not what
            the other arguments ask for.

    Attributes:
        num_features: Length D of the features.
        hidden_layers: What HBaR regularises: the pooled stages of a VGG, else the blocks of the
            trunk; empty where the network has no such list.
        native_head: Path of the classification layer in torchvision's own module.
        native_prefix: Where torchvision's state dicts begin in this module's.
    """

    native_prefix: ClassVar[str] = "network."

    def __init__(
        self,
        name: str,
        *,
        image_shape: tuple[int, int, int],
        width: float = 1.0,
        norm: Literal["none", "batch"] = "batch",
        stem: Literal["imagenet", "small", "bare"] = "imagenet",
    ) -> None:
        super().__init__()
        network = _network(name, image_shape, width)
        if norm == "none":
            refuse_normalisation(name, network)
        if stem == "bare":
            if not isinstance(network, DenseNet):
                raise ConfigError(f"model.stem is bare: {name} is no DenseNet; use small")
            use_bare_stem(network)
        elif stem == "small":
            if isinstance(network, VGG):
                use_small_classifier(network, image_shape[1:])
            elif not has_stem(network):
                raise ConfigError(
                    f"model.stem is small: {name} has no 7x7 stem to replace; use imagenet or auto"
                )
            else:
                use_small_stem(network)
        set_input_channels(network, image_shape[0])
        keep_inputs(network)
        self.native_head, head = _find_head(name, network)
        network.set_submodule(self.native_head, nn.Identity())
        self.network = network
        self.num_features = head.in_features
        self.hidden_layers = tuple(f"network.{path}" for path in _hidden_layers(network))
        probe(self, name, image_shape)

    def forward(self, x: Tensor) -> Tensor:
        """Encode normalised images [B, C, H, W]; features [B, D]."""
        features: Tensor = self.network(x)
        return features


def resolve_stem(
    name: str, stem: Literal["imagenet", "small", "bare", "auto"], image_size: int
) -> Literal["imagenet", "small", "bare"]:
    """Decide ``auto``: small below 224 pixels where the network has a 7x7 stem.

    Args:
        name: The network.
        stem: What the configuration says.
        image_size: Side length of the images in pixels.
    """
    if stem != "auto":
        return stem
    replaceable = name.startswith(("resnet", "resnext", "wide_resnet", "densenet"))
    return "small" if image_size < 224 and replaceable else "imagenet"


def refuse_normalisation(name: str, network: nn.Module) -> None:
    """Refuse a published network that has normalisation layers where none are wanted.

    Raises:
        ConfigError: It has some.
    """
    if any(isinstance(module, _NORMALISATIONS) for module in network.modules()):
        raise ConfigError(
            f"model.norm is none: {name} has normalisation layers and is not made to train "
            "without; use model.norm=batch, or a ResNet (18, 34, 50), a VGG or a LeNet"
        )


@torch.no_grad()
def probe(encoder: nn.Module, name: str, image_shape: tuple[int, int, int]) -> None:
    """Encode one image, so that what does not fit is told before training.

    Args:
        encoder: Images to features of its ``num_features``.
        name: The network's, for errors.
        image_shape: Channels, height and width of the images.

    Raises:
        ConfigError: It does not take such images, or its features are no vector.
    """
    encoder.eval()
    shape = "x".join(str(size) for size in image_shape)
    try:
        found = tuple(encoder(torch.zeros(1, *image_shape)).shape)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ConfigError(
            f"model.name is {name}: it does not take images of {shape} ({_first_line(error)});"
            " change data.image_size, or choose another network"
        ) from error
    if found != (1, encoder.num_features):
        raise ConfigError(
            f"model.name is {name}: the input of its last linear layer is not its feature "
            f"vector ({found} instead of {(1, encoder.num_features)}); choose another network"
        )
    encoder.train()


def _network(name: str, image_shape: tuple[int, int, int], width: float) -> nn.Module:
    if width != 1:
        return scaled_network(name, width)
    _, height, wide = image_shape
    arguments: dict[str, object] = {}
    if name.startswith("vit_"):
        arguments["image_size"] = height
    elif name.startswith("maxvit_"):
        arguments["input_size"] = (height, wide)
    elif name in ("googlenet", "inception_v3"):
        # Only the initialisation's default would change in a later version, says a warning.
        arguments.update(aux_logits=False, init_weights=True)
    try:
        network: nn.Module = get_model(name, weights=None, **arguments)
    except (ValueError, AssertionError) as error:
        raise ConfigError(
            f"model.name is {name}: it cannot be built for images of {height}x{wide} "
            f"({_first_line(error)}); change data.image_size"
        ) from error
    return network


def _find_head(name: str, network: nn.Module) -> tuple[str, nn.Linear]:
    """Find the last linear layer that gives one score for each published class."""
    heads = [
        (path, module)
        for path, module in network.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == _CLASSES
    ]
    if not heads:
        raise ConfigError(
            f"model.name is {name}: it has no linear classification layer, so there is no "
            "feature vector to mask; choose another network"
        )
    return heads[-1]


def _hidden_layers(network: nn.Module) -> list[str]:
    modules = dict(network.named_modules())
    trunk = next((path for path in _TRUNKS if path in modules), None)
    if trunk is None:
        return []
    children = [(f"{trunk}.{name}", child) for name, child in modules[trunk].named_children()]
    pools = [path for path, child in children if isinstance(child, nn.MaxPool2d)]
    if len(pools) > 1:
        return pools
    return [path for path, child in children if any(True for _ in child.parameters())]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
