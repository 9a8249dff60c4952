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

from hsplid_core.attacks._frozen import frozen
from hsplid_core.attacks._inputs import check_inputs
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
        queries: Forward passes for each image and start (AutoAttack: 5000).
        first_share: Share of the region that the first windows cover, in (0, 1] (AutoAttack:
            0.8).
        restarts: Starts per image; each goes on with the images that still stand.

    Raises:
        ConfigError: A value is out of range; all faults are named together.
    """

    epsilon: float
    norm: Norm = "linf"
    queries: int = 5000
    first_share: float = 0.8
    restarts: int = 1

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
        """Search the ball around each image for one that the model misclassifies.

        Args:
            model: Pixels to logits; need not be differentiable.
            image: Pixels in [0, 1], float, [B, C, H, W]; not changed.
            target: Class indices, int64, [B].
            allowed: True where a pixel may change, bool, [B, 1, H, W].
            seed: Seed of the search.
            index: Row of each image in its data set, int64, [B].

        Returns:
            The attacked images, [B, C, H, W]; where none fools, that of the last start's
            smallest margin.

        Raises:
            DataError: The tensors do not fit together, or pixels lie outside [0, 1].
            TrainingDivergedError: The model's logits are NaN or infinite.
        """
        check_inputs(image, target, allowed, index)
        with frozen(model), torch.inference_mode(False), torch.no_grad():
            scorer = Scorer(model)
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
            scorer.verify()
        return result

    def side_share(self, query: int) -> float:
        """Share of the region that the windows of a query cover."""
        passed = sum(query * 10_000 > end * self.queries for end in _HALVINGS)
        return self.first_share * 0.5**passed

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
        for query in range(self.queries):
            place = Place(
                search.image, search.best, search.allowed, boxes, ball, self.epsilon, search.index
            )
            if query == 0:
                candidate = moves.first(place, seed, stream)
            else:
                candidate = moves.next(place, self.side_share(query), seed, stream + query)
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
