"""Attacking one batch at several radii, each on its own or as a cascade.

Both ways count broken images, of those that are classified correctly as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from hsplid_core.attacks.attack import Attack
from hsplid_core.attacks.balls import take
from hsplid_core.attacks.scoring import Scorer
from hsplid_core.data.batch import Batch


class BreakCounter(Protocol):
    """Counts the images of a batch that attacks of rising radius break."""

    def __call__(
        self,
        scorer: Scorer,
        batch: Batch,
        allowed: Tensor,
        rows: Tensor,
        attacks: Sequence[Attack],
        *,
        seed: int,
    ) -> Tensor:
        """Return the broken images at each radius, int64, [E].

        Args:
            scorer: The model.
            batch: B images.
            allowed: True where a pixel may change, bool, [B, 1, H, W].
            rows: The images to attack, int64, [M]; all are classified correctly.
            attacks: E attacks in order of their radius.
            seed: Seed of the attacks.
        """
        ...


def count_broken_each(
    scorer: Scorer,
    batch: Batch,
    allowed: Tensor,
    rows: Tensor,
    attacks: Sequence[Attack],
    *,
    seed: int,
) -> Tensor:
    """Count what each attack breaks when it attacks all rows; see `BreakCounter`."""
    broken = torch.zeros(len(attacks), dtype=torch.int64, device=rows.device)
    if not len(rows):
        return broken
    for place, attack in enumerate(attacks):
        attacked = _attacked(scorer, batch, allowed, rows, attack, seed)
        broken[place] = scorer.judge(attacked, batch.target[rows])[0].sum()
    return broken


def count_broken_in_cascade(
    scorer: Scorer,
    batch: Batch,
    allowed: Tensor,
    rows: Tensor,
    attacks: Sequence[Attack],
    *,
    seed: int,
) -> Tensor:
    """Count what is broken up to each radius, attacking survivors alone; see `BreakCounter`.

    What an attack leaves standing is tried again at the next radius with its perturbation scaled
    up, for one forward pass. Scaling keeps it inside region and ball in any norm. Only what
    stands then is attacked, from the very start it would have without a cascade: so everything
    that breaks there breaks here.
    """
    n_attacked = len(rows)
    broken = torch.full((len(attacks),), n_attacked, dtype=torch.int64, device=rows.device)
    leftover: Tensor | None = None  # the standing rows, as the smaller radius left them
    radius = 0.0
    for place, attack in enumerate(attacks):
        if leftover is not None:
            image = take(batch.image, rows)
            scaled = leftover.sub_(image).mul_(attack.epsilon / radius).add_(image).clamp_(0, 1)
            rows = rows[~scorer.judge(scaled, batch.target[rows])[0]]
        if not len(rows):
            break  # at this radius and all larger ones, everything is broken
        attacked = _attacked(scorer, batch, allowed, rows, attack, seed)
        standing = ~scorer.judge(attacked, batch.target[rows])[0]
        rows, leftover, radius = rows[standing], take(attacked, standing), attack.epsilon
        broken[place] = n_attacked - len(rows)
    return broken


def _attacked(
    scorer: Scorer, batch: Batch, allowed: Tensor, rows: Tensor, attack: Attack, seed: int
) -> Tensor:
    return attack(
        scorer.model,
        take(batch.image, rows),
        batch.target[rows],
        allowed[rows],
        seed=seed,
        index=batch.index[rows],
    )
