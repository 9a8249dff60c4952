"""How strong the attacks are, where the answer is a formula, and how they depend on settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hsplid_core.attacks import (
    APGD,
    FAB,
    Attack,
    AttackedBatch,
    AutoAttack,
    ModelQueries,
    Square,
    region_mask,
)
from hsplid_core.attacks._windows import bounding_boxes, bump, inside, opposite_bumps
from hsplid_core.attacks.apgd import _checkpoints, climb
from hsplid_core.attacks.balls import LinfBall, sizes
from hsplid_core.attacks.losses import LOSSES
from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError
from tests.hsplid_core.attacks.problems import LinearModel, make_batch, make_net, pick
from tests.hsplid_core.attacks.published import plain_apgd
from tests.hsplid_core.attacks.trained import trained_net, unseen_batch


def run(attack: Attack, model: Any, batch: Batch, allowed: Tensor, seed: int = 0) -> Tensor:
    index = batch.index
    return attack(model, batch.image, batch.target, allowed, seed=seed, index=index)


def on(model: Any, batch: Batch, allowed: Tensor) -> AttackedBatch:
    return AttackedBatch.of(batch, allowed, ModelQueries(model), seed=0)


def full(batch: Batch) -> Tensor:
    return torch.ones_like(batch.image[:, :1], dtype=torch.bool)


def two_class_problem(region: str, rows: int = 30) -> tuple[LinearModel, Batch, Tensor, Tensor]:
    """A linear model, images it gets right, a region, and the weight difference on it."""
    batch = make_batch(rows, classes=2)
    batch = replace(batch, image=0.3 + 0.4 * batch.image)  # [0, 1] stays out of it
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=generator)
    model = LinearModel(weight, torch.zeros(2, dtype=torch.float64))
    batch = replace(batch, target=model(batch.image).argmax(1).detach())
    allowed = region_mask(region, batch, seed=0)
    return model, batch, allowed, (weight[0] - weight[1]) * allowed


def distances(model: LinearModel, batch: Batch, difference: Tensor, norm: str) -> Tensor:
    """Distance of each image to the border: margin over the dual norm."""
    logits = model(batch.image).detach()
    margin: Tensor = (logits[:, 0] - logits[:, 1]).abs()
    order = 1 if norm == "linf" else 2
    dual: Tensor = torch.linalg.vector_norm(difference.flatten(1), ord=order, dim=1)
    return margin / dual


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("region", ["full", "background"])
def test_fab_finds_the_border_of_a_linear_model(norm: Any, region: str) -> None:
    model, batch, allowed, difference = two_class_problem(region)
    expected = distances(model, batch, difference, norm)
    attack = FAB(epsilon=0.1, norm=norm, steps=30)
    with torch.no_grad():
        _, found = attack.smallest(on(model, batch, allowed), enough=0)
    near = expected < (0.25 if norm == "linf" else 1)  # beyond, the box bends the way
    assert near.sum() > 10
    torch.testing.assert_close(found[near], expected[near], rtol=0.02, atol=0)
    assert (found >= expected * (1 - 1e-9)).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("loss", ["ce", "targeted_ce"])
def test_apgd_breaks_a_linear_model_exactly_where_it_can_be_broken(norm: Any, loss: Any) -> None:
    model, batch, allowed, difference = two_class_problem("right")
    limit = distances(model, batch, difference, norm)
    epsilon = float(limit.median())
    attack = APGD(epsilon=epsilon, norm=norm, loss=loss, steps=60)
    fooled = model(run(attack, model, batch, allowed)).argmax(1) != batch.target
    clear = (limit - epsilon).abs() > 0.01 * epsilon
    assert torch.equal(fooled[clear], (limit < epsilon)[clear])


def test_square_breaks_a_linear_model_that_sees_one_colour() -> None:
    # The mean of a channel moves by epsilon at most: random search has to come near that.
    weight = torch.zeros(2, 3, 8, 8, dtype=torch.float64)
    weight[0, 1] = 1 / 64
    model = LinearModel(weight, torch.tensor([0.0, 0.5], dtype=torch.float64))
    image = torch.full((4, 3, 8, 8), 0.5, dtype=torch.float64)
    image += torch.tensor([0.01, 0.03, 0.05, 0.08], dtype=torch.float64).view(-1, 1, 1, 1)
    batch = Batch(image, torch.zeros(4, dtype=torch.int64), None, torch.arange(4))
    attacked = run(Square(epsilon=0.06, queries=300), model, batch, full(batch))
    assert (model(attacked).argmax(1) != 0).tolist() == [True, True, True, False]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_attacks_are_monotone_in_epsilon(norm: Any) -> None:
    net, batch = trained_net(), pick(unseen_batch(), torch.arange(60))
    radii = (0.01, 0.03, 0.06) if norm == "linf" else (0.3, 0.9, 1.8)
    for attack in (
        APGD(epsilon=1, norm=norm, steps=20),
        APGD(epsilon=1, norm=norm, steps=20, loss="targeted_dlr", n_targets=2),
        FAB(epsilon=1, norm=norm, steps=10, n_targets=2),
        Square(epsilon=1, norm=norm, queries=60),
    ):
        counts = []
        for epsilon in radii:
            attacked = run(attack.with_epsilon(epsilon), net, batch, full(batch))
            counts.append(int((net(attacked).argmax(1) != batch.target).sum()))
        assert counts == sorted(counts), attack
        assert counts[0] < counts[-1], attack


def test_fab_does_not_know_the_radius() -> None:
    net, batch = trained_net(), pick(unseen_batch(), torch.arange(20))
    with torch.no_grad():
        attempt = on(net, batch, full(batch))
        found = [
            FAB(epsilon=epsilon, steps=5).smallest(attempt, enough=0.02) for epsilon in (0.01, 0.5)
        ]
    assert torch.equal(found[0][0], found[1][0])
    image, size = found[0]
    torch.testing.assert_close(sizes(image - batch.image, "linf"), size.where(size < 9, 0))
    assert torch.equal(size < torch.inf, net(image).argmax(1) != batch.target)


class Noisy(nn.Module):
    """A classifier with random logits around those of another."""

    def __init__(self, net: nn.Module, scale: float) -> None:
        super().__init__()
        self.eval()
        self.net = net
        self.scale = scale
        self.calls = 0

    def forward(self, image: Tensor) -> Tensor:
        self.calls += 1
        logits: Tensor = self.net(image)
        return logits + self.scale * torch.randn_like(logits)


def test_averaged_gradients_cost_nothing_on_a_model_without_chance() -> None:
    batch = make_batch(classes=4)
    net = make_net(classes=4)
    calls = {}
    for scale in (0.0, 0.5):
        model = Noisy(net, scale)
        run(APGD(epsilon=1e-4, steps=5, samples=7, iterate="best"), model, batch, full(batch))
        calls[scale] = model.calls
    assert calls == {0.0: 6 + 1, 0.5: 6 * 7}


def test_apgd_checkpoints_are_the_published_ones() -> None:
    assert sorted(_checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert max(_checkpoints(5)) <= 5


def test_apgd_takes_the_steps_of_the_published_algorithm() -> None:
    net, batch = make_net(classes=4, sharpness=2.0), make_batch(8, classes=4)
    steps, epsilon = 40, 0.02
    noise = torch.rand(batch.image.shape, generator=torch.Generator().manual_seed(0))
    start = (batch.image + epsilon * (2 * noise.double() - 1)).clamp(0, 1)
    ball = LinfBall(batch.image, full(batch), epsilon)
    with torch.no_grad():
        _, _, losses = climb(
            ModelQueries(net),
            ball,
            start.clone(),
            batch.target,
            batch.target,
            LOSSES["ce"],
            step=2 * epsilon,
            steps=steps,
            samples=1,
            leave=False,
        )
    expected = [
        plain_apgd(net, image, label, begin, epsilon, steps)[1]
        for image, label, begin in zip(
            batch.image.split(1), batch.target.split(1), start.split(1), strict=True
        )
    ]
    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64))


def test_autoattack_is_a_team_that_suits_the_classes() -> None:
    names = {
        (version, k): [name for name, _ in AutoAttack(epsilon=0.1, version=version).members(k)]
        for version in ("standard", "rand")
        for k in (2, 3, 4)
    }
    assert names["standard", 4] == ["apgd-ce", "apgd-t", "fab-t", "square"]
    assert names["standard", 3] == ["apgd-ce", "apgd-dlr", "fab-t", "square"]
    assert names["standard", 2] == ["apgd-ce", "fab-t", "square"]
    assert names["rand", 4] == names["rand", 3] == ["apgd-ce", "apgd-dlr"]
    assert names["rand", 2] == ["apgd-ce"]
    published = dict(AutoAttack(epsilon=0.1).members(10))
    assert published["apgd-t"] == APGD(epsilon=0.1, loss="targeted_dlr", n_targets=9, steps=100)
    assert published["square"] == Square(epsilon=0.1, queries=5000, first_share=0.8)
    random = dict(AutoAttack(epsilon=0.1, version="rand").members(10))
    assert random["apgd-dlr"] == APGD(epsilon=0.1, loss="dlr", steps=100, samples=20)


def test_autoattack_breaks_what_any_member_breaks() -> None:
    net, batch = trained_net(), pick(unseen_batch(), torch.arange(40))
    team = AutoAttack(epsilon=0.025, steps=8, queries=30)
    fooled = net(run(team, net, batch, full(batch))).argmax(1) != batch.target
    for name, member in team.members(5):
        alone = net(run(member, net, batch, full(batch))).argmax(1) != batch.target
        assert (fooled >= alone).all(), name
    assert fooled.any()
    assert not fooled.all()


def test_losses_that_need_more_classes_are_refused() -> None:
    batch = make_batch(classes=3)
    with pytest.raises(ConfigError, match="targeted DLR loss needs at least 4 classes"):
        run(APGD(epsilon=0.1, loss="targeted_dlr"), make_net(), batch, full(batch))
    with pytest.raises(ConfigError, match="DLR loss needs at least 3 classes"):
        run(APGD(epsilon=0.1, loss="dlr"), make_net(classes=2), batch, full(batch))


def test_square_follows_its_schedule() -> None:
    attack = Square(epsilon=0.1, queries=10_000)
    shares = [attack.window_share(query) for query in (0, 10, 11, 51, 201, 9_999)]
    assert shares == [0.8, 0.8, 0.4, 0.2, 0.1, 0.8 / 512]
    assert replace(attack, queries=100).window_share(1) == attack.window_share(100)


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    top=st.integers(0, 5),
    left=st.integers(0, 5),
)
def test_boxes_and_windows_mark_what_they_say(
    height: int, width: int, top: int, left: int
) -> None:
    allowed = torch.zeros(2, 1, 18, 17, dtype=torch.bool)
    allowed[0, 0, top : top + height, left : left + width] = True
    boxes = bounding_boxes(allowed)
    assert [int(field[0]) for field in boxes] == [top, left, height, width]
    assert [int(field[1]) for field in boxes][2:] == [18, 17]  # an empty region: any will do
    side = torch.tensor([min(height, width), 3])
    window = inside(allowed.shape, boxes.top, boxes.left, side)
    assert int(window[0].sum()) == min(height, width) ** 2
    assert not (window[0] & ~allowed[0]).any()


def test_bumps_are_the_published_pyramids() -> None:
    row = torch.arange(5).view(1, 5, 1)
    column = torch.arange(5).view(1, 1, 5)
    drawn = bump(row, column, torch.tensor([5]), torch.tensor([5]))[0]
    ring = [1 + 1 / 4 + 1 / 9, 1 / 4 + 1 / 9, 1 / 9]  # middle, around it, the edge
    expected = [[ring[max(abs(r - 2), abs(c - 2))] for c in range(5)] for r in range(5)]
    torch.testing.assert_close(drawn, torch.tensor(expected, dtype=torch.float64))
    pair = opposite_bumps(
        torch.Size((1, 1, 8, 8)),
        torch.tensor([1]),
        torch.tensor([2]),
        torch.tensor([6]),
        torch.tensor([True]),
    )[0]
    assert (pair[1:7, 2:5] > 0).all()
    assert (pair[1:7, 5:8] < 0).all()
    assert float(pair.abs().sum()) == pytest.approx(float(pair[1:7, 2:8].abs().sum()))


def test_a_saturated_softmax_stops_the_cross_entropy_but_not_dlr() -> None:
    net, batch = trained_net(), pick(unseen_batch(), torch.arange(60))

    def sharp(image: Tensor) -> Tensor:
        logits: Tensor = net(image)
        return logits * 1e4

    image = batch.image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(sharp(image), batch.target), image)
    assert (gradient.flatten(1).abs().amax(1) == 0).double().mean() > 0.8
    fooled = {}
    for loss in ("ce", "dlr"):
        attack = APGD(epsilon=0.05, loss=loss, steps=20)
        attacked = run(attack, sharp, batch, full(batch))
        fooled[loss] = int((net(attacked).argmax(1) != batch.target).sum())
    assert fooled["dlr"] > fooled["ce"] + 10
