"""Small changes to a finished network: its first convolution, its stem, its activations."""

from __future__ import annotations

from torch import nn
from torchvision.models import VGG, DenseNet

from hsplid_core.errors import ConfigError


def keep_inputs(network: nn.Module) -> None:
    """Make activations write a new tensor instead of their input.

    The numbers stay the same. Backward hooks on modules, as attributions use them, and
    ``torch.func`` do not work across a module that overwrites its input.
    """
    for module in network.modules():
        if getattr(module, "inplace", False):
            setattr(module, "inplace", False)  # noqa: B010  # no attribute of every module


def set_input_channels(network: nn.Module, channels: int) -> None:
    """Give a network's first convolution another number of input channels, newly initialised.

    Args:
        network: Changed in place, where its first convolution takes another number.
        channels: Channels of the images.
    """
    path, first = next(
        (path, m) for path, m in network.named_modules() if isinstance(m, nn.Conv2d)
    )
    if first.in_channels != channels:
        network.set_submodule(path, _like(first, in_channels=channels))


def use_small_stem(network: nn.Module) -> None:
    """Replace a 7x7 stem of stride 2 and its pooling by a 3x3 convolution of stride 1.

    Args:
        network: A ResNet or a DenseNet in torchvision's layout, changed in place.
    """
    convolution, pooling = _stem(network)
    first = network.get_submodule(convolution)
    assert isinstance(first, nn.Conv2d)
    network.set_submodule(convolution, _like(first, kernel_size=3, stride=1, padding=1))
    network.set_submodule(pooling, nn.Identity())


def use_bare_stem(network: DenseNet) -> None:
    """Leave a 3x3 convolution alone of a DenseNet's stem, as its authors do for small images.

    Args:
        network: Changed in place.
    """
    use_small_stem(network)
    for part in ("norm0", "relu0"):
        network.features.set_submodule(part, nn.Identity())


def use_small_classifier(network: VGG, image_size: tuple[int, ...]) -> None:
    """Replace a VGG's pooling to 7x7 and its wide hidden layers, which small images cannot fill.

    The hidden layers get as many values as the last convolution has channels, 512 in the
    published networks, on its features as they come: 512 of them from images of 32 pixels, as in
    the released code of Hold me tight! (2002.06349).

    Args:
        network: Changed in place.
        image_size: Height and width of the images.
    """
    channels = [m for m in network.features if isinstance(m, nn.Conv2d)][-1].out_channels
    height, width = (size // 32 for size in image_size)
    network.avgpool = nn.Identity()
    network.classifier = nn.Sequential(
        nn.Linear(channels * height * width, channels),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(channels, channels),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(channels, 1000),
    )


def has_stem(network: nn.Module) -> bool:
    """Whether :func:`use_small_stem` can change this network."""
    names = dict(network.named_modules())
    return any(all(part in names for part in stem) for stem in _STEMS)


_STEMS = (("conv1", "maxpool"), ("features.conv0", "features.pool0"))


def _stem(network: nn.Module) -> tuple[str, str]:
    names = dict(network.named_modules())
    for stem in _STEMS:
        if all(part in names for part in stem):
            return stem
    raise ConfigError("stem is small: this network has no 7x7 stem to replace, use imagenet")


def _like(
    convolution: nn.Conv2d,
    *,
    in_channels: int | None = None,
    kernel_size: int | None = None,
    stride: int | None = None,
    padding: int | None = None,
) -> nn.Conv2d:
    """Make a convolution that differs from another one in some respects."""
    size, step, border = convolution.kernel_size, convolution.stride, convolution.padding
    made = nn.Conv2d(
        convolution.in_channels if in_channels is None else in_channels,
        convolution.out_channels,
        (size[0], size[1]) if kernel_size is None else kernel_size,
        (step[0], step[1]) if stride is None else stride,
        border if padding is None else padding,  # type: ignore[arg-type]
        bias=convolution.bias is not None,
    )
    nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")
    return made
