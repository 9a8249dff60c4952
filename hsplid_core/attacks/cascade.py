"""Attacking one batch at several radii, each on its own or as a cascade.

M images are attacked at E radii in ascending order. Both ways skip what is known to be broken,
so attacks can follow one another on survivors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from hsplid_core.attacks.attack import Attack
from hsplid_core.attacks.balls import sizes, take
from hsplid_core.attacks.fab import FAB
from hsplid_core.attacks.scoring import Scorer
from hsplid_core.data.batch import Batch


@dataclass(frozen=True)
class Outcome:
    """What attacks broke.

    Attributes:
        broken: Images broken at each radius that were not known to be, bool, [M, E].
        size: Size of the change that did it, in the attacks' norm; infinite where there is none,
            [M, E].
    """

    broken: Tensor
    size: Tensor


class Breaker(Protocol):
    """Attacks images of a batch at rising radii."""

    def __call__(
        self,
        scorer: Scorer,
        batch: Batch,
        allowed: Tensor,
        rows: Tensor,
        attacks: Sequence[Attack],
        *,
        seed: int,
        known: Tensor | None = None,
    ) -> Outcome:
        """Return what is broken at each radius.

        Args:
            scorer: The model.
            batch: B images.
            allowed: True where a pixel may change, bool, [B, 1, H, W].
            rows: The images to attack, int64, [M]; all are classified correctly.
            attacks: One attack of E radii, in ascending order.
            seed: Seed of the attacks.
            known: What other attacks have broken, bool, [M, E]; None if nothing.
        """
        ...


def break_each(
    scorer: Scorer,
    batch: Batch,
    allowed: Tensor,
    rows: Tensor,
    attacks: Sequence[Attack],
    *,
    seed: int,
    known: Tensor | None = None,
) -> Outcome:
    """Attack at each radius as if it were the only one; see `Breaker`."""
    record = _Record(batch, rows, attacks, known)
    for place, attack in enumerate(attacks):
        positions = record.standing(place)
        if not len(positions):
            continue
        attacked = _attacked(scorer, batch, allowed, rows[positions], attack, seed)
        fooled, _ = scorer.judge(attacked, batch.target[rows[positions]])
        record.write(positions[fooled], take(attacked, fooled), slice(place, place + 1))
    return record.outcome()


def break_in_cascade(
    scorer: Scorer,
    batch: Batch,
    allowed: Tensor,
    rows: Tensor,
    attacks: Sequence[Attack],
    *,
    seed: int,
    known: Tensor | None = None,
) -> Outcome:
    """Attack survivors alone: what a radius breaks is broken at all larger ones; see `Breaker`.

    What an attack leaves standing is tried again at the next radius with its perturbation scaled
    up, for one forward pass. Scaling keeps it inside region and ball in any norm. Only what
    stands then is attacked, from the very start it would have without a cascade: so everything
    that breaks there breaks here. An attack that looks for the smallest change of an image, from
    the image itself, would do the same at every radius, so one search serves them all.
    """
    first = attacks[0]
    if isinstance(first, FAB) and first.restarts == 1:
        return _break_by_distance(scorer, batch, allowed, rows, attacks, first, seed, known)
    record = _Record(batch, rows, attacks, known)
    positions = torch.arange(len(rows), device=rows.device)
    leftover: Tensor | None = None  # the standing images, as the smaller radius left them
    radius = 0.0
    for place, attack in enumerate(attacks):
        from_here = slice(place, None)
        kept = record.is_standing(positions, place)
        positions = positions[kept]
        if leftover is not None and len(positions):
            image = take(batch.image, rows[positions])
            scaled = take(leftover, kept).sub_(image).mul_(attack.epsilon / radius)
            scaled.add_(image).clamp_(0, 1)
            fooled, _ = scorer.judge(scaled, batch.target[rows[positions]])
            record.write(positions[fooled], take(scaled, fooled), from_here)
            positions = positions[~fooled]
        if not len(positions):
            break  # at this radius and all larger ones, everything is broken
        attacked = _attacked(scorer, batch, allowed, rows[positions], attack, seed)
        fooled, _ = scorer.judge(attacked, batch.target[rows[positions]])
        record.write(positions[fooled], take(attacked, fooled), from_here)
        positions, leftover, radius = positions[~fooled], take(attacked, ~fooled), attack.epsilon
    return record.outcome()


def _break_by_distance(
    scorer: Scorer,
    batch: Batch,
    allowed: Tensor,
    rows: Tensor,
    attacks: Sequence[Attack],
    search: FAB,
    seed: int,
    known: Tensor | None,
) -> Outcome:
    """Break each image at all radii that its smallest change fits into, with one search."""
    record = _Record(batch, rows, attacks, known)
    positions = record.standing(0)  # known at the smallest radius means known at all
    if len(positions):
        picked = rows[positions]
        found, size = search.smallest(
            scorer.model,
            take(batch.image, picked),
            batch.target[picked],
            allowed[picked],
            seed=seed,
            index=batch.index[picked],
            enough=search.epsilon,
        )
        for place, attack in enumerate(attacks):
            fits = size <= attack.epsilon
            record.write(positions[fits], take(found, fits), slice(place, place + 1))
    return record.outcome()


class _Record:
    """Notes what is broken, and by how large a change."""

    def __init__(
        self, batch: Batch, rows: Tensor, attacks: Sequence[Attack], known: Tensor | None
    ) -> None:
        shape = (len(rows), len(attacks))
        self._batch = batch
        self._rows = rows
        self._norm = attacks[0].norm
        self._known = rows.new_zeros(shape, dtype=torch.bool) if known is None else known
        self._broken = torch.zeros_like(self._known)
        self._size = batch.image.new_full(shape, torch.inf)

    def is_standing(self, positions: Tensor, place: int) -> Tensor:
        """Whether images [N] are not broken at a radius, bool, [N]."""
        return ~(self._known | self._broken)[positions, place]

    def standing(self, place: int) -> Tensor:
        """Find the images not known to be broken at a radius, int64, [N]."""
        return (~self._known[:, place]).nonzero().squeeze(1)

    def write(self, positions: Tensor, attacked: Tensor, places: slice) -> None:
        """Note that images [N] are broken by attacked images [N, C, H, W] at some radii."""
        if not len(positions):
            return
        change = attacked - take(self._batch.image, self._rows[positions])
        size = sizes(change, self._norm)
        self._broken[positions, places] = True
        self._size[positions, places] = size.unsqueeze(1)

    def outcome(self) -> Outcome:
        """Return what is newly broken."""
        new = self._broken & ~self._known
        return Outcome(new, self._size.where(new, torch.inf))


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
