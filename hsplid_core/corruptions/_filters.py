"""Linear filters on images [B, C, H, W], the same for all or one of its own for each image."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_TRUNCATE = 4.0  # standard deviations that a Gaussian reaches on each side, as in SciPy


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Blur with a Gaussian; the outermost pixels go on beyond the border.

    Args:
        image: [B, C, H, W].
        sigma: Standard deviation in pixels, above 0.

    Returns:
        The blurred images, [B, C, H, W].
    """
    radius = int(_TRUNCATE * sigma + 0.5)
    place = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-(place**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).to(image)
    channels = image.shape[1]
    down = kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    along = kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    padded = F.pad(image, (0, 0, radius, radius), mode="replicate")
    blurred = F.conv2d(padded, down, groups=channels)
    padded = F.pad(blurred, (radius, radius, 0, 0), mode="replicate")
    return F.conv2d(padded, along, groups=channels)


def filter_mirrored(image: Tensor, kernel: Tensor) -> Tensor:
    """Correlate with a kernel; beyond the border the image is mirrored at its outermost pixels.

    Args:
        image: [B, C, H, W].
        kernel: Odd height and width, [N, M].

    Returns:
        The filtered images, [B, C, H, W].
    """
    height, width = image.shape[2:]
    rows = _mirrored(height, kernel.shape[0] // 2, image.device)
    columns = _mirrored(width, kernel.shape[1] // 2, image.device)
    padded = image[:, :, rows][:, :, :, columns]
    channels = image.shape[1]
    weight = kernel.to(image).expand(channels, 1, -1, -1)
    return F.conv2d(padded, weight, groups=channels)


def _mirrored(size: int, pad: int, device: torch.device) -> Tensor:
    """Places -pad .. size - 1 + pad folded into 0 .. size - 1, however far they lie outside."""
    period = max(1, 2 * (size - 1))
    place = torch.arange(-pad, size + pad, device=device) % period
    return torch.minimum(place, period - place).clamp(max=size - 1)


def disk(radius: int, smoothing: float) -> Tensor:
    """Draw the aperture of a lens out of focus.

    Args:
        radius: In pixels.
        smoothing: Standard deviation of the Gaussian that takes the edge off; it covers 3 pixels
            a side up to a radius of 8, and 5 from there.

    Returns:
        A kernel, float64, [N, N]. Its sum is 1, but near 1.01 at radii 8 and 10: the aperture
        touches the kernel's edge there and the smoothing mirrors it, as in the published code.
    """
    reach = max(8, radius)
    place = torch.arange(-reach, reach + 1, dtype=torch.float64)
    aperture = (place.view(-1, 1) ** 2 + place**2 <= radius**2).double()
    aperture /= aperture.sum()
    half = 1 if radius <= 8 else 2
    blur = torch.exp(-(torch.arange(-half, half + 1).double() ** 2) / (2 * smoothing**2))
    blur /= blur.sum()
    return filter_mirrored(aperture[None, None], blur.view(-1, 1) * blur)[0, 0]


def motion_blur(image: Tensor, radius: int, sigma: float, degrees: Tensor) -> Tensor:
    """Smear each image along a ray, with weights that fall like one half of a Gaussian.

    The ray goes by whole pixels, as in ImageMagick; the outermost pixels go on beyond the border.

    Args:
        image: [B, C, H, W].
        radius: The ray has 2 radius + 1 pixels.
        sigma: Standard deviation along the ray, in pixels.
        degrees: Direction for each image, [B].

    Returns:
        The smeared images, [B, C, H, W].
    """
    length = 2 * radius + 1
    weight = torch.exp(-(torch.arange(length).double() ** 2) / (2 * sigma**2))
    weight /= weight.sum()
    angle = degrees.double() * (math.pi / 180)
    height, width = image.shape[2:]
    row = torch.arange(height, device=image.device).view(1, -1)
    column = torch.arange(width, device=image.device).view(1, -1)
    batch = torch.arange(len(image), device=image.device).view(-1, 1, 1)
    result = torch.zeros_like(image)
    for step in range(length):
        # The image moves against the ray's direction: what comes to a pixel lies ahead of it.
        down = (step * torch.sin(angle) - 0.5).ceil().long().unsqueeze(1)
        right = (step * torch.cos(angle) - 0.5).ceil().long().unsqueeze(1)
        rows, columns = (row + down).clamp(0, height - 1), (column + right).clamp(0, width - 1)
        moved = image[batch, :, rows.unsqueeze(2), columns.unsqueeze(1)]  # [B, H, W, C]
        result += float(weight[step]) * moved.permute(0, 3, 1, 2)
    return result


def zoom_in(field: Tensor, factor: float) -> Tensor:
    """Enlarge the middle of each field, bilinearly, corner on corner.

    Args:
        field: [B, C, H, W].
        factor: At least 1.

    Returns:
        The upper left H x W of what comes out, which is at most a little larger, [B, C, H, W].
    """
    height, width = field.shape[2:]
    inner = [math.ceil(size / factor) for size in (height, width)]
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    middle = field[:, :, top : top + inner[0], left : left + inner[1]]
    outer = [
        max(size, round(part * factor)) for size, part in zip((height, width), inner, strict=True)
    ]
    enlarged = F.interpolate(middle, size=outer, mode="bilinear", align_corners=True)
    return enlarged[:, :, :height, :width]
