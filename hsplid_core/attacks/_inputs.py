"""The checks that every attack makes on a batch before it touches the model."""

from __future__ import annotations

import torch
from torch import Tensor

from hsplid_core.errors import DataError


def check_inputs(image: Tensor, target: Tensor, allowed: Tensor, index: Tensor) -> None:
    """Check that a batch can be attacked.

    Args:
        image: Pixels in [0, 1], float, [B, C, H, W].
        target: Class indices, int64, [B].
        allowed: True where a pixel may change, bool, [B, 1, H, W].
        index: Row of each image in its data set, int64, [B].

    Raises:
        DataError: One of them has another shape or type, or a pixel lies outside [0, 1].
    """
    if image.ndim != 4 or not image.is_floating_point():
        raise DataError(
            f"image is {image.dtype} {list(image.shape)}: attacks take float pixels "
            "[B, C, H, W] in [0, 1]; divide uint8 images by 255"
        )
    rows, _, height, width = image.shape
    for name, labels in (("target", target), ("index", index)):
        if labels.dtype != torch.int64 or list(labels.shape) != [rows]:
            raise DataError(
                f"{name} is {labels.dtype} {list(labels.shape)}: "
                f"give one int64 for each of the {rows} images"
            )
    if allowed.dtype != torch.bool or list(allowed.shape) != [rows, 1, height, width]:
        raise DataError(
            f"the mask of allowed pixels is {allowed.dtype} {list(allowed.shape)}: it must be "
            f"bool {[rows, 1, height, width]}, as the images are {list(image.shape)}"
        )
    if rows:
        low, high = (float(bound) for bound in image.aminmax())
        if not (low >= 0 and high <= 1):  # also false for NaN
            raise DataError(
                f"pixels lie in [{low:.4g}, {high:.4g}]: attacks work in pixel space [0, 1]; "
                "leave normalisation to the model"
            )
