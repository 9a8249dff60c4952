"""External models: weights that others trained, and what a person must say of them.

Such a file holds tensors alone. Which network they belong to is said by whoever uses it; how many
classes there are, whether there are normalisation layers and which stem, the tensors tell. How
pixels were normalised they tell only where a wrapper has kept it beside the network, as models of
RobustBench do (``mu`` and ``sigma``, or ``mean`` and ``std``), and of MadryLab's robustness
(``new_mean`` and ``new_std``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from torch import Tensor
from torchvision.models import get_model_weights

from hsplid_core.config import ModelConfig, Section, check
from hsplid_core.config.normalisation import (
    NORMALISATIONS,
    OF_DATA,
    Statistics,
    parse_normalisation,
)
from hsplid_core.config.rules import MOST_IMAGES, MOST_SIDE, within
from hsplid_core.errors import ConfigError
from hsplid_core.frequency.filters import FrequencyFilter
from hsplid_core.models.build import build_model
from hsplid_core.models.masked import MaskedClassifier
from hsplid_core.models.names import model_faults
from hsplid_core.models.pytorch_cifar import is_pytorch_cifar_densenet
from hsplid_core.models.resnet import RESNETS
from hsplid_core.models.state_dicts import count_classes, fit_state
from hsplid_core.models.timm_encoder import is_timm, published_by_timm
from hsplid_core.models.trained import TrainedModel
from hsplid_core.models.weights import read_tensors

_KEPT = (("mu", "sigma"), ("mean", "std"), ("new_mean", "new_std"))


@dataclass(frozen=True, kw_only=True)
class ExternalModel(Section):
    """What is said of weights from elsewhere.

    Attributes:
        name: Name of the network, a key of ``hsplid_core.models.names.MODELS``.
        weights: Weights that torchvision or timm publishes of it; None for those of a file.
        num_classes: Number of classes; None counts them in the weights.
        normalise: How pixels in [0, 1] are normalised: ``imagenet``, ``half`` (mean and deviation
            0.5), ``none``, means and deviations of the channels as ``0.5,0.5,0.5/0.2,0.2,0.2``, or
            ``data`` for those of the data set that it is judged on. None takes it from the
            weights, which may keep it, or from who published them.
        image_size: Side of the images in pixels; None takes that of published weights.
        resize: How pictures become square, crop or stretch; None for each data set's own way.
        resize_size: Side in pixels that they are resized to before the centre crop; None takes
            that of published weights, or ``image_size``.
        channels: Channels of the images.
        width: Factor on every number of channels.
        norm: Kind of normalisation layers; None asks the weights.
        stem: Kind of the first layers; None asks the weights.
        transform: Filter of the images' frequencies before the network, as ``data.transform``.
        bandwidth: Frequencies that lowpass and highpass keep along either axis.
    """

    name: str
    weights: str | None = None
    num_classes: int | None = None
    normalise: str | None = None
    image_size: int | None = None
    resize: Literal["crop", "stretch"] | None = None
    resize_size: int | None = None
    channels: int = 3
    width: float = 1.0
    norm: Literal["none", "batch"] | None = None
    stem: Literal["imagenet", "small", "bare"] | None = None
    transform: Literal["none", "flip", "lowpass", "highpass"] = "none"
    bandwidth: int = 16

    def __post_init__(self) -> None:
        check(
            [
                *within(self, 2, MOST_IMAGES, "num_classes", null="those of the weights"),
                *within(self, 8, MOST_SIDE, "image_size", null="that of published weights"),
                *within(self, self.image_size or 8, MOST_SIDE, "resize_size", null="image_size"),
                *within(self, 1, MOST_SIDE, "channels", "bandwidth"),
                (
                    self.normalise != OF_DATA or self.transform in ("none", "flip"),
                    f"normalise is {OF_DATA}, which is of images as they are: say what the images "
                    f"behind {self.transform} were normalised by, as MEANS/DEVIATIONS",
                ),
            ]
        )

    def front(self, side: int) -> FrequencyFilter | None:
        """Make the filter before the network, for images of so many pixels a side."""
        if self.transform == "none":
            return None
        bandwidth = None if self.transform == "flip" else self.bandwidth
        return FrequencyFilter(self.transform, (side, side), bandwidth)


class _Published(NamedTuple):
    """What is known of published weights."""

    num_classes: int
    image_size: int
    resize_size: int


def open_external(said: ExternalModel, path: Path | None) -> TrainedModel:
    """Open weights that others trained.

    Args:
        said: What they are.
        path: Their file: a state dict of PyTorch, a checkpoint that holds one (Lightning's, say),
            or safetensors; None for published weights.

    Returns:
        The model. Its class names are empty: it answers with the classes of the data set that it
        is judged on, or with ImageNet's.

    Raises:
        ConfigError: Something that must be said is missing or wrong.
        CheckpointError: The weights cannot be had, or do not fit.
    """
    if (path is None) == (said.weights is None):
        raise ConfigError(
            "give a file of weights, or weights=NAME for those that torchvision publishes, and "
            "not both"
        )
    model, size = _published(said) if path is None else _from_file(said, path)
    if said.normalise not in (None, OF_DATA):
        model.set_normalisation(*parse_normalisation(said.normalise, said.channels))
    if said.num_classes not in (None, model.num_classes):
        raise ConfigError(
            f"num_classes is {said.num_classes}, and the weights are of {model.num_classes}: "
            "leave it away, or name other weights"
        )
    return TrainedModel(
        model=model.eval(),
        class_names=(),
        image_shape=(said.channels, size, size),
        data="imagenet" if path is None else "",
        resize=said.resize,
        resize_size=_resize_size(said),
        normalised_by_data=said.normalise == OF_DATA,
    )


def _published(said: ExternalModel) -> tuple[MaskedClassifier, int]:
    network = ModelConfig(name=said.name, norm="batch", stem="imagenet", weights=said.weights)
    if faults := model_faults(network):
        raise ConfigError("; ".join(faults))
    known = _known(said.name, said.weights or "")
    size = said.image_size or known.image_size
    return _build(network, said, size, known.num_classes), size


def _known(name: str, weights: str) -> _Published:
    if is_timm(name):
        return _Published(*published_by_timm(name, weights)[1:])
    entry = get_model_weights(name)[weights].value
    transforms = entry.transforms()
    return _Published(
        num_classes=len(entry.meta["categories"]),
        image_size=int(transforms.crop_size[0]),
        resize_size=int(transforms.resize_size[0]),
    )


def _resize_size(said: ExternalModel) -> int | None:
    if said.resize_size is not None or said.weights is None or said.image_size is not None:
        return said.resize_size
    return _known(said.name, said.weights).resize_size


def _from_file(said: ExternalModel, path: Path) -> tuple[MaskedClassifier, int]:
    if said.image_size is None:
        raise ConfigError(
            f"image_size is not given: {path} does not tell on which images it was trained; say "
            "image_size=224, for instance"
        )
    tensors = read_tensors(path)
    kept = _kept_normalisation(tensors, said.channels)
    if said.normalise is None and kept is None:
        raise ConfigError(
            f"normalise is not given, and {path} does not tell: use {', '.join(NORMALISATIONS)}, "
            f"{OF_DATA}, or MEANS/DEVIATIONS such as 0.5,0.5,0.5/0.2,0.2,0.2"
        )
    network = ModelConfig(
        name=said.name,
        width=said.width,
        norm=said.norm or _norm_of(said.name, tensors),
        stem=said.stem or _stem_of(said.name, tensors) or "auto",
    )
    # Weights on the way to being counted need no classes; two are the least.
    guess = _build(network, said, said.image_size, 2)
    n_classes = count_classes(guess, tensors)
    model = guess if n_classes in (None, 2) else _build(network, said, said.image_size, n_classes)
    fit_state(model, tensors, source=str(path))
    if kept is not None:
        model.set_normalisation(*kept)
    return model, said.image_size


def _build(
    network: ModelConfig, said: ExternalModel, size: int, n_classes: int
) -> MaskedClassifier:
    return build_model(
        network,
        image_shape=(said.channels, size, size),
        num_classes=n_classes,
        mean=[0.0] * said.channels,
        std=[1.0] * said.channels,
        seed=0,
        front=said.front(size),
    )


def _norm_of(name: str, tensors: Mapping[str, Tensor]) -> Literal["none", "batch"]:
    """Tell whether a ResNet has normalisation layers; other networks are as torchvision's are."""
    has_layers = any(key.endswith("running_mean") for key in tensors)
    return "batch" if has_layers or name not in RESNETS else "none"


def _stem_of(
    name: str, tensors: Mapping[str, Tensor]
) -> Literal["imagenet", "small", "bare"] | None:
    if is_pytorch_cifar_densenet(tensors):
        return "bare"
    first = next((value for key, value in tensors.items() if key.endswith("conv1.weight")), None)
    if first is None or first.ndim != 4 or not name.startswith(("resnet", "resnext", "wide")):
        return None
    return "imagenet" if first.shape[-1] == 7 else "small"


def _kept_normalisation(tensors: Mapping[str, Tensor], channels: int) -> Statistics | None:
    """Find means and deviations that a wrapper keeps beside the network's tensors."""
    for mean, std in _KEPT:
        for key, value in tensors.items():
            prefix, _, last = key.rpartition(".")
            other = tensors.get(f"{prefix}.{std}" if prefix else std)
            if last == mean and other is not None and value.numel() == other.numel() == channels:
                return tuple(value.flatten().tolist()), tuple(other.flatten().tolist())
    return None
