"""The simple gradient and its heat map, clipped at a percentile.

Source: Gong, Dou and Farnia, CVPR 2024 (arXiv 2404.04647), and their released code; the gradient
itself goes back to Simonyan et al. 2014.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_PERCENTILE = 0.99
_SMALLEST_RANGE = 1e-10


def simple_gradient(model: Callable[[Tensor], Tensor], image: Tensor, target: Tensor) -> Tensor:
    """Differentiate each image's logit of one class in the image.

    Args:
        model: Images [B, C, H, W] to logits [B, K], each image for itself (put batch
            normalisation into eval mode). Its parameters' gradients stay as they are.
        image: Images in the space that the model takes, [B, C, H, W].
        target: A class for each image, int64, [B]: the true or the predicted one.

    Returns:
        The gradients, [B, C, H, W], detached.
    """
    image = image.detach().requires_grad_()
    with torch.enable_grad():
        logits = model(image)
        (gradient,) = torch.autograd.grad(logits.gather(1, target[:, None]).sum(), image)
    return gradient


def agg_clip(gradient: Tensor, *, top_clip: bool = True, per_image: bool = False) -> Tensor:
    """Turn gradients into heat maps in [0, 1]: absolute sum over channels, scaled and clipped.

    Args:
        gradient: [C, H, W] or [B, C, H, W].
        top_clip: Scale to the 99th percentile and clip above it; False scales to the largest
            value. The smallest value becomes 0 in either case.
        per_image: One map for each image of a batch. False adds up the whole batch to one map,
            as the released code does.

    Returns:
        A map [H, W], or [B, H, W] where ``per_image``; zeros where a map is constant (its range
        is below 1e-10).
    """
    if gradient.ndim == 4 and not per_image:
        gradient = gradient.flatten(0, 1)
    heat = gradient.abs().sum(dim=-3).nan_to_num()
    pixels = heat.flatten(-2)
    low = pixels.amin(dim=-1)[..., None, None]
    if top_clip:
        high = torch.quantile(pixels, _PERCENTILE, dim=-1)[..., None, None]
    else:
        high = pixels.amax(dim=-1)[..., None, None]
    spread = high - low
    flat = spread < _SMALLEST_RANGE
    scaled = ((heat - low) / torch.where(flat, 1, spread)).clamp(0, 1)
    return torch.where(flat, 0, scaled)
