"""Strength against torchattacks: whole image, same radius, same trained model.

Robust accuracy may lie at most half a point above the peer's. torchattacks is no dependency: it
serves these tests alone (`pip install --no-deps torchattacks`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from hsplid_core.attacks import APGD, FAB, PGD, Attack, AutoAttack, Norm, Square
from tests.hsplid_core.attacks.trained import CLASSES, trained_net, unseen_batch

torchattacks = pytest.importorskip("torchattacks", reason="the peer torchattacks is not installed")

SEEDS = (0, 1)  # one start more or less is worth an image or two
HALF_A_POINT = 0.005
RADII: dict[Norm, float] = {"linf": 0.03, "l2": 0.8}
PEER_NORMS = {"linf": "Linf", "l2": "L2"}


def ours(attack: Attack, rows: int) -> list[float]:
    """Robust accuracy for each seed."""
    net, batch = trained_net(), unseen_batch(rows)
    allowed = torch.ones_like(batch.image[:, :1], dtype=torch.bool)
    return [
        correct(attack(net, batch.image, batch.target, allowed, seed=seed, index=batch.index))
        for seed in SEEDS
    ]


def theirs(make: Callable[[Any, int], Any], rows: int) -> list[float]:
    """Robust accuracy under the peer for each seed."""
    batch = unseen_batch(rows)
    net = copy.deepcopy(trained_net())  # it leaves gradients behind
    shares = []
    for seed in SEEDS:
        # It draws from the global generator and leaves it changed.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            shares.append(correct(make(net, seed)(batch.image, batch.target)))
    return shares


def correct(image: Tensor) -> float:
    with torch.no_grad():
        found = trained_net()(image).argmax(1) == unseen_batch(len(image)).target
    return float(found.double().mean())


def compare(attack: Attack, make: Callable[[Any, int], Any], *, rows: int = 400) -> None:
    here, there = ours(attack, rows), theirs(make, rows)
    assert 0.02 < min(here) <= max(here) < 0.95
    assert sum(here) <= sum(there) + len(SEEDS) * HALF_A_POINT + 1e-9, (here, there)


def test_pgd() -> None:
    compare(
        PGD(epsilon=0.03, steps=10, step_size=0.0075, iterate="first_fooling"),
        lambda net, seed: torchattacks.PGD(net, eps=0.03, alpha=0.0075, steps=10),
    )


@pytest.mark.parametrize("norm", sorted(RADII))
@pytest.mark.parametrize("loss", ["ce", "dlr"])
def test_apgd(norm: Norm, loss: Any) -> None:
    epsilon = RADII[norm]
    compare(
        APGD(epsilon=epsilon, norm=norm, loss=loss, steps=25),
        lambda net, seed: torchattacks.APGD(
            net, norm=PEER_NORMS[norm], eps=epsilon, steps=25, loss=loss, seed=seed
        ),
    )


@pytest.mark.parametrize("norm", sorted(RADII))
def test_targeted_apgd(norm: Norm) -> None:
    epsilon = RADII[norm]
    compare(
        APGD(epsilon=epsilon, norm=norm, loss="targeted_dlr", steps=12),
        lambda net, seed: torchattacks.APGDT(
            net, norm=PEER_NORMS[norm], eps=epsilon, steps=12, n_classes=CLASSES, seed=seed
        ),
    )


@pytest.mark.parametrize("norm", sorted(RADII))
def test_fab(norm: Norm) -> None:
    epsilon = RADII[norm]
    compare(
        FAB(epsilon=epsilon, norm=norm, steps=6),
        lambda net, seed: torchattacks.FAB(
            net,
            norm=PEER_NORMS[norm],
            eps=epsilon,
            steps=6,
            multi_targeted=True,
            n_classes=CLASSES,
        ),
    )


@pytest.mark.parametrize("norm", sorted(RADII))
def test_square(norm: Norm) -> None:
    epsilon = RADII[norm] * 1.5  # a black box needs more
    here = ours(Square(epsilon=epsilon, norm=norm, queries=250), 120)
    there = theirs(
        lambda net, seed: torchattacks.Square(
            net, norm=PEER_NORMS[norm], eps=epsilon, n_queries=250, seed=seed
        ),
        120,
    )
    # The peer draws one window for its whole batch, so its accuracy jumps by ten points between
    # seeds where ours moves by one: it is held against the peer's own spread.
    assert max(here) <= max(there) + 0.05, (here, there)


def test_autoattack() -> None:
    # The peer's own team has fixed steps, 100 and 5000, which take minutes; its targeted APGD is
    # what decides here.
    compare(
        AutoAttack(epsilon=0.03, steps=10, queries=10),
        lambda net, seed: torchattacks.APGDT(net, eps=0.03, steps=10, n_classes=CLASSES),
        rows=100,
    )
