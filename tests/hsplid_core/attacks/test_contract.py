"""What every attack promises: its set, its independence of the batch, its manners."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hsplid_core.attacks import (
    APGD,
    FAB,
    PGD,
    REGIONS,
    Attack,
    AutoAttack,
    Square,
    fgsm,
    region_mask,
    user_region,
)
from hsplid_core.attacks.balls import sizes
from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError, DataError, TrainingDivergedError
from tests.hsplid_core.attacks.problems import make_batch, make_net, pick

ATTACKS: dict[str, Any] = {
    "pgd": PGD(epsilon=0.1, steps=3),
    "apgd-ce": APGD(epsilon=0.1, steps=6),
    "apgd-dlr": APGD(epsilon=0.1, steps=6, loss="dlr", restarts=2),
    "apgd-best": APGD(epsilon=0.1, steps=6, iterate="best"),
    "apgd-targeted-ce": APGD(epsilon=0.1, steps=4, loss="targeted_ce"),
    "apgd-t": APGD(epsilon=0.1, steps=4, loss="targeted_dlr", n_targets=2),
    "fab-t": FAB(epsilon=0.1, steps=4, restarts=2),
    "fgsm": fgsm(0.1),
    "pgd-to": PGD(epsilon=0.1, steps=3, restarts=2, iterate="best", targeted=True),
    "apgd-dlr-to": APGD(epsilon=0.1, steps=6, loss="dlr", targeted=True),
    "fab-to": FAB(epsilon=0.1, steps=4, targeted=True),
    "square-to": Square(epsilon=0.1, queries=12, targeted=True),
    "aa-standard-to": AutoAttack(epsilon=0.1, steps=3, queries=8, targeted=True),
    "square": Square(epsilon=0.1, queries=12, restarts=2),
    "aa-standard": AutoAttack(epsilon=0.1, steps=3, queries=8),
    "aa-plus": AutoAttack(epsilon=0.1, version="plus", steps=3, queries=4),
    "aa-rand": AutoAttack(epsilon=0.1, version="rand", steps=3, samples=3),
}
NORMS = ("linf", "l2")
NET = make_net(classes=4, sharpness=3.0)
BATCH = make_batch(classes=4)
LARGE = make_batch(24, classes=4)
FULL = torch.ones(6, 1, 8, 8, dtype=torch.bool)
# A mask of anybody's own: scattered pixels, some in every image.
SPOTS = user_region(
    "spots", torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.3
)
NAMES = pytest.mark.parametrize("name", sorted(ATTACKS))


def settings_of(name: str, norm: str, epsilon: float) -> Attack:
    attack: Attack = replace(ATTACKS[name], norm=norm, epsilon=epsilon)
    return attack


def run(
    attack: Attack, batch: Batch = BATCH, allowed: Tensor = FULL, model: Any = NET, seed: int = 0
) -> Tensor:
    return attack(model, batch.image, batch.target, allowed, seed=seed, index=batch.index)


@NAMES
@settings(max_examples=12, deadline=None)
@given(
    norm=st.sampled_from(NORMS),
    epsilon=st.floats(1e-3, 1.0),
    region=st.sampled_from([*sorted(REGIONS), "block_3", "block_0.6", SPOTS]),
    seed=st.integers(),
)
def test_stays_in_ball_region_and_pixel_range(
    name: str, norm: Any, epsilon: float, region: Any, seed: int
) -> None:
    allowed = region_mask(region, BATCH, seed=seed)
    attacked = run(settings_of(name, norm, epsilon), allowed=allowed, seed=seed)
    change = attacked - BATCH.image
    assert (sizes(change, norm) <= epsilon * (1 + 1e-9)).all()
    assert torch.equal(attacked.where(~allowed, 0), BATCH.image.where(~allowed, 0))
    assert ((attacked >= 0) & (attacked <= 1)).all()


@NAMES
@settings(max_examples=6, deadline=None)
@given(order=st.permutations(range(6)), cut=st.integers(1, 5), norm=st.sampled_from(NORMS))
def test_ignores_batch_size_and_order(name: str, order: list[int], cut: int, norm: str) -> None:
    attack = settings_of(name, norm, 0.05 if norm == "linf" else 0.4)
    whole = run(attack, allowed=region_mask("block", BATCH, seed=3), seed=3)
    for rows in (torch.tensor(order[:cut]), torch.tensor(order[cut:])):
        part = pick(BATCH, rows)
        attacked = run(attack, part, region_mask("block", part, seed=3), seed=3)
        torch.testing.assert_close(attacked, whole[rows], rtol=0, atol=1e-6)


@NAMES
def test_is_deterministic_and_leaves_the_world_alone(name: str) -> None:
    net, image = make_net(classes=4), BATCH.image.clone()
    before = torch.random.get_rng_state()
    first = run(ATTACKS[name], model=net)
    assert torch.equal(first, run(ATTACKS[name], model=net))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(BATCH.image, image)
    assert not any(module.training for module in net.modules())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert not first.requires_grad


@NAMES
@pytest.mark.parametrize("norm", NORMS)
def test_an_empty_region_and_an_empty_batch_come_back_as_they_are(name: str, norm: str) -> None:
    attack = settings_of(name, norm, 0.1)
    allowed = FULL.clone()
    allowed[2] = False
    assert torch.equal(run(attack, allowed=allowed)[2], BATCH.image[2])
    nothing = pick(BATCH, torch.arange(0))
    assert run(attack, nothing, FULL[:0]).shape == (0, 3, 8, 8)


@NAMES
def test_works_where_gradients_are_off(name: str) -> None:
    expected = run(ATTACKS[name])
    for guard in (torch.no_grad(), torch.inference_mode()):
        with guard:
            assert torch.equal(run(ATTACKS[name]), expected)


@NAMES
@pytest.mark.parametrize("norm", NORMS)
def test_keeps_dtype_and_takes_channels_last(name: str, norm: str) -> None:
    batch = make_batch(classes=4, dtype=torch.float32)
    net = make_net(classes=4, dtype=torch.float32, sharpness=3.0)
    image = batch.image.contiguous(memory_format=torch.channels_last)
    attacked = run(settings_of(name, norm, 0.1), replace(batch, image=image), model=net)
    assert attacked.dtype == torch.float32
    assert attacked.is_contiguous(memory_format=torch.channels_last)
    assert (sizes(attacked - batch.image, norm) <= 0.1 * (1 + 1e-5)).all()  # type: ignore[arg-type]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), norm=st.sampled_from(NORMS), factor=st.floats(1.5, 8.0))
@pytest.mark.parametrize("name", ["pgd", "apgd-ce", "fab-t", "square", "pgd-to", "square-to"])
def test_a_larger_ball_breaks_no_fewer(name: str, seed: int, norm: str, factor: float) -> None:
    # Image by image chance may go the other way: the promise is on the whole.
    epsilon = 0.01 if norm == "linf" else 0.1
    attack = settings_of(name, norm, epsilon)
    if isinstance(attack, PGD | APGD):
        attack = replace(attack, steps=12)
    broken = [
        int(reached(attack.with_epsilon(radius), LARGE, seed).sum())
        for radius in (epsilon, factor * epsilon, 9 * factor * epsilon)
    ]
    assert broken[0] <= broken[1] + 1
    assert broken[1] <= broken[2] + 1
    assert broken[0] <= broken[2]


def reached(attack: Attack, batch: Batch, seed: int = 0) -> Tensor:
    """Whether an attack has its way with each image."""
    allowed = torch.ones_like(batch.image[:, :1], dtype=torch.bool)
    found: Tensor = NET(run(attack, batch, allowed, seed=seed)).argmax(1) == batch.target
    return found if attack.targeted else ~found


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", sorted(name for name in ATTACKS if name.endswith("-to")))
def test_a_targeted_attack_leads_to_its_class(name: str, norm: str) -> None:
    attack = settings_of(name, norm, 0.3 if norm == "linf" else 3.0)
    if isinstance(attack, Square):
        attack = replace(attack, queries=200)
    found = reached(attack, LARGE)
    as_they_are = NET(LARGE.image).argmax(1) == LARGE.target
    assert found.sum() > as_they_are.sum() + 5, (int(found.sum()), int(as_they_are.sum()))
    assert (found >= as_they_are).all() or name == "pgd-to"  # PGD may leave where it was


@NAMES
def test_early_form_fools_on_at_least_the_same_images(name: str) -> None:
    batch = make_batch(24, classes=4)
    allowed = torch.ones(24, 1, 8, 8, dtype=torch.bool)
    net = make_net(classes=4, sharpness=3.0).eval()
    attack = settings_of(name, "linf", 0.02)
    hit = net(run(attack, batch, allowed, net)).argmax(1) == batch.target
    early = net(run(attack.stopping_early(), batch, allowed, net)).argmax(1) == batch.target
    assert (early >= hit).all() if attack.targeted else (early <= hit).all()


@NAMES
def test_refuses_bad_input_and_bad_models(name: str) -> None:
    attack = ATTACKS[name]
    with pytest.raises(DataError, match="pixels lie in"):
        run(attack, replace(BATCH, image=BATCH.image * 2))
    with pytest.raises(DataError, match="mask of allowed pixels"):
        run(attack, allowed=FULL[:, :, :4])
    with pytest.raises(ConfigError, match="epsilon is 0: use a radius above 0"):
        attack.with_epsilon(0)
    with pytest.raises(ConfigError, match="epsilon is 8: pixels lie in"):
        attack.with_epsilon(8)
    with pytest.raises(ConfigError, match="norm is 'l1'"):
        replace(attack, norm="l1")
    with pytest.raises(TrainingDivergedError, match="NaN or infinite"):
        run(attack, model=Diverged().eval())
    with pytest.raises(ConfigError, match="training mode: call model"):
        run(attack, model=make_net(classes=4).train())


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (APGD, {"loss": "hinge"}, "loss is 'hinge': use one of"),
        (APGD, {"steps": 0, "samples": 0}, "steps is 0.*samples is 0"),
        (APGD, {"iterate": "last"}, "iterate is 'last'"),
        (FAB, {"n_targets": 0, "pull": 1.0}, "n_targets is 0.*pull is 1.0"),
        (FAB, {"overshoot": 0.9, "bias": 2.0}, "overshoot is 0.9.*bias is 2.0"),
        (Square, {"queries": 0}, "queries is 0"),
        (Square, {"first_share": 0.0}, "first_share is 0.0"),
        (AutoAttack, {"version": "more"}, "version is 'more'"),
        (APGD, {"loss": "targeted_dlr", "targeted": True}, "goals of its own: use 'ce' or 'dlr'"),
    ],
)
def test_refuses_impossible_settings(kind: Any, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(epsilon=0.1, **change)


class Diverged(nn.Module):
    """Logits that are no numbers, with a gradient."""

    def forward(self, image: Tensor) -> Tensor:
        return image.flatten(1)[:, :4] * torch.nan
