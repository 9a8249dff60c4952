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

from hsplid_core.attacks._attacked_batch import AttackedBatch
from hsplid_core.attacks._survivors import Survivors, Trail
from hsplid_core.attacks.attack import Attack
from hsplid_core.attacks.balls import CHANGES, changes, take
from hsplid_core.attacks.fab import FAB

# Shares of the clean image's lead: with more left by a search of this ball, another attack does
# not try; with more left after a short run, no full run follows.
_SHORT_REACH, _FULL_REACH = 1 / 2, 1 / 3
# With more left than this share the search was as good as none, as where gradients are masked.
_UNTOUCHED = 0.9
# Growth of the radius up to which a perturbation, scaled, is a good start.
_NEAR = 2.001
_TINY = 1e-12


@dataclass(frozen=True)
class Outcome:
    """What attacks broke.

    Attributes:
        broken: Images broken at each radius that were not known to be, bool, [M, E].
        change: What the change that did it measures, in the order of `balls.CHANGES`; infinite
            where there is none, [M, E, 4].
    """

    broken: Tensor
    change: Tensor


class Breaker(Protocol):
    """Attacks images at rising radii."""

    def __call__(
        self,
        attempt: AttackedBatch,
        attacks: Sequence[Attack],
        known: Tensor | None = None,
        trail: Trail | None = None,
    ) -> Outcome:
        """Return what is broken at each radius.

        Args:
            attempt: M images, all classified correctly.
            attacks: One attack of E radii, in ascending order.
            known: What other attacks have broken, bool, [M, E]; None if nothing.
            trail: Where other attacks have left these images; written to. None if there are none.
        """
        ...


def break_each(
    attempt: AttackedBatch,
    attacks: Sequence[Attack],
    known: Tensor | None = None,
    trail: Trail | None = None,
) -> Outcome:
    """Attack at each radius as if it were the only one; see `Breaker`."""
    record = _Record(attempt, attacks, known)
    for place, attack in enumerate(attacks):
        positions = record.standing(place)
        if len(positions):
            attacked = attempt.take(positions).under(attack)
            fooled, _ = attempt.scorer.judge(attacked, attempt.target[positions])
            record.write(positions[fooled], take(attacked, fooled), slice(place, place + 1))
    return record.outcome()


def break_in_cascade(
    attempt: AttackedBatch,
    attacks: Sequence[Attack],
    known: Tensor | None = None,
    trail: Trail | None = None,
) -> Outcome:
    """Attack survivors alone: what a radius breaks is broken at all larger ones; see `Breaker`.

    What an attack leaves standing is tried again at the next radius with its perturbation scaled
    up, for one forward pass. Scaling keeps it inside region and ball in any norm. What stands
    then is attacked from the very start it would have without a cascade, so that everything that
    breaks there breaks here. Two kinds of attack go on from what has been found instead.

    One that can go on from anywhere (`Attack.resume`) searches the first ball in full. At the next
    radius, up to twice as large, it makes a short run from the nearest miss, and a full run only
    where that leaves a third of the image's lead or less. Where another such attack has searched
    the ball before, both are for images alone that it has left half of their lead or less. Images
    that have kept nearly all of it count as not searched. An attack that looks for the smallest
    change of an image, from the image itself, would do the same at every radius, so one search
    serves them all.
    """
    first = attacks[0]
    if isinstance(first, FAB) and first.restarts == 1:
        return _break_by_distance(attempt, attacks, first, known)
    record = _Record(attempt, attacks, known)
    if not len(attempt):
        return record.outcome()
    trail = Trail(attempt, len(attacks)) if trail is None else trail
    below: Survivors | None = None  # what stands at the radius before
    radius = 0.0
    for place, attack in enumerate(attacks):
        here = trail.at(place, record.standing(place))
        if below is not None and len(here):
            scaled = below.scaled(attempt, here.positions, attack.epsilon / radius)
            here = record.try_out(here, scaled, place)
        if not len(here):
            break  # at this radius and all larger ones, everything is broken
        far = here.none()
        if attack.goes_on and trail.searched[place]:
            here, far = here.split(_is_in_reach(here, trail, _SHORT_REACH))
        if attack.goes_on and (trail.searched[place] or attack.epsilon <= _NEAR * radius):
            if len(here):
                short = attack.resume(attempt.take(here.positions), here.image)
                here = record.try_out(here, short, place)
            here, farther = here.split(_is_in_reach(here, trail, _FULL_REACH))
            far = far.merged(farther)
        if len(here):
            attacked = attempt.take(here.positions).under(attack)
            here = record.try_out(here, attacked, place)
        below, radius = here.merged(far), attack.epsilon
        trail.leave(place, below, searched=attack.goes_on)
    return record.outcome()


def _is_in_reach(here: Survivors, trail: Trail, share: float) -> Tensor:
    """Whether a full run may break images that a search has left so, bool, [N]."""
    left = here.margin / trail.lead[here.positions].clamp(min=_TINY)
    return (left <= share) | (left > _UNTOUCHED)


def _break_by_distance(
    attempt: AttackedBatch, attacks: Sequence[Attack], search: FAB, known: Tensor | None
) -> Outcome:
    """Break each image at all radii that its smallest change fits into, with one search."""
    record = _Record(attempt, attacks, known)
    positions = record.standing(0)  # known at the smallest radius means known at all
    if len(positions):
        found, size = search.smallest(attempt.take(positions), enough=search.epsilon)
        for place, attack in enumerate(attacks):
            fits = size <= attack.epsilon
            record.write(positions[fits], take(found, fits), slice(place, place + 1))
    return record.outcome()


class _Record:
    """Notes what is broken, and by how large a change."""

    def __init__(
        self, attempt: AttackedBatch, attacks: Sequence[Attack], known: Tensor | None
    ) -> None:
        shape = (len(attempt), len(attacks))
        self._attempt = attempt
        self._known = attempt.index.new_zeros(shape, dtype=torch.bool) if known is None else known
        self._broken = torch.zeros_like(self._known)
        self._change = attempt.image.new_full((*shape, len(CHANGES)), torch.inf)

    def standing(self, place: int) -> Tensor:
        """Find the images not broken at a radius, int64, [N], ascending."""
        return (~(self._known | self._broken)[:, place]).nonzero().squeeze(1)

    def try_out(self, here: Survivors, image: Tensor, place: int) -> Survivors:
        """Try images [N, C, H, W] on what stands; what fools is broken from a radius on.

        Returns:
            What stands still, each with the nearer miss.
        """
        fooled, margin = self._attempt.scorer.margins(image, self._attempt.target[here.positions])
        self.write(here.positions[fooled], take(image, fooled), slice(place, None))
        return here.nearest(image, margin).take(~fooled)

    def write(self, positions: Tensor, attacked: Tensor, places: slice) -> None:
        """Note that images [N] are broken by attacked images [N, C, H, W] at some radii."""
        if not len(positions):
            return
        change = changes(attacked - take(self._attempt.image, positions))
        self._broken[positions, places] = True
        self._change[positions, places] = change.unsqueeze(1)

    def outcome(self) -> Outcome:
        """Return what is newly broken."""
        new = self._broken & ~self._known
        return Outcome(new, self._change.where(new.unsqueeze(2), torch.inf))
