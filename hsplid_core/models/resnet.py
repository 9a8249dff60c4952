"""ResNets with or without normalisation, of any width, for small and large images.

Built from torchvision's residual blocks under torchvision's parameter names, so its state dicts
load at width 1. He et al. 2016; without normalisation as H-SPLID trains it on COCO (2510.20627).
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from hsplid_core.models._surgery import keep_inputs


class _Layout(NamedTuple):
    block: type[BasicBlock] | type[Bottleneck]
    repeats: tuple[int, int, int, int]
    narrow_first: bool = False  # 3x3 of stride 1 instead of 7x7 of stride 2, and pooling after it


_LAYOUTS = {
    "resnet18": _Layout(BasicBlock, (2, 2, 2, 2)),
    # The single-pixel benchmark's (github.com/ecs-vlc/is-saliency-capturing-gradient).
    "resnet18_3x3": _Layout(BasicBlock, (2, 2, 2, 2), narrow_first=True),
    "resnet34": _Layout(BasicBlock, (3, 4, 6, 3)),
    "resnet50": _Layout(Bottleneck, (3, 4, 6, 3)),
}
RESNETS = tuple(_LAYOUTS)


class ResNetEncoder(nn.Module):
    """A ResNet up to its average pool: [B, C, H, W] to [B, D].

    Args:
        name: One of :data:`RESNETS`.
        width: Factor on every number of channels; D is 512 (2048 for resnet50) times it.
        norm: ``batch``, or ``none``: each normalisation layer becomes the identity.
        stem: ``imagenet``: 7x7 convolution of stride 2 and a max pool; ``small``: 3x3 convolution
            of stride 1, for images below 64 pixels or so (14 times dearer at 64 pixels). That of
            resnet18_3x3 is the 3x3 convolution with the max pool, whatever is said here.
        in_channels: Channels C of the images.

    Attributes:
        hidden_layers: What HBaR regularises in H-SPLID's released code: the stem, the four
            stages, and the features.
        native_head: Name of the classification layer in torchvision's state dicts.
        native_prefix: Where those state dicts begin in this module's.
    """

    hidden_layers: ClassVar[tuple[str, ...]] = (
        "maxpool",
        "layer1",
        "layer2",
        "layer3",
        "layer4",
        "avgpool",
    )
    native_head: ClassVar[str] = "fc"
    native_prefix: ClassVar[str] = ""

    def __init__(
        self,
        name: str,
        *,
        width: float = 1.0,
        norm: Literal["none", "batch"] = "none",
        stem: Literal["imagenet", "small"] = "imagenet",
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        block, repeats, narrow_first = _LAYOUTS[name]
        self._norm: type[nn.Module] = nn.BatchNorm2d if norm == "batch" else nn.Identity
        channels = max(1, round(64 * width))
        if stem == "imagenet" and not narrow_first:
            self.conv1 = nn.Conv2d(in_channels, channels, 7, stride=2, padding=3, bias=False)
        else:
            self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        pools = stem == "imagenet" or narrow_first
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if pools else nn.Identity()
        self.bn1 = self._norm(channels)
        self.relu = nn.ReLU()
        stages = []
        incoming = channels
        for index, count in enumerate(repeats):
            planes = channels * 2**index
            stages.append(self._stage(block, incoming, planes, count, stride=min(index, 1) + 1))
            incoming = planes * block.expansion
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.num_features = incoming
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        keep_inputs(self)

    def _stage(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        incoming: int,
        planes: int,
        count: int,
        stride: int,
    ) -> nn.Sequential:
        outgoing = planes * block.expansion
        downsample = None
        if stride != 1 or incoming != outgoing:
            downsample = nn.Sequential(
                nn.Conv2d(incoming, outgoing, 1, stride=stride, bias=False), self._norm(outgoing)
            )
        first = block(incoming, planes, stride, downsample, norm_layer=self._norm)
        rest = [block(outgoing, planes, norm_layer=self._norm) for _ in range(count - 1)]
        return nn.Sequential(first, *rest)

    def forward(self, x: Tensor) -> Tensor:
        """Encode normalised images [B, C, H, W]; features [B, D]."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return torch.flatten(self.avgpool(x), 1)
