"""The attacks of one threat on one data set, collected batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hsplid_core.attacks import (
    Attack,
    AttackedBatch,
    AutoAttack,
    ModelQueries,
    Norm,
    Square,
    region_mask,
)
from hsplid_core.attacks._survivors import Trail
from hsplid_core.attacks.balls import CHANGES
from hsplid_core.attacks.cascade import Breaker, Outcome, break_each, break_in_cascade
from hsplid_core.data.batch import Batch
from hsplid_core.evaluation.suites import Threat

_NOISE_STREAM = -2  # random regions use -1

Stage = tuple[str, Attack]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One attack on one batch is done.

    Attributes:
        n_done: Images of the batches before this one.
        n_images: Images in all.
        region: Name of the pixels that could change.
        norm: Norm of the ball.
        attack: Name of the attack, or of a team's member.
        epsilons: Radii in pixel units.
        standing: Images of this batch that nothing has broken so far, at each radius; without a
            cascade, that this attack has not.
    """

    n_done: int
    n_images: int
    region: str
    norm: Norm
    attack: str
    epsilons: tuple[float, ...]
    standing: tuple[int, ...]


Told = Callable[[Progress], None]
"""Hears of each attack on each batch."""


class Campaign:
    """Counts what a threat's attacks break, and notes for each image what broke it first.

    Args:
        threat: What to attack, and how.
        n_classes: Classes of the model, which decide AutoAttack's members.
        cascade: Whether attacks and radii go on with survivors alone.
        seed: Seed of attacks and random regions.
        n_images: Images of all batches that will come.
        told: Called after each attack on each batch.

    Attributes:
        threat: As given.
        broken: Images broken, by the attack's name, int64, [E] each.
        correct: Whether each image so far is classified correctly under attack, a bool [B, E] for
            each batch, by the attack's name.
        change: What the changes of the broken images measure in all (`CHANGES`), float64, [E, 4],
            by the attack's name.
        by_square: Images that Square alone broke, int64, [E].
        by_noise: Images that one random point broke at the largest radius and an attack did not,
            by the attack's name.
        n_attacked: Images that were attacked: classified correctly, with a pixel in the region.
        n_untouched: Images without a pixel in the region.
    """

    def __init__(
        self,
        threat: Threat,
        n_classes: int,
        *,
        cascade: bool,
        seed: int,
        n_images: int,
        told: Told | None = None,
    ) -> None:
        self.threat = threat
        self.n_attacked = 0
        self.n_untouched = 0
        names = [name for name, _ in threat.attacks]
        self.broken = {
            name: torch.zeros(len(threat.epsilons), dtype=torch.int64) for name in names
        }
        self.correct: dict[str, list[Tensor]] = {name: [] for name in names}
        self.change = {
            name: torch.zeros(len(threat.epsilons), len(CHANGES), dtype=torch.float64)
            for name in names
        }
        self.by_square = torch.zeros(len(threat.epsilons), dtype=torch.int64)
        self.by_noise = dict.fromkeys(names, 0)
        self.stages = {
            name: stages_of(name, attack.stopping_early() if cascade else attack, n_classes)
            for name, attack in threat.attacks
        }
        self._cascade = cascade
        self._seed = seed
        self._n_done, self._n_images = 0, n_images
        self._told = told
        self._labels = ["clean"]
        self._first: list[Tensor] = []  # [N, 6] each: label, place of the radius, its change

    def run(self, scorer: ModelQueries, batch: Batch, wrong: Tensor) -> None:
        """Attack a batch; `wrong` says which images are misclassified as they are, bool, [B]."""
        allowed = region_mask(self.threat.region, batch, seed=self._seed)
        untouched = ~allowed.flatten(1).any(1)
        rows = (~wrong & ~untouched).nonzero().squeeze(1)
        self.n_untouched += int(untouched.sum())
        self.n_attacked += len(rows)
        first = _First(rows, len(self.threat.epsilons))
        for batches in self.correct.values():
            batches.append((~wrong).cpu().unsqueeze(1).repeat(1, len(self.threat.epsilons)))
        if len(rows):
            attempt = AttackedBatch.of(batch, allowed, scorer, seed=self._seed)
            self._attack(attempt.take(rows), first)
        self._first.append(first.spread(wrong).cpu())
        self._n_done += len(wrong)

    def _attack(self, attempt: AttackedBatch, first: _First) -> None:
        noise = self._noise(attempt)
        known, change = (
            first.nothing,
            attempt.image.new_zeros((*first.nothing.shape, len(CHANGES))),
        )
        trail = Trail(attempt, len(self.threat.epsilons)) if self._cascade else None
        break_images: Breaker = break_in_cascade if self._cascade else break_each
        for name, stages in self.stages.items():
            if not self._cascade:
                known = first.nothing
            for label, attack in stages:
                team = [attack.with_epsilon(epsilon) for epsilon in self.threat.epsilons]
                outcome = break_images(attempt, team, known, trail)
                known = known | outcome.broken
                change = torch.where(outcome.broken.unsqueeze(2), outcome.change, change)
                first.note(outcome, self._code(label))
                self._tell(label, known)
                if isinstance(attack, Square):
                    self.by_square += outcome.broken.sum(0).cpu()
            self.broken[name] += known.sum(0).cpu()
            self.change[name] += (change * known.unsqueeze(2)).double().sum(0).cpu()
            self.correct[name][-1][first.rows.cpu()] = ~known.cpu()
            self.by_noise[name] += int((noise & ~known[:, -1]).sum())

    def _tell(self, attack: str, known: Tensor) -> None:
        if self._told is None:
            return
        self._told(
            Progress(
                n_done=self._n_done,
                n_images=self._n_images,
                region=self.threat.region_name,
                norm=self.threat.norm,
                attack=attack,
                epsilons=self.threat.epsilons,
                standing=tuple((~known).sum(0).tolist()),
            )
        )

    def columns(self) -> Mapping[str, Sequence[str | float | None]]:
        """Return what broke each image: attack, radius and change, or nulls."""
        table = torch.cat(self._first)
        found = table[:, 0] >= 0
        epsilons = (0.0, *self.threat.epsilons)
        labels = [self._labels[int(code)] if code >= 0 else None for code in table[:, 0].tolist()]
        radii = [epsilons[int(place)] if place >= 0 else None for place in table[:, 1].tolist()]
        changes = {
            name: [value if known else None for value, known in zip(column, found, strict=True)]
            for name, column in zip(CHANGES, table[:, 2:].T.tolist(), strict=True)
        }
        return {
            "attack": labels,
            "epsilon": radii,
            "perturbation_norm": changes[self.threat.norm],
            **changes,
        }

    def _code(self, label: str) -> int:
        if label not in self._labels:
            self._labels.append(label)
        return self._labels.index(label)

    def _noise(self, attempt: AttackedBatch) -> Tensor:
        """Try one random point of the largest ball: whether it fools, bool, [M]."""
        ball = attempt.ball(self.threat.norm, self.threat.epsilons[-1])
        noise = attempt.noise(_NOISE_STREAM).view(attempt.image.shape)
        return attempt.scorer.judge(ball.random_point(noise), attempt.target)[0]


