"""The loops of PGD, one for each choice of the iterate to return.

They work in place on `start`, without gradient tracking of their own; a caller turns it off.
"""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor

from hsplid_core.attacks.balls import Ball, take
from hsplid_core.attacks.model_queries import ModelQueries

Iterate = Literal["last", "best", "first_fooling"]


class Ascent(Protocol):
    """Climb the loss of images [B, C, H, W] from a start in their ball."""

    def __call__(
        self,
        scorer: ModelQueries,
        ball: Ball,
        start: Tensor,
        target: Tensor,
        *,
        step: float,
        steps: int,
    ) -> Tensor:
        """Return one iterate for each image, [B, C, H, W]; overwrites `start`."""
        ...


def _last(
    scorer: ModelQueries, ball: Ball, start: Tensor, target: Tensor, *, step: float, steps: int
) -> Tensor:
    for _ in range(steps):
        _, _, gradient = scorer.judge_with_gradient(start, target)
        _advance_(ball, start, gradient, step)
    return start


def _best(
    scorer: ModelQueries, ball: Ball, start: Tensor, target: Tensor, *, step: float, steps: int
) -> Tensor:
    best = start.clone()
    best_fooled, best_loss, gradient = scorer.judge_with_gradient(start, target)
    for left in reversed(range(steps)):
        _advance_(ball, start, gradient, step)
        if left:
            fooled, loss, gradient = scorer.judge_with_gradient(start, target)
        else:  # the last iterate takes no further step
            fooled, loss = scorer.judge(start, target)
        better = is_better(fooled, loss, best_fooled, best_loss)
        best = torch.where(better.view(-1, 1, 1, 1), start, best)
        best_loss = torch.where(better, loss, best_loss)
        best_fooled = best_fooled | fooled
    return best


def _first_fooling(
    scorer: ModelQueries, ball: Ball, start: Tensor, target: Tensor, *, step: float, steps: int
) -> Tensor:
    result = standing = start
    rows = torch.arange(len(start), device=start.device)  # of `standing` in `result`
    for _ in range(steps):
        fooled, _, gradient = scorer.judge_with_gradient(standing, target)
        if fooled.any():
            if standing is not result:
                result[rows[fooled]] = standing[fooled]
            kept = (~fooled).nonzero().squeeze(1)
            if not len(kept):
                return result
            rows, target = rows[kept], target[kept]
            standing, gradient, ball = take(standing, kept), take(gradient, kept), ball.take(kept)
        _advance_(ball, standing, gradient, step)
    if standing is not result:
        result[rows] = standing
    return result


def is_better(fooled: Tensor, loss: Tensor, than_fooled: Tensor, than_loss: Tensor) -> Tensor:
    """Compare two attacks of each image: fooling the model first, then the larger loss.

    Returns:
        Whether the first is strictly better, bool, [B].
    """
    return (fooled & ~than_fooled) | ((fooled == than_fooled) & (loss > than_loss))


def _advance_(ball: Ball, image: Tensor, gradient: Tensor, step: float) -> None:
    ball.project_(image.add_(ball.direction(gradient), alpha=step))


ASCENTS: dict[Iterate, Ascent] = {
    "last": _last,
    "best": _best,
    "first_fooling": _first_fooling,
}
"""The loops by the name of the iterate they return."""
