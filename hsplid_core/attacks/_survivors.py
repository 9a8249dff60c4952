"""Images that stand, and how near attacks have come to breaking them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hsplid_core.attacks._attacked_batch import AttackedBatch
from hsplid_core.attacks.balls import take


@dataclass(frozen=True)
class Survivors:
    """Images that stand at one radius.

    Attributes:
        positions: Their places in the attempt, ascending, int64, [N].
        image: The nearest miss for each, or the clean image, [N, C, H, W].
        margin: By how much the true class still leads there, above 0, [N].
    """

    positions: Tensor
    image: Tensor
    margin: Tensor

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, rows: Tensor) -> Survivors:
        """Return some of them, by row or by whether."""
        return Survivors(self.positions[rows], take(self.image, rows), self.margin[rows])

    def none(self) -> Survivors:
        """Return none of them."""
        return self.take(self.positions[:0])

    def split(self, first: Tensor) -> tuple[Survivors, Survivors]:
        """Return those that a condition, bool, [N], holds for, and the others."""
        return self.take(first), self.take(~first)

    def at(self, positions: Tensor) -> Survivors:
        """Return those at some positions, ascending, all among its own."""
        return self.take(torch.searchsorted(self.positions, positions))

    def scaled(self, attempt: AttackedBatch, positions: Tensor, factor: float) -> Tensor:
        """Enlarge the changes of images at some positions, [N, C, H, W]."""
        clean = take(attempt.image, positions)
        return self.at(positions).image.sub_(clean).mul_(factor).add_(clean).clamp_(0, 1)

    def nearest(self, image: Tensor, margin: Tensor) -> Survivors:
        """Return the nearer misses of these and others [N, C, H, W] with their margins [N]."""
        nearer = margin < self.margin
        return Survivors(
            self.positions,
            torch.where(nearer.view(-1, 1, 1, 1), image, self.image),
            torch.where(nearer, margin, self.margin),
        )

    def merged(self, others: Survivors) -> Survivors:
        """Return these and others at other positions."""
        both = Survivors(
            torch.cat([self.positions, others.positions]),
            torch.cat([self.image, others.image]),
            torch.cat([self.margin, others.margin]),
        )
        return both.take(both.positions.argsort())


class Trail:
    """Where attacks have left the images that stand, for the next attack to go on from.

    Args:
        attempt: M images, classified correctly.
        n_radii: Number E of radii.

    Attributes:
        lead: Margins of the clean images, [M].
        searched: Whether an attack that goes on from what it finds has been at each radius.
    """

    def __init__(self, attempt: AttackedBatch, n_radii: int) -> None:
        _, self.lead = attempt.scorer.margins(attempt.image, attempt.target)
        self.searched = [False] * n_radii
        self._image = attempt.image
        self._left: list[Survivors | None] = [None] * n_radii

    def at(self, place: int, positions: Tensor) -> Survivors:
        """Return what stands at a radius; as it is, where nothing has attacked yet."""
        left = self._left[place]
        if left is None:
            return Survivors(positions, take(self._image, positions), self.lead[positions])
        return left.at(positions)

    def leave(self, place: int, standing: Survivors, *, searched: bool) -> None:
        """Note what an attack has left at a radius."""
        self._left[place] = standing
        self.searched[place] |= searched
