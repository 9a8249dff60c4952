"""The Square attack's first guesses and its moves, one pair for each norm.

Candidates lie in their ball, region and [0, 1].

Reference: Andriushchenko et al. 2020 (arXiv 1912.00049), sections 3.3 and 3.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hsplid_core._noise import signed_uniform
from hsplid_core.attacks._attempt import Attempt
from hsplid_core.attacks._windows import Boxes, bump, inside, opposite_bumps, rulers
from hsplid_core.attacks.balls import Ball, Norm

_TILES = 5  # of the first guess in L2, along each side
_MOST_TILES = 9  # sides of 5 k + 4 pixels hold the most tiles of k: 9, for k = 1
_TINY = 1e-12


@dataclass(frozen=True)
class Place:
    """Where the search stands.

    Attributes:
        attempt: Images, [B, C, H, W], and their regions.
        best: Best images so far, [B, C, H, W].
        boxes: Rectangles around the allowed pixels.
        ball: The sets that candidates lie in.
        epsilon: Their radius in pixel units.
    """

    attempt: Attempt
    best: Tensor
    boxes: Boxes
    ball: Ball
    epsilon: float

    @property
    def image(self) -> Tensor:
        """Clean images, [B, C, H, W]."""
        return self.attempt.image

    @property
    def allowed(self) -> Tensor:
        """True where a pixel may change, bool, [B, 1, H, W]."""
        return self.attempt.allowed

    def draw(self, stream: int, count: int) -> Tensor:
        """Draw numbers in (-1, 1) for each image, [B, count]."""
        attempt = self.attempt
        return signed_uniform(
            attempt.seed, stream, attempt.index, count, dtype=attempt.image.dtype
        )


class Moves(NamedTuple):
    """How candidates are made: images [B, C, H, W] from a place, a share and a stream."""

    first: Callable[[Place, int], Tensor]
    next: Callable[[Place, float, int], Tensor]


def _stripes(place: Place, stream: int) -> Tensor:
    """Vertical stripes of one pixel, each of a random corner colour."""
    rows, channels, _, width = place.image.shape
    sign = place.draw(stream, channels * width).sign().view(rows, channels, 1, width)
    return place.ball.project_(place.image + place.epsilon * sign)


def _recolour(place: Place, share: float, stream: int) -> Tensor:
    """Paint one window in a random corner colour."""
    channels = place.image.shape[1]
    numbers = place.draw(stream, 2 + channels)
    side = _side(place.boxes, share)
    top, left = _corner(place.boxes, side, numbers[:, 0], numbers[:, 1])
    window = inside(place.image.shape, top, left, side)
    sign = numbers[:, 2:].sign().view(-1, channels, 1, 1)
    candidate = _painted(place, window, sign)
    # A window that has this colour already would waste the query: the opposite colour, then.
    wasted = (candidate == place.best).flatten(1).all(1).view(-1, 1, 1, 1)
    return torch.where(wasted, _painted(place, window, -sign), candidate)


def _painted(place: Place, window: Tensor, sign: Tensor) -> Tensor:
    painted = torch.where(window, place.image + place.epsilon * sign, place.best)
    return place.ball.project_(painted)


def _tiles(place: Place, stream: int) -> Tensor:
    """A grid of pyramids of random signs over the region, of length epsilon."""
    rows, channels, _, _ = place.image.shape
    boxes = place.boxes
    height, width = (boxes.height // _TILES).clamp(min=1), (boxes.width // _TILES).clamp(min=1)
    row, column = rulers(place.image.shape, boxes.top, boxes.left)
    tile_row, tile_column = row // height.view(-1, 1, 1), column // width.view(-1, 1, 1)
    shape = bump(
        row - tile_row * height.view(-1, 1, 1),
        column - tile_column * width.view(-1, 1, 1),
        height,
        width,
    )
    inner = (tile_row.clamp(0, _MOST_TILES - 1) * _MOST_TILES) + tile_column.clamp(
        0, _MOST_TILES - 1
    )  # [B, H, W]
    signs = place.draw(stream, channels * _MOST_TILES**2).sign().view(rows, channels, -1)
    sign = signs.gather(2, inner.flatten(1).unsqueeze(1).expand(-1, channels, -1))
    change = sign.view_as(place.image) * shape.unsqueeze(1).to(place.image.dtype) * place.allowed
    scale = place.epsilon / _norm(change, (1, 2, 3))
    return place.ball.project_(place.image + change * scale)


def _move_mass(place: Place, share: float, stream: int) -> Tensor:
    """Empty one window and spend its length, and what is left of epsilon, in another."""
    image, channels = place.image, place.image.shape[1]
    numbers = place.draw(stream, 5 + channels)
    # Odd and 3 or more, as in AutoAttack: with even windows, down to single pixels, two to three
    # points more stand (250 queries, 15x15 pixels).
    side = _side(place.boxes, share).clamp(min=3)
    side = torch.minimum(side + (side % 2 == 0), place.boxes.shorter_side)
    top, left = _corner(place.boxes, side, numbers[:, 0], numbers[:, 1])
    to = inside(image.shape, top, left, side) & place.allowed
    away = inside(image.shape, *_corner(place.boxes, side, numbers[:, 2], numbers[:, 3]), side)
    change = place.best - image
    unused = (place.epsilon**2 - change.square().sum((1, 2, 3), keepdim=True)).clamp(min=0)
    old = change * to
    held = (change * (to | away)).square().sum((2, 3), keepdim=True)  # [B, C, 1, 1]
    available = (held + unused / channels).sqrt()
    drawing = opposite_bumps(image.shape, top, left, side, numbers[:, 4] > 0)
    drawing = drawing.unsqueeze(1).to(image.dtype) * to
    sign = numbers[:, 5:].sign().view(-1, channels, 1, 1)
    new = sign * drawing / _norm(drawing, (2, 3)) + old / _norm(old, (2, 3))
    new = new * (available / _norm(new, (2, 3)))
    kept = change.where(~(to | away), 0)
    return place.ball.project_(image + kept + new)


def _side(boxes: Boxes, share: float) -> Tensor:
    """Side of a square that covers a share of each region's rectangle, at least 1."""
    area = (boxes.height * boxes.width).double()
    side = (area * share).sqrt().round().long().clamp(min=1)
    return torch.minimum(side, boxes.shorter_side)


def _corner(boxes: Boxes, side: Tensor, down: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Place windows at random in their rectangles, from numbers in (-1, 1)."""
    return (
        boxes.top + _integer(down, boxes.height - side + 1),
        boxes.left + _integer(right, boxes.width - side + 1),
    )


def _integer(number: Tensor, bound: Tensor) -> Tensor:
    """Turn numbers in (-1, 1) into integers in [0, bound)."""
    integer = ((number.double() + 1) / 2 * bound).long()
    return torch.minimum(integer, bound - 1)


def _norm(change: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Euclidean length over some axes, never 0."""
    return change.square().sum(axes, keepdim=True).sqrt().clamp(min=_TINY)


MOVES: dict[Norm, Moves] = {
    "linf": Moves(_stripes, _recolour),
    "l2": Moves(_tiles, _move_mass),
}
"""The moves by the name of the norm."""
