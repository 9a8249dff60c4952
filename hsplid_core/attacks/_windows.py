"""Windows in images of a batch, one of its own place and size for each image.

Everything is a comparison with rulers, so images with regions of different sizes go in one call.
B images, H x W pixels; a window is (top, left, side), int64, [B] each.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Boxes(NamedTuple):
    """The smallest rectangle around each image's allowed pixels, int64, [B] each."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor

    @property
    def shorter_side(self) -> Tensor:
        """The smaller of height and width, [B]."""
        return torch.minimum(self.height, self.width)

    def take(self, rows: Tensor) -> Boxes:
        """Return the boxes of some images."""
        return Boxes(*(field[rows] for field in self))


def bounding_boxes(allowed: Tensor) -> Boxes:
    """Find the rectangles around allowed pixels, bool, [B, 1, H, W]; none gives size 1."""
    tops, heights = _extent(allowed.any(3).squeeze(1))
    lefts, widths = _extent(allowed.any(2).squeeze(1))
    return Boxes(tops, lefts, heights, widths)


def _extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """First occupied place and length up to the last one, of bool [B, N]."""
    length = occupied.shape[1]
    first = occupied.int().argmax(1)
    last = length - 1 - occupied.flip(1).int().argmax(1)
    return first, (last - first + 1).clamp_(min=1)


def inside(shape: torch.Size, top: Tensor, left: Tensor, side: Tensor) -> Tensor:
    """Mark windows in images of some shape.

    Returns:
        True in each image's window, bool, [B, 1, H, W].
    """
    row, column = rulers(shape, top, left)
    rows = (row >= 0) & (row < side.view(-1, 1, 1))
    columns = (column >= 0) & (column < side.view(-1, 1, 1))
    return (rows & columns).unsqueeze(1)


def rulers(shape: torch.Size, top: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
    """Count rows and columns from each image's own origin: int64, [B, H, 1] and [B, 1, W]."""
    row = torch.arange(shape[-2], device=top.device).view(1, -1, 1) - top.view(-1, 1, 1)
    column = torch.arange(shape[-1], device=top.device).view(1, 1, -1) - left.view(-1, 1, 1)
    return row, column


def bump(row: Tensor, column: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Draw the pyramid of the Square attack in L2 in rectangles that begin at row and column 0.

    Its value at distance d from the middle, in the larger of both directions, is the sum of
    1 / j^2 over j = d + 1 .. n + 1, with n half the larger side.

    Args:
        row: Row in the rectangle, int64, [B, H, 1] or [B, H, W].
        column: Column in the rectangle, int64, [B, 1, W] or [B, H, W].
        height: Rows of the rectangle, int64, [B].
        width: Columns of the rectangle, int64, [B].

    Returns:
        The pyramids, 0 outside, float64, [B, H, W].
    """
    tall, wide = height.view(-1, 1, 1), width.view(-1, 1, 1)
    half = torch.maximum(tall, wide) // 2
    distance = torch.maximum((row - tall // 2).abs(), (column - wide // 2).abs())
    within = (row >= 0) & (row < tall) & (column >= 0) & (column < wide)
    largest = int(half.max()) + 1 if half.numel() else 1
    squares = torch.arange(1, largest + 1, device=row.device, dtype=torch.float64).pow(-2)
    table = torch.cat([squares.new_zeros(1), squares.cumsum(0)])  # sum of 1 / j^2 up to place
    value: Tensor = table[half + 1] - table[distance.clamp(max=largest)]
    return value.clamp(min=0) * within


def opposite_bumps(
    shape: torch.Size, top: Tensor, left: Tensor, side: Tensor, upright: Tensor
) -> Tensor:
    """Draw two pyramids of opposite signs, each in one half of a window.

    Args:
        shape: Shape of the images.
        top: First row of each window, [B].
        left: First column, [B].
        side: Rows and columns, [B].
        upright: Whether the halves lie side by side, not one above the other, bool, [B].

    Returns:
        The drawing, 0 outside, float64, [B, H, W].
    """
    row, column = rulers(shape, top, left)
    turned = upright.view(-1, 1, 1)
    along, across = torch.where(turned, column, row), torch.where(turned, row, column)
    first = side // 2
    return bump(along, across, first, side) - bump(
        along - first.view(-1, 1, 1), across, side - first, side
    )
