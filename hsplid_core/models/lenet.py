"""LeNets: LeNet-3 of the concatenated digits (HBaR, H-SPLID), LeNet-5 of Hold me tight!.

As in H-SPLID's released code, the features are the hidden layer's values before its ReLU: the
feature mask, the centres and HSIC see those, and the ReLU follows behind the mask.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn


class LeNet3Encoder(nn.Module):
    """Two 5x5 convolutions, each with ReLU and a 2x2 max pool, and a linear layer.

    Args:
        image_size: Side length of the images in pixels, a multiple of 4.
        width: Factor on 32 and 64 channels and on the 1,024 features.
        in_channels: Channels of the images.

    Attributes:
        hidden_layers: What HBaR regularises: the convolutions' activations before pooling, and
            the features.
        native_head: Name of the classification layer in the released code's state dicts.
        native_prefix: Where those state dicts begin in this module's.
    """

    hidden_layers: ClassVar[tuple[str, ...]] = ("relu1", "relu2", "fc1")
    native_head: ClassVar[str] = "fc2"
    native_prefix: ClassVar[str] = ""

    def __init__(self, *, image_size: int, width: float = 1.0, in_channels: int = 3) -> None:
        super().__init__()
        first, second, hidden = (max(1, round(n * width)) for n in (32, 64, 1024))
        self.conv1 = nn.Conv2d(in_channels, first, 5, padding=2)
        self.conv2 = nn.Conv2d(first, second, 5, padding=2)
        self.fc1 = nn.Linear(second * (image_size // 4) ** 2, hidden)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.num_features = hidden

    def forward(self, x: Tensor) -> Tensor:
        """Encode normalised images [B, C, H, W]; features [B, D], before their ReLU."""
        x = F.max_pool2d(self.relu1(self.conv1(x)), 2)
        x = F.max_pool2d(self.relu2(self.conv2(x)), 2)
        features: Tensor = self.fc1(x.flatten(1))
        return features


class LeNet5Encoder(nn.Module):
    """LeNet-5 with ReLU and max pools, as Hold me tight! (2002.06349) trains it on MNIST.

    Two 5x5 convolutions, the first with padding, each with ReLU and a 2x2 max pool, and two linear
    layers with ReLU. Its parameters have the released code's names.

    Args:
        image_size: Side length of the images in pixels, at least 12.
        width: Factor on 6 and 16 channels, 120 hidden values and the 84 features.
        in_channels: Channels of the images.

    Attributes:
        hidden_layers: What HBaR regularises: the activations, before pooling where there is one.
        native_head: Name of the classification layer in the released code's state dicts.
        native_prefix: Where those state dicts begin in this module's.
    """

    hidden_layers: ClassVar[tuple[str, ...]] = ("relu1", "relu2", "relu3", "relu4")
    native_head: ClassVar[str] = "fc3"
    native_prefix: ClassVar[str] = ""

    def __init__(self, *, image_size: int, width: float = 1.0, in_channels: int = 3) -> None:
        super().__init__()
        first, second, hidden, last = (max(1, round(n * width)) for n in (6, 16, 120, 84))
        side = (image_size // 2 - 4) // 2
        self.conv1 = nn.Conv2d(in_channels, first, 5, padding=2)
        self.conv2 = nn.Conv2d(first, second, 5)
        self.fc1 = nn.Linear(second * side**2, hidden)
        self.fc2 = nn.Linear(hidden, last)
        self.relu1, self.relu2, self.relu3, self.relu4 = (nn.ReLU() for _ in range(4))
        self.num_features = last

    def forward(self, x: Tensor) -> Tensor:
        """Encode normalised images [B, C, H, W]; features [B, D], behind their ReLU."""
        x = F.max_pool2d(self.relu1(self.conv1(x)), 2)
        x = F.max_pool2d(self.relu2(self.conv2(x)), 2)
        features: Tensor = self.relu4(self.fc2(self.relu3(self.fc1(x.flatten(1)))))
        return features
