"""The Square attack: random search with squares of colour, no gradient.

Each query changes one square window and keeps the change if the true class's margin falls. The
window's side follows a fixed schedule, from most of the region down to single pixels.

A region is respected by drawing windows inside the smallest rectangle around it and by changing
its pixels alone; with the whole image allowed, this is the published attack.

Reference: Andriushchenko et al. 2020, Square Attack: a query-efficient black-box adversarial
attack via random search (arXiv 1912.00049), algorithms 1 to 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hsplid_core._noise import signed_uniform
from hsplid_core.attacks._attacked_batch import AttackedBatch
from hsplid_core.attacks._setting_rules import Rule, count_rules
from hsplid_core.attacks._windows import (
    Boxes,
    bounding_boxes,
    bump,
    inside,
    opposite_bumps,
    rulers,
)
from hsplid_core.attacks.attack import Attack
from hsplid_core.attacks.balls import Ball, Norm, take

_STREAM = 3 << 20
_MAX_QUERIES = 1 << 20  # restarts lie so many streams apart
# Of 10,000 queries: after each of these, the windows' area is halved (section 3.3).
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


@dataclass(frozen=True, kw_only=True)
class Square(Attack):
    """Settings of a Square attack; calling it attacks a batch, as every `Attack`.

    An image always leaves as soon as it fools.

    Attributes:
        queries: Windows tried for each image and start, one forward pass each, after the first
            guess (AutoAttack: 5000).
        first_share: Share of the region that the first windows cover, in (0, 1] (AutoAttack:
            0.8).
        restarts: Starts per image; each goes on with the images that still stand.

    Raises:
        ConfigError: A value is out of range; all faults are named together.
    """

    queries: int = 5000
    first_share: float = 0.8
    restarts: int = 1

    def rules(self) -> list[Rule]:
        """List what must hold for the settings."""
        return [
            *count_rules(queries=self.queries, restarts=self.restarts),
            (
                self.queries < _MAX_QUERIES,
                f"queries is {self.queries}: use fewer than {_MAX_QUERIES}",
            ),
            (
                0 < self.first_share <= 1,
                f"first_share is {self.first_share}: use a share in (0, 1]",
            ),
        ]

    def search(self, attempt: AttackedBatch) -> Tensor:
        """Attack a batch; see `Attack`. The model need not be differentiable.

        Where nothing fools, the image of the last start's smallest margin returns.
        """
        result = attempt.image.clone()
        standing = torch.arange(len(attempt), device=attempt.image.device)
        for again in range(self.restarts):
            if not len(standing):
                break
            part = attempt.take(standing)
            walk = _Walk(
                standing, part, part.image, torch.full_like(part.image[:, 0, 0, 0], torch.inf)
            )
            standing = self._search(walk, result, again)
        return result

    def window_share(self, query: int) -> float:
        """Share of the region that the window of a query covers; queries count from 0."""
        of_10_000 = query * 10_000 // self.queries
        return self.first_share * 0.5 ** sum(of_10_000 > end for end in _HALVINGS)

    def _search(self, walk: _Walk, result: Tensor, again: int) -> Tensor:
        """Query until all fool or no query is left; returns the rows [N] that still stand."""
        boxes = bounding_boxes(walk.attempt.allowed)
        ball = walk.attempt.ball(self.norm, self.epsilon)
        moves = MOVES[self.norm]
        stream = _STREAM + again * _MAX_QUERIES
        for passes in range(self.queries + 1):
            place = Place(walk.attempt, walk.best, boxes, ball, self.epsilon)
            if passes == 0:
                candidate = moves.first(place, stream)
            else:
                candidate = moves.next(place, self.window_share(passes - 1), stream + passes)
            fooled, margin = walk.attempt.scorer.margins(candidate, walk.attempt.target)
            better = fooled | (margin < walk.margin)
            walk.best = torch.where(better.view(-1, 1, 1, 1), candidate, walk.best)
            walk.margin = torch.where(better, margin, walk.margin)
            if fooled.any():
                result[walk.row[fooled]] = take(walk.best, fooled)
                kept = (~fooled).nonzero().squeeze(1)
                if not len(kept):
                    return walk.row[kept]
                walk, ball, boxes = walk.take(kept), ball.take(kept), boxes.take(kept)
        result[walk.row] = walk.best
        return walk.row


@dataclass
class _Walk:
    """The images that still stand; every field has a row per image."""

    row: Tensor
    attempt: AttackedBatch
    best: Tensor
    margin: Tensor

    def take(self, kept: Tensor) -> _Walk:
        return _Walk(
            self.row[kept], self.attempt.take(kept), take(self.best, kept), self.margin[kept]
        )


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

    attempt: AttackedBatch
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