def stages_of(name: str, attack: Attack, n_classes: int) -> Sequence[Stage]:
    """Take a team of attacks apart, so that each member can go on with survivors at all radii."""
    if not isinstance(attack, AutoAttack):
        return [(name, attack)]
    return [(f"{name}/{member}", single) for member, single in attack.members(n_classes)]


class _First:
    """What broke each of M images at the smallest radius."""

    def __init__(self, rows: Tensor, n_radii: int) -> None:
        self.nothing = rows.new_zeros((len(rows), n_radii), dtype=torch.bool)
        self.rows = rows
        self._place = torch.full_like(rows, n_radii)
        self._code = torch.full_like(rows, -1)
        self._change = rows.new_zeros((len(rows), len(CHANGES)), dtype=torch.float64)

    def note(self, outcome: Outcome, code: int) -> None:
        """Take over what is broken at a smaller radius than before."""
        n_radii = outcome.broken.shape[1]
        place = torch.where(outcome.broken.any(1), outcome.broken.int().argmax(1), n_radii)
        rows = torch.arange(len(place), device=place.device)
        change = outcome.change[rows, place.clamp(max=n_radii - 1)].double()
        earlier = place < self._place
        self._place = torch.where(earlier, place, self._place)
        self._change = torch.where(earlier.unsqueeze(1), change, self._change)
        self._code = self._code.masked_fill(earlier, code)

    def spread(self, wrong: Tensor) -> Tensor:
        """Return of all B images the label's code, the place from 1 on and the change, [B, 6].

        Code and place are -1 of images that stand, and all is 0 of those wrong as they are.
        """
        table = torch.zeros(
            (len(wrong), 2 + len(CHANGES)), dtype=torch.float64, device=wrong.device
        )
        table[~wrong, :2] = -1
        stands = self._code < 0
        place = (self._place + 1).masked_fill(stands, -1)
        head = torch.stack([self._code, place], dim=1).double()
        table[self.rows] = torch.cat([head, self._change], dim=1)
        return table
