"""The Square attack: random search with squares of colour, no gradient.

Each query changes one square window and keeps the change if the true class's margin falls. The
window's side follows a fixed schedule, from most of the region down to single pixels.

A region is respected by drawing windows inside the smallest rectangle around it and by changing
its pixels alone; with the whole image allowed, this is the published attack.

Reference: Andriushchenko et al. 2020, Square Attack: a query-efficient black-box adversarial
attack via random search (arXiv 1912.00049), algorithms 1 to 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hsplid_core.attacks._attempt import Attempt
from hsplid_core.attacks._rules import Rule, count_rules
from hsplid_core.attacks._square_moves import MOVES, Place
from hsplid_core.attacks._windows import bounding_boxes
from hsplid_core.attacks.attack import Attack
from hsplid_core.attacks.balls import take

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

    def search(self, attempt: Attempt) -> Tensor:
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
    attempt: Attempt
    best: Tensor
    margin: Tensor

    def take(self, kept: Tensor) -> _Walk:
        return _Walk(
            self.row[kept], self.attempt.take(kept), take(self.best, kept), self.margin[kept]
        )
