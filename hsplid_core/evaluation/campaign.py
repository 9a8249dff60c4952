"""The attacks of one threat on one data set, collected batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        self._first: list[Tensor] = []  # [N, 3] each: label, place of the radius, size

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
        known = first.nothing
        trail = Trail(attempt, len(self.threat.epsilons)) if self._cascade else None
        break_images: Breaker = break_in_cascade if self._cascade else break_each
        for name, stages in self.stages.items():
            if not self._cascade:
                known = first.nothing
            for label, attack in stages:
                team = [attack.with_epsilon(epsilon) for epsilon in self.threat.epsilons]
                outcome = break_images(attempt, team, known, trail)
                known = known | outcome.broken
                first.note(outcome, self._code(label))
                self._tell(label, known)
                if isinstance(attack, Square):
                    self.by_square += outcome.broken.sum(0).cpu()
            self.broken[name] += known.sum(0).cpu()
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

    def columns(self) -> dict[str, list[str | float | None]]:
        """Return what broke each image: attack, radius and size, or nulls."""
        epsilons = (0.0, *self.threat.epsilons)
        attack: list[str | float | None] = []
        epsilon: list[str | float | None] = []
        size: list[str | float | None] = []
        for code, place, length in torch.cat(self._first).tolist():
            stands = code < 0
            attack.append(None if stands else self._labels[int(code)])
            epsilon.append(None if stands else epsilons[int(place)])
            size.append(None if stands else length)
        return {"attack": attack, "epsilon": epsilon, "perturbation_norm": size}

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
        self._size = torch.full_like(rows, torch.inf, dtype=torch.float64)

    def note(self, outcome: Outcome, code: int) -> None:
        """Take over what is broken at a smaller radius than before."""
        n_radii = outcome.broken.shape[1]
        place = torch.where(outcome.broken.any(1), outcome.broken.int().argmax(1), n_radii)
        size = outcome.size.gather(1, place.clamp(max=n_radii - 1).unsqueeze(1)).squeeze(1)
        earlier = place < self._place
        self._place = torch.where(earlier, place, self._place)
        self._size = torch.where(earlier, size.double(), self._size)
        self._code = self._code.masked_fill(earlier, code)

    def spread(self, wrong: Tensor) -> Tensor:
        """Return label code (-1 stands), place from 1 on and size of all B images, [B, 3]."""
        table = torch.full((len(wrong), 3), -1.0, dtype=torch.float64, device=wrong.device)
        table[wrong] = 0
        found = [self._code.double(), self._place.double() + 1, self._size]
        table[self.rows] = torch.stack(found, dim=1)
        return table
