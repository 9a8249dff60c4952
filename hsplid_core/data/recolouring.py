"""Changes of colour and sharpness, each image of a batch by an amount of its own.

Formulae are those of torchvision's functions, which take one amount for a whole batch.

Notation: images [B, C, H, W] with pixels in [0, 1]; amounts [B, 1, 1, 1]. Other images than those
of three channels have no hue and no saturation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_GREY = (0.2989, 0.587, 0.114)  # ITU-R 601-2, as torchvision


def brighten(image: Tensor, factor: Tensor) -> Tensor:
    """Scale brightness."""
    return (image * factor).clamp(0, 1)


def set_contrast(image: Tensor, factor: Tensor) -> Tensor:
    """Scale the distance to the image's mean grey."""
    return _blend(image, grey(image).mean(dim=(1, 2, 3), keepdim=True), factor)


def saturate(image: Tensor, factor: Tensor) -> Tensor:
    """Scale the distance to the pixel's grey; grey images stay as they are."""
    return _blend(image, grey(image), factor)


def turn_hue(image: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue by a share of the colour circle; saturation and value stay.

    With V the largest channel and S the saturation, a channel is V - V S t, where t is k or 4 - k,
    whichever is less, cut to [0, 1]; k is 6 times the hue plus 5 for red, 3 for green and 1 for
    blue, modulo 6.
    """
    if image.shape[1] != 3:
        return image
    red, green, blue = image.unbind(1)
    value = image.amax(1)
    spread = value - image.amin(1)
    scale = spread.where(spread > 0, 1).reciprocal()
    sixths = torch.where(
        value == red,
        (green - blue) * scale,
        torch.where(value == green, (blue - red) * scale + 2, (red - green) * scale + 4),
    )
    sixths = sixths + 6 * turn[:, 0]
    channels = []
    for offset in (5, 3, 1):
        place = torch.remainder(sixths + offset, 6)
        channels.append(value - spread * torch.minimum(place, 4 - place).clamp(0, 1))
    return torch.stack(channels, dim=1)


def grey(image: Tensor) -> Tensor:
    """Weigh the channels to one grey, [B, 1, H, W]; other than three count alike."""
    if image.shape[1] != 3:
        return image.mean(dim=1, keepdim=True)
    weights = image.new_tensor(_GREY).view(1, 3, 1, 1)
    return (image * weights).sum(dim=1, keepdim=True)


def gaussian_blur(image: Tensor, sigma: Tensor, size: int) -> Tensor:
    """Blur with a Gaussian of odd size; images are mirrored at their outermost pixels.

    Args:
        image: [B, C, H, W], of more than half of ``size`` pixels a side.
        sigma: Standard deviation of each image's blur in pixels, [B, 1, 1, 1].
        size: Side of the kernel.
    """
    reach = size // 2
    place = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype)
    weights = torch.exp(-0.5 * (place / sigma) ** 2)  # [B, 1, 1, size]
    weights = weights / weights.sum(dim=3, keepdim=True)
    height, width = image.shape[2:]
    padded = F.pad(image, (reach, reach, reach, reach), mode="reflect")
    along = sum(padded[..., k : k + width] * weights[..., k : k + 1] for k in range(size))
    assert isinstance(along, Tensor)
    blurred = sum(along[..., k : k + height, :] * weights[..., k : k + 1] for k in range(size))
    assert isinstance(blurred, Tensor)
    return blurred


def _blend(image: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return (factor * image + (1 - factor) * other).clamp(0, 1)
