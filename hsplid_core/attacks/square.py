"""The Square attack: random search with squares of colour, no gradient.

Each query changes one square window and keeps the change if the true class's margin falls. The
window's side follows a fixed schedule, from most of the region down to single pixels.

A region is respected by drawing windows inside the smallest rectangle around it and by changing
its pixels alone; with the whole image allowed, this is the published attack.

Reference: Andriushchenko et al. 2020, Square Attack: a query-efficient black-box adversarial
attack via random search (arXiv 1912.00049), algorithms 1 to 3.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from hsplid_core.attacks._attempt import attempt
from hsplid_core.attacks._rules import count_rules, radius_rules
from hsplid_core.attacks._square_moves import MOVES, Place
from hsplid_core.attacks._windows import bounding_boxes
from hsplid_core.attacks.attack import Model
from hsplid_core.attacks.balls import BALLS, Ball, Norm, take
from hsplid_core.attacks.scoring import Scorer
from hsplid_core.config import check

_STREAM = 3 << 20
_MAX_QUERIES = 1 << 20  # restarts lie so many streams apart
# Of 10,000 queries: after each of these, the windows' area is halved (section 3.3).
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


@dataclass(frozen=True, kw_only=True)
class Square:
    """Settings of a Square attack; calling it attacks a batch.

    Attributes:
        epsilon: Radius of the ball in pixel units, above 0; at most 1 in L-infinity.
        norm: "linf" or "l2".
        queries: Windows tried for each image and start, one forward pass each, after the first
            guess (AutoAttack: 5000).
        first_share: Share of the region that the first windows cover, in (0, 1] (AutoAttack:
            0.8).
        restarts: Starts per image; each goes on with the images that still stand.
        targeted: Lead to the classes given, instead of away from them.

    Raises:
        ConfigError: A value is out of range; all faults are named together.
    """

    epsilon: float
    norm: Norm = "linf"
    queries: int = 5000
    first_share: float = 0.8
    restarts: int = 1
    targeted: bool = False

    def __post_init__(self) -> None:
        check(
            [
                *radius_rules(self.epsilon, self.norm),
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
        )

    def with_epsilon(self, epsilon: float) -> Square:
        """Return the same attack with another radius."""
        return replace(self, epsilon=epsilon)

    def stopping_early(self) -> Square:
        """Return the same attack: an image always leaves as soon as it fools."""
        return self

    def __call__(
        self,
        model: Model,
        image: Tensor,
        target: Tensor,
        allowed: Tensor,
        *,
        seed: int,
        index: Tensor,
    ) -> Tensor:
        """Attack a batch; see `Attack`. The model need not be differentiable.

        Where nothing fools, the image of the last start's smallest margin returns.
        """
        with attempt(model, image, target, allowed, index, targeted=self.targeted) as scorer:
            result = image.clone()
            standing = torch.arange(len(image), device=image.device)
            ball: Ball = BALLS[self.norm](image, allowed, self.epsilon)
            for again in range(self.restarts):
                if not len(standing):
                    break
                search = _Search(
                    row=standing,
                    image=take(image, standing),
                    target=target[standing],
                    allowed=allowed[standing],
                    index=index[standing],
                    best=take(image, standing),
                    margin=torch.full_like(image[standing, 0, 0, 0], torch.inf),
                )
                standing = self._search(scorer, ball.take(standing), search, result, seed, again)
        return result

    def window_share(self, query: int) -> float:
        """Share of the region that the window of a query covers; queries count from 0."""
        of_10_000 = query * 10_000 // self.queries
        return self.first_share * 0.5 ** sum(of_10_000 > end for end in _HALVINGS)

    def _search(
        self,
        scorer: Scorer,
        ball: Ball,
        search: _Search,
        result: Tensor,
        seed: int,
        again: int,
    ) -> Tensor:
        """Query until all fool or no query is left; returns the rows [N] that still stand."""
        boxes = bounding_boxes(search.allowed)
        moves = MOVES[self.norm]
        stream = _STREAM + again * _MAX_QUERIES
        for passes in range(self.queries + 1):
            place = Place(
                search.image, search.best, search.allowed, boxes, ball, self.epsilon, search.index
            )
            if passes == 0:
                candidate = moves.first(place, seed, stream)
            else:
                share = self.window_share(passes - 1)
                candidate = moves.next(place, share, seed, stream + passes)
            fooled, margin = scorer.margins(candidate, search.target)
            better = fooled | (margin < search.margin)
            search.best = torch.where(better.view(-1, 1, 1, 1), candidate, search.best)
            search.margin = torch.where(better, margin, search.margin)
            if fooled.any():
                result[search.row[fooled]] = take(search.best, fooled)
                kept = (~fooled).nonzero().squeeze(1)
                if not len(kept):
                    return search.row[kept]
                search, ball, boxes = search.take(kept), ball.take(kept), boxes.take(kept)
        result[search.row] = search.best
        return search.row


@dataclass
class _Search:
    """The images that still stand; every field is a row per image."""

    row: Tensor
    image: Tensor
    target: Tensor
    allowed: Tensor
    index: Tensor
    best: Tensor
    margin: Tensor

    def take(self, kept: Tensor) -> _Search:
        values = {field.name: take(getattr(self, field.name), kept) for field in fields(self)}
        return replace(self, **values)
