"""One batch of images, as every model, method and attack in this project receives it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """B images with their labels, in pixel space.

    Attributes:
        image: Pixels in [0, 1], float, [B, C, H, W]. Normalisation belongs to the model.
        target: Class indices, int64, [B].
        mask: True on the pixels of the labelled object, bool, [B, 1, H, W]; attention in [0, 1],
            float, where a data set has maps of gaze; None where it has no masks.
        index: Row of each image in its data set, int64, [B]; stable across epochs and runs.
    """

    image: Tensor
    target: Tensor
    mask: Tensor | None
    index: Tensor

    @property
    def object_mask(self) -> Tensor | None:
        """True on the object, bool, [B, 1, H, W]: attention of at least a half counts as such."""
        if self.mask is None or not self.mask.is_floating_point():
            return self.mask
        return self.mask >= 0.5

    def parts(self, size: int) -> list[Batch]:
        """Split the batch evenly.

        Args:
            size: Most images of a part; exceeded only where a part would be a single image,
                which has no statistics.
        """
        count = max(1, min(-(-len(self.target) // size), len(self.target) // 2))
        if count == 1:
            return [self]
        images, targets, indices = (
            tensor.tensor_split(count) for tensor in (self.image, self.target, self.index)
        )
        masks = [None] * count if self.mask is None else self.mask.tensor_split(count)
        return [Batch(*fields) for fields in zip(images, targets, masks, indices, strict=True)]


def send(values: Tensor, device: torch.device) -> Tensor:
    """Move a small tensor of the host's, to cuda without waiting for the device."""
    if device.type != "cuda" or values.is_cuda:
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)
