"""Losses of attacks, which they climb: of logits, one number for each image.

| symbol | meaning | shape |
| z | logits | [B, K] |
| y | true classes | [B] |
| t | classes that a targeted attack aims at | [B] |
| z_(i) | i-th largest logit of an image | [B] |

- ``ce``: -log softmax(z)_y.
- ``dlr``: -(z_y - max_{i != y} z_i) / (z_(1) - z_(3)); blind to a shift or a scale of the logits,
  so a model cannot hide behind a saturated softmax (K >= 3).
- ``targeted_ce``: log softmax(z)_t.
- ``targeted_dlr``: -(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2) (K >= 4).
- ``difference``: z_t - z_y, whose zero is the border between two classes.

Reference: Croce and Hein 2020, Reliable evaluation of adversarial robustness with an ensemble of
diverse parameter-free attacks (arXiv 2003.01690), equations 6 and 7.
"""

from __future__ import annotations

from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from hsplid_core.errors import ConfigError

LossName = Literal["ce", "dlr", "targeted_ce", "targeted_dlr"]

_TINY = 1e-12  # a model with all logits equal has a loss of 0, not of NaN


class Loss(Protocol):
    """A loss that grows as an attack gets nearer to its end."""

    def __call__(self, logits: Tensor, target: Tensor, goal: Tensor) -> Tensor:
        """Return the loss of each image, [B].

        Args:
            logits: [B, K].
            target: True classes, int64, [B].
            goal: Classes to reach, int64, [B]; read by the targeted losses alone.
        """
        ...


def cross_entropy(logits: Tensor, target: Tensor, goal: Tensor) -> Tensor:
    """Return the cross-entropy with the true class; see `Loss`."""
    return F.cross_entropy(logits, target, reduction="none")


def targeted_cross_entropy(logits: Tensor, target: Tensor, goal: Tensor) -> Tensor:
    """Return minus the cross-entropy with the goal; see `Loss`."""
    return -F.cross_entropy(logits, goal, reduction="none")


def dlr(logits: Tensor, target: Tensor, goal: Tensor) -> Tensor:
    """Return the difference of logits ratio, in [-1, 0] while the true class leads; see `Loss`.

    Raises:
        ConfigError: There are fewer than three classes.
    """
    _need_classes(logits, 3, "the DLR loss", "ce")
    top = logits.topk(3, dim=1).values
    return margin(logits, target).neg() / (top[:, 0] - top[:, 2] + _TINY)


def targeted_dlr(logits: Tensor, target: Tensor, goal: Tensor) -> Tensor:
    """Return the targeted difference of logits ratio; see `Loss`.

    Raises:
        ConfigError: There are fewer than four classes.
    """
    _need_classes(logits, 4, "the targeted DLR loss", "targeted_ce")
    top = logits.topk(4, dim=1).values
    scale = top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + _TINY
    return logit_difference(logits, target, goal) / scale


def logit_difference(logits: Tensor, target: Tensor, goal: Tensor) -> Tensor:
    """Return z_t - z_y; see `Loss`."""
    return (_of(logits, goal) - _of(logits, target)).squeeze(1)


def margin(logits: Tensor, target: Tensor) -> Tensor:
    """Return by how much the true class leads: z_y - max_{i != y} z_i, [B].

    Args:
        logits: [B, K].
        target: True classes, int64, [B].
    """
    others = logits.scatter(1, target.unsqueeze(1), -torch.inf)
    return _of(logits, target).squeeze(1) - others.amax(1)


def lost_lead(logits: Tensor, target: Tensor, goal: Tensor) -> Tensor:
    """Return minus the lead of the true class, above 0 where it has none; see `Loss`."""
    return -margin(logits, target)


def ranked_goals(logits: Tensor, target: Tensor, count: int) -> Tensor:
    """Rank the wrong classes by their logits, the likeliest first.

    Args:
        logits: [B, K].
        target: True classes, int64, [B].
        count: Classes wanted; there are at most K - 1.

    Returns:
        Class indices, int64, [B, min(count, K - 1)].
    """
    wrong = logits.detach().scatter(1, target.unsqueeze(1), -torch.inf)
    return wrong.argsort(dim=1, descending=True, stable=True)[:, : min(count, logits.shape[1] - 1)]


def _of(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes.unsqueeze(1))


def _need_classes(logits: Tensor, least: int, name: str, instead: str) -> None:
    if logits.shape[1] < least:
        raise ConfigError(
            f"{name} needs at least {least} classes and the model has {logits.shape[1]}: "
            f"use loss {instead!r}"
        )


LOSSES: dict[LossName, Loss] = {
    "ce": cross_entropy,
    "dlr": dlr,
    "targeted_ce": targeted_cross_entropy,
    "targeted_dlr": targeted_dlr,
}
"""The losses that APGD can climb, by name."""
