"""State dicts of pytorch-cifar's ResNets and DenseNets, read as torchvision's.

Many checkpoints for images of 32 pixels come from networks written like those of
https://github.com/kuangliu/pytorch-cifar, as those of Hold me tight! (arXiv 2002.06349) do. They
compute what torchvision's compute behind a small stem, under other names; a DenseNet there also
puts a layer's new channels before those that it was given, where torchvision puts them behind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_FIRST = "dense1.0.conv1.weight"
_LAYER = re.compile(r"dense(\d+)\.(\d+)\.(bn|conv)([12])\.(.+)")
_BEHIND = re.compile(r"(?:trans(\d+)\.(bn|conv)|(bn)|(linear))\.(.+)")


def is_pytorch_cifar_densenet(names: Mapping[str, Tensor]) -> bool:
    """Whether tensors, maybe behind a prefix, are those of such a DenseNet."""
    return any(name.endswith(_FIRST) for name in names)


def as_torchvision(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Give tensors torchvision's names, and channels its order.

    Args:
        state: A state dict without any prefix; of other networks than pytorch-cifar's it comes
            back as it is.
    """
    if _FIRST in state:
        return _densenet(state)
    if any(".shortcut." in name for name in state) or "linear.weight" in state:
        return {_resnet_name(name): tensor for name, tensor in state.items()}
    return state


def _resnet_name(name: str) -> str:
    return re.sub(r"^linear\.", "fc.", name.replace(".shortcut.", ".downsample."))


def _densenet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    n_layers: dict[int, int] = {}
    for name in state:
        if (layer := _LAYER.fullmatch(name)) is not None:
            block, number = int(layer[1]), int(layer[2])
            n_layers[block] = max(n_layers.get(block, 0), number + 1)
    last = max(n_layers)

    def order(block: int, done: int) -> Tensor:
        """Where torchvision's channels stand in theirs, behind so many layers of a block."""
        given = len(state[f"dense{block}.0.bn1.weight"])
        growth = len(state[f"dense{block}.0.conv2.weight"])
        new = [torch.arange(k * growth, (k + 1) * growth) for k in range(done)]
        return torch.cat([torch.arange(given) + done * growth, *reversed(new)])

    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if (layer := _LAYER.fullmatch(name)) is not None:
            block, number = int(layer[1]), int(layer[2])
            kind = "norm" if layer[3] == "bn" else "conv"
            ours = f"features.denseblock{block}.denselayer{number + 1}.{kind}{layer[4]}.{layer[5]}"
            reads = order(block, number) if layer[4] == "1" else None
        elif (behind := _BEHIND.fullmatch(name)) is not None:
            transition, kind, norm, _, rest = behind.groups()
            if transition is not None:
                ours = f"features.transition{transition}.{'norm' if kind == 'bn' else kind}.{rest}"
            else:
                ours = f"features.norm5.{rest}" if norm else f"classifier.{rest}"
            block = last if transition is None else int(transition)
            reads = None if name == "linear.bias" else order(block, n_layers[block])
        else:
            ours, reads = name.replace("conv1.", "features.conv0.", 1), None
        found[ours] = tensor if reads is None else _reordered(tensor, reads)
    return found


def _reordered(tensor: Tensor, order: Tensor) -> Tensor:
    """Reorder what a layer reads: columns of a matrix or a convolution, all of a normalisation."""
    if tensor.ndim == 0:  # a count of batches
        return tensor
    return tensor[:, order] if tensor.ndim > 1 else tensor[order]
