"""LeNet-3, the network of the concatenated-digit experiments (HBaR, H-SPLID).

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
