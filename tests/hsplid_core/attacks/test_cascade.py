"""A cascade breaks no less than single attacks, and skips what is known to be broken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from hsplid_core.attacks import APGD, FAB, PGD, Attack, AttackedBatch, Model, ModelQueries, Square
from hsplid_core.attacks._survivors import Survivors, Trail
from hsplid_core.attacks.balls import CHANGES
from hsplid_core.attacks.cascade import break_each, break_in_cascade
from tests.hsplid_core.attacks.problems import pick
from tests.hsplid_core.attacks.trained import trained_net, unseen_batch

ATTACKS: dict[str, Attack] = {
    "pgd": PGD(epsilon=1, steps=3),
    "apgd": APGD(epsilon=1, steps=6, iterate="best"),
    "fab": FAB(epsilon=1, steps=5, n_targets=2),
    "square": Square(epsilon=1, queries=15),
}
RADII = (0.01, 0.02, 0.04, 0.08)
BATCH = pick(unseen_batch(), torch.arange(20))
ALLOWED = torch.ones_like(BATCH.image[:, :1], dtype=torch.bool)


def correct_rows() -> Tensor:
    with torch.no_grad():
        logits: Tensor = trained_net()(BATCH.image)
    return (logits.argmax(1) == BATCH.target).nonzero().squeeze(1)


def attempt_on(model: Model, seed: int = 0) -> AttackedBatch:
    return AttackedBatch.of(BATCH, ALLOWED, ModelQueries(model), seed=seed).take(correct_rows())


def run(breaker: Any, name: str, known: Tensor | None = None, seed: int = 0) -> Any:
    attacks = [ATTACKS[name].with_epsilon(epsilon) for epsilon in RADII]
    attempt = attempt_on(trained_net(), seed)
    with torch.no_grad():
        return breaker(attempt, attacks, known)


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_a_cascade_is_monotone_and_breaks_what_single_attacks_break(name: str) -> None:
    each, found = run(break_each, name), run(break_in_cascade, name)
    assert (found.broken >= each.broken).all()
    assert (found.broken[:, 1:] >= found.broken[:, :-1]).all()
    assert found.broken.any()
    for outcome in (each, found):
        size = outcome.change[..., CHANGES.index(ATTACKS[name].norm)]
        assert torch.equal(outcome.broken, size < torch.inf)
        limit = torch.tensor(RADII).expand_as(size)
        assert (size <= limit * (1 + 1e-4))[outcome.broken].all()
    # The first change that broke an image is noted at all larger radii too.
    if name != "fab":
        twice = found.broken[:, :-1]
        assert torch.equal(found.change[:, 1:][twice], found.change[:, :-1][twice])


@pytest.mark.parametrize("name", sorted(ATTACKS))
@pytest.mark.parametrize("cascade", [True, False])
def test_what_is_known_is_not_attacked(name: str, cascade: bool) -> None:
    n_rows = len(correct_rows())
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(len(RADII) + 1, (n_rows, 1), generator=generator)
    known = torch.arange(len(RADII)) >= first
    breaker: Any = break_in_cascade if cascade else break_each
    outcome, free = run(breaker, name, known), run(breaker, name)
    assert not (outcome.broken & known).any()
    assert torch.equal(outcome.broken, free.broken & ~known)


def test_a_search_for_the_smallest_change_serves_all_radii() -> None:
    calls: list[int] = []
    net = trained_net()

    def counting(image: Tensor) -> Tensor:
        calls.append(len(image))
        logits: Tensor = net(image)
        return logits

    attacks = [FAB(epsilon=epsilon, steps=5, n_targets=1) for epsilon in RADII]
    for n_radii in (1, 4):
        calls.clear()
        attempt = attempt_on(counting)
        with torch.no_grad():
            break_in_cascade(attempt, attacks[:n_radii])
        assert len(calls) <= 2 + 2 * 5


def test_a_second_search_of_a_ball_is_for_images_in_reach() -> None:
    calls: list[int] = []
    net = trained_net()

    def counting(image: Tensor) -> Tensor:
        calls.append(len(image))
        logits: Tensor = net(image)
        return logits

    attempt, work, broken = attempt_on(counting), {}, {}
    with torch.no_grad():
        for follows in (True, False):
            trail = Trail(attempt, len(RADII)) if follows else None
            teams = [
                [APGD(epsilon=epsilon, loss=loss, steps=20) for epsilon in RADII]
                for loss in ("ce", "dlr")
            ]
            known = break_in_cascade(attempt, teams[0], None, trail).broken
            calls.clear()
            second = break_in_cascade(attempt, teams[1], known, trail)
            work[follows], broken[follows] = sum(calls), second.broken | known
    assert work[True] < 0.6 * work[False]
    assert torch.equal(broken[True], broken[False])
    assert broken[True].any()
    assert not broken[True].all()


def test_where_one_loss_is_blind_the_next_attack_searches_in_full() -> None:
    net = trained_net()

    def saturated(image: Tensor) -> Tensor:
        logits: Tensor = net(image)
        return logits * 1e4

    attempt = attempt_on(saturated)
    teams = [
        [APGD(epsilon=epsilon, loss=loss, steps=20) for epsilon in RADII] for loss in ("ce", "dlr")
    ]
    with torch.no_grad():
        trail = Trail(attempt, len(RADII))
        blind = break_in_cascade(attempt, teams[0], None, trail).broken
        found = break_in_cascade(attempt, teams[1], blind, trail).broken | blind
        alone = break_each(attempt, teams[1]).broken
    assert blind.sum() < alone.sum()
    assert (found >= alone).all()


def test_a_resumed_climb_stays_in_its_set() -> None:
    attempt = attempt_on(trained_net())
    attack = APGD(epsilon=0.03, steps=20)
    allowed = attempt.allowed.clone()
    allowed[..., :5] = False
    attempt = replace(attempt, allowed=allowed)
    with torch.no_grad():
        found = attack.resume(attempt, torch.rand_like(attempt.image))
    change = found - attempt.image
    assert change.abs().amax() <= 0.03 + 1e-6
    assert change[..., :5].abs().amax() == 0
    assert change[..., 5:].abs().amax() > 0.02


def test_what_stands_keeps_its_order_and_its_nearest_miss() -> None:
    image = torch.arange(4.0).view(4, 1, 1, 1)
    standing = Survivors(torch.tensor([1, 3, 4, 8]), image, torch.tensor([4.0, 1.0, 3.0, 2.0]))
    odd, even = standing.split(standing.positions % 2 == 1)
    merged = odd.merged(even)
    assert merged.positions.tolist() == [1, 3, 4, 8]
    assert torch.equal(merged.image, image)
    assert even.merged(standing.none()).positions.tolist() == [4, 8]
    nearest = standing.nearest(image + 10, torch.full((4,), 2.5)).at(torch.tensor([3, 4]))
    assert nearest.image.flatten().tolist() == [1, 12]
    assert nearest.margin.tolist() == [1, 2.5]
