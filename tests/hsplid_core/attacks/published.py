"""AutoAttack as its authors write it down: one image at a time, one attack after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Member = Callable[[Tensor, Tensor], Tensor]
"""Images [B, C, H, W] and classes [B] to attacked images."""


def plain_apgd(
    model: nn.Module, image: Tensor, label: Tensor, start: Tensor, epsilon: float, steps: int
) -> tuple[Tensor, float]:
    """Algorithm 1 of arXiv 2003.01690 in L-infinity, for one image [1, C, H, W], by loops.

    Returns:
        The iterate of largest cross-entropy, and that.
    """

    def project(point: Tensor) -> Tensor:
        return torch.min(torch.max(point, image - epsilon), image + epsilon).clamp(0, 1)

    def evaluate(point: Tensor) -> tuple[float, Tensor]:
        point = point.clone().requires_grad_()
        loss = F.cross_entropy(model(point), label)
        (gradient,) = torch.autograd.grad(loss, point)
        return float(loss.detach()), gradient

    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    checkpoints = [-(-round(100 * share) * steps // 100) for share in shares]

    step, x, before = 2 * epsilon, start, start
    loss, gradient = evaluate(x)
    best, best_loss, best_gradient = x, loss, gradient
    rises, at_checkpoint, just_halved, last = 0, best_loss, True, 0
    for k in range(1, steps + 1):
        z = project(x + step * gradient.sign())
        moved = z if k == 1 else project(x + 0.75 * (z - x) + 0.25 * (x - before))
        before, x = x, moved
        new_loss, gradient = evaluate(x)
        rises += new_loss > loss
        loss = new_loss
        if loss > best_loss:
            best, best_loss, best_gradient = x, loss, gradient
        if k in checkpoints[1:]:
            stuck = not just_halved and best_loss <= at_checkpoint
            just_halved = rises < 0.75 * (k - last) or stuck
            if just_halved:
                step, x, loss, gradient = step / 2, best, best_loss, best_gradient
            rises, at_checkpoint, last = 0, best_loss, k
    return best, best_loss


def withstands(model: nn.Module, image: Tensor, label: Tensor, team: Sequence[Member]) -> Tensor:
    """Send a team at each image [B, C, H, W] on its own: whether nothing fools, bool, [B]."""

    def is_right(x: Tensor, y: Tensor) -> bool:
        with torch.no_grad():
            return bool(model(x).argmax(1) == y)

    return torch.tensor(
        [
            is_right(x, y) and all(is_right(member(x, y), y) for member in team)
            for x, y in zip(image.split(1), label.split(1), strict=True)
        ]
    )
