"""A cascade breaks no less than single attacks, and skips what is known to be broken."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hsplid_core.attacks import APGD, FAB, PGD, Attack, Scorer, Square
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


def run(breaker: Any, name: str, known: Tensor | None = None, seed: int = 0) -> Any:
    attacks = [ATTACKS[name].with_epsilon(epsilon) for epsilon in RADII]
    scorer = Scorer(trained_net())
    return breaker(scorer, BATCH, ALLOWED, correct_rows(), attacks, seed=seed, known=known)


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_a_cascade_is_monotone_and_breaks_what_single_attacks_break(name: str) -> None:
    each, found = run(break_each, name), run(break_in_cascade, name)
    assert (found.broken >= each.broken).all()
    assert (found.broken[:, 1:] >= found.broken[:, :-1]).all()
    assert found.broken.any()
    for outcome in (each, found):
        assert torch.equal(outcome.broken, outcome.size < torch.inf)
        limit = torch.tensor(RADII).expand_as(outcome.size)
        assert (outcome.size <= limit * (1 + 1e-4))[outcome.broken].all()
    # The first change that broke an image is noted at all larger radii too.
    if name != "fab":
        twice = found.broken[:, :-1]
        assert torch.equal(found.size[:, 1:][twice], found.size[:, :-1][twice])


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
        scorer = Scorer(counting)
        break_in_cascade(scorer, BATCH, ALLOWED, correct_rows(), attacks[:n_radii], seed=0)
        assert len(calls) <= 2 + 2 * 5
