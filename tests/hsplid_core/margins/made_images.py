"""An image set in memory: bright and dark images, told apart by their mean."""

from __future__ import annotations

import torch
from torch import Tensor

from hsplid_core.data.batch import Batch


class MadeImages:
    def __init__(self, image: Tensor, target: Tensor) -> None:
        self.image = image
        self.target = target

    def __len__(self) -> int:
        return len(self.image)

    def batch(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        return Batch(
            self.image[indices].to(device), self.target[indices].to(device), None, indices
        )
