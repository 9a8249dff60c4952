"""What PGD promises: its set, its strength, its independence of the batch, and its manners."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hsplid_core.attacks import PGD, REGIONS, Model, fgsm, region_mask
from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError, DataError, TrainingDivergedError
from tests.hsplid_core.attacks.problems import LinearModel, make_batch, make_net, pick

FULL = torch.ones(6, 1, 8, 8, dtype=torch.bool)


def attack(model: Model, batch: Batch, config: PGD, allowed: Tensor, seed: int = 0) -> Tensor:
    return config(model, batch.image, batch.target, allowed, seed=seed, index=batch.index)


def loss_of(model: nn.Module, image: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(model.eval()(image), target, reduction="none").detach()


class Recorder(nn.Module):
    """Passes images on to a model, and notes how many came with each call."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.eval()
        self.model = model
        self.sizes: list[int] = []

    def forward(self, image: Tensor) -> Tensor:
        self.sizes.append(len(image))
        logits: Tensor = self.model(image)
        return logits


CONFIGS = st.builds(
    PGD,
    epsilon=st.floats(1e-3, 1.0),
    steps=st.integers(1, 4),
    relative_step=st.floats(0.05, 3.0),
    norm=st.sampled_from(["linf", "l2"]),
    random_start=st.just(True),
    restarts=st.integers(1, 2),
    iterate=st.sampled_from(["last", "best", "first_fooling"]),
)


@settings(max_examples=60, deadline=None)
@given(config=CONFIGS, region=st.sampled_from(sorted(REGIONS)), seed=st.integers())
def test_stays_in_ball_region_and_pixel_range(config: PGD, region: str, seed: int) -> None:
    batch = make_batch()
    allowed = region_mask(region, batch, seed=seed)
    attacked = attack(make_net(), batch, config, allowed, seed)
    change = attacked - batch.image
    size = change.abs().amax((1, 2, 3)) if config.norm == "linf" else change.flatten(1).norm(dim=1)
    assert (size <= config.epsilon * (1 + 1e-9)).all()
    assert torch.equal(attacked.where(~allowed, 0), batch.image.where(~allowed, 0))
    assert ((attacked >= 0) & (attacked <= 1)).all()


@settings(max_examples=25, deadline=None)
@given(config=CONFIGS, order=st.permutations(range(6)), cut=st.integers(1, 5))
def test_ignores_batch_size_and_order(config: PGD, order: list[int], cut: int) -> None:
    batch, net = make_batch(), make_net()
    allowed = region_mask("block", batch, seed=3)
    whole = attack(net, batch, config, allowed, seed=3)
    for rows in (torch.tensor(order[:cut]), torch.tensor(order[cut:])):
        part = pick(batch, rows)
        attacked = attack(net, part, config, region_mask("block", part, seed=3), seed=3)
        torch.testing.assert_close(attacked, whole[rows], rtol=0, atol=1e-6)


def test_is_deterministic_and_hangs_on_the_seed() -> None:
    batch, net, config = make_batch(), make_net(), PGD(epsilon=0.1, steps=2)
    first = attack(net, batch, config, FULL, seed=1)
    assert torch.equal(first, attack(net, batch, config, FULL, seed=1))
    assert not torch.equal(first, attack(net, batch, config, FULL, seed=2))


def test_leaves_global_generator_and_input_alone() -> None:
    batch, net = make_batch(), make_net()
    before, image = torch.random.get_rng_state(), batch.image.clone()
    attack(net, batch, PGD(epsilon=0.1, restarts=2), FULL)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(batch.image, image)


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
@pytest.mark.parametrize("iterate", ["last", "best"])
@pytest.mark.parametrize("region", ["full", "background", "right"])
def test_reaches_the_worst_case_of_a_linear_model(
    norm: Any, dual: int, iterate: Any, region: str
) -> None:
    # Two classes: the margin m of the true one falls by at most epsilon |A dw|_dual, and the
    # loss is log(1 + exp(-m)); pixels in [0.3, 0.7] keep [0, 1] out of it.
    batch = make_batch(classes=2)
    batch = replace(batch, image=0.3 + 0.4 * batch.image)
    allowed = region_mask(region, batch, seed=0)
    weight = torch.randn(
        2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    bias = torch.tensor([0.3, -0.2], dtype=torch.float64)
    config = PGD(epsilon=0.05, steps=40, relative_step=0.2, norm=norm, iterate=iterate)
    attacked = attack(LinearModel(weight, bias), batch, config, allowed)

    sign = 1 - 2 * batch.target.double()
    difference = weight[0] - weight[1]
    margin = sign * (batch.image.flatten(1) @ difference.flatten() + bias[0] - bias[1])
    fall = config.epsilon * (difference * allowed).flatten(1).norm(p=dual, dim=1)
    worst = F.softplus(fall - margin)
    reached = loss_of(LinearModel(weight, bias), attacked, batch.target)
    torch.testing.assert_close(reached, worst, rtol=1e-6 if norm == "linf" else 1e-4, atol=0)


def test_fgsm_is_one_whole_step() -> None:
    batch, net = make_batch(), make_net().eval()
    image = batch.image.clone().requires_grad_()
    loss = F.cross_entropy(net(image), batch.target)
    (gradient,) = torch.autograd.grad(loss, image)
    allowed = region_mask("object", batch, seed=0)
    expected = (batch.image + 0.03 * gradient.sign() * allowed).clamp(0, 1)
    attacked = attack(net, batch, fgsm(0.03), allowed)
    torch.testing.assert_close(attacked, expected, rtol=0, atol=1e-12)
    called = fgsm(0.5).with_epsilon(0.03)
    again = called(net, batch.image, batch.target, allowed, seed=7, index=batch.index)
    assert torch.equal(attacked, again)


def test_best_iterate_is_no_weaker_than_last() -> None:
    batch, net = make_batch(rows=24), make_net()
    allowed = torch.ones(24, 1, 8, 8, dtype=torch.bool)
    last = PGD(epsilon=0.08, steps=5, relative_step=1.7)  # long steps: the loss goes up and down
    best = replace(last, iterate="best")
    fooled = {}
    for config in (last, best, replace(last, iterate="first_fooling")):
        attacked = attack(net, batch, config, allowed)
        fooled[config.iterate] = net.eval()(attacked).argmax(1) != batch.target
    assert (fooled["best"] >= fooled["last"]).all()
    assert torch.equal(fooled["best"], fooled["first_fooling"])
    assert fooled["best"].any()
    assert not fooled["best"].all()


def test_first_fooling_drops_images_from_the_batch() -> None:
    batch = make_batch(rows=24)
    recorder = Recorder(make_net())
    allowed = torch.ones(24, 1, 8, 8, dtype=torch.bool)
    attack(recorder, batch, PGD(epsilon=0.05, iterate="first_fooling"), allowed)
    assert recorder.sizes == sorted(recorder.sizes, reverse=True)
    assert recorder.sizes[-1] < recorder.sizes[0] == 24


def test_restarts_attack_survivors_alone_and_only_help() -> None:
    batch = make_batch(rows=24)
    allowed = torch.ones(24, 1, 8, 8, dtype=torch.bool)
    recorder = Recorder(make_net())
    one = PGD(epsilon=0.03, steps=1, relative_step=0.5)
    attacked = attack(recorder, batch, one, allowed)
    assert recorder.sizes == [24]
    fooled = recorder.model.eval()(attacked).argmax(1) != batch.target

    recorder.sizes.clear()
    many = attack(recorder, batch, replace(one, restarts=4), allowed)
    standing = 24 - int(fooled.sum())
    assert 0 < standing < 24
    assert recorder.sizes[:4] == [24, 24, standing, standing]
    assert torch.equal(many[fooled], attacked[fooled])
    before = loss_of(recorder, attacked, batch.target)
    after = loss_of(recorder, many, batch.target)
    assert (after[~fooled] >= before[~fooled]).all()
    assert (after[~fooled] > before[~fooled]).any()


@pytest.mark.parametrize("fails", [False, True])
def test_restores_the_model(fails: bool) -> None:
    batch, net = make_batch(), make_net()
    net[3].train()  # a defence that rests on dropout: it stays on
    net[0].weight.requires_grad_(False)
    modes = [module.training for module in net.modules()]
    learned = [parameter.requires_grad for parameter in net.parameters()]
    seen: list[bool] = []

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(not net[3].training or any(p.requires_grad for p in net.parameters()))
        if fails and len(seen) == 3:
            raise RuntimeError("midway")

    net[6].register_forward_pre_hook(look)
    if fails:
        with pytest.raises(RuntimeError, match="midway"):
            attack(net, batch, PGD(epsilon=0.1), FULL)
    else:
        attack(net, batch, PGD(epsilon=0.1), FULL)
    assert not any(seen)
    assert [module.training for module in net.modules()] == modes
    assert [parameter.requires_grad for parameter in net.parameters()] == learned
    assert all(parameter.grad is None for parameter in net.parameters())


def test_takes_a_plain_callable_without_touching_its_weights() -> None:
    batch, net = make_batch(), make_net().eval()
    expected = attack(net, batch, PGD(epsilon=0.1), FULL)
    attacked = attack(lambda image: net(image), batch, PGD(epsilon=0.1), FULL)
    torch.testing.assert_close(attacked, expected)
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_works_where_gradients_are_off(guard: Any) -> None:
    net, config = make_net(), PGD(epsilon=0.1)
    expected = attack(net, make_batch(), config, FULL)
    with guard():
        attacked = attack(net, make_batch(), config, FULL)
    assert torch.equal(attacked, expected)
    assert not attacked.requires_grad


@pytest.mark.parametrize("iterate", ["last", "best", "first_fooling"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_keeps_dtype_and_memory_format(iterate: Any, norm: Any) -> None:
    batch = make_batch(dtype=torch.float32)
    net = make_net(dtype=torch.float32)
    image = batch.image.contiguous(memory_format=torch.channels_last)
    config = PGD(epsilon=0.1, iterate=iterate, norm=norm, restarts=2)
    attacked = attack(net, replace(batch, image=image), config, FULL)
    assert attacked.is_contiguous(memory_format=torch.channels_last)
    assert attacked.dtype == torch.float32
    torch.testing.assert_close(
        attacked, attack(net, batch, config, FULL), rtol=0, atol=1e-4, check_stride=False
    )


def test_float32_and_float64_start_alike() -> None:
    config = PGD(epsilon=0.1, steps=1, relative_step=1e-6)
    wide = attack(make_net(), make_batch(), config, FULL)
    batch = make_batch()
    narrow = replace(batch, image=batch.image.float())
    attacked = attack(make_net(dtype=torch.float32), narrow, config, FULL)
    torch.testing.assert_close(attacked.double(), wide, rtol=0, atol=1e-6)


def test_an_empty_region_and_an_empty_batch_come_back_as_they_are() -> None:
    batch, net = make_batch(), make_net()
    allowed = FULL.clone()
    allowed[2] = False
    for norm in ("linf", "l2"):
        attacked = attack(net, batch, PGD(epsilon=0.1, norm=norm, restarts=2), allowed)
        assert torch.equal(attacked[2], batch.image[2])
        assert not torch.equal(attacked[1], batch.image[1])
    nothing = pick(batch, torch.arange(0))
    assert attack(net, nothing, PGD(epsilon=0.1), FULL[:0]).shape == (0, 3, 8, 8)


def test_a_gradient_of_shared_memory_is_no_obstacle() -> None:
    # The gradient of a sum is one number seen at every pixel: writing to it would fail.
    batch = make_batch(classes=3)
    attacked = attack(lambda image: image.sum((2, 3)), batch, PGD(epsilon=0.1), FULL)
    assert attacked.shape == batch.image.shape


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epsilon": 0.0}, "epsilon is 0.0: use a radius above 0"),
        ({"epsilon": -1.0}, "epsilon is -1.0"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"epsilon": float("inf"), "norm": "l2"}, "epsilon is inf"),
        ({"epsilon": 8.0}, r"epsilon is 8.0: pixels lie in \[0, 1\].*8/255"),
        ({"steps": 0}, "steps is 0: use at least 1"),
        ({"step_size": 0.0}, "step_size is 0.0: use above 0"),
        ({"relative_step": -0.5}, "relative_step is -0.5: use above 0"),
        ({"step_size": 0.1, "relative_step": 0.5}, "give one of them"),
        ({"norm": "l1"}, r"norm is 'l1': use one of \['l2', 'linf'\]"),
        ({"restarts": 0}, "restarts is 0: use at least 1"),
        ({"restarts": 2, "random_start": False}, "restarts is 2 without random_start"),
        ({"iterate": "first"}, "iterate is 'first': use one of"),
    ],
)
def test_refuses_impossible_settings(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PGD(**{"epsilon": 0.1, **change})


def test_names_all_faults_at_once() -> None:
    with pytest.raises(ConfigError, match=r"epsilon is 0.*steps is -1.*restarts is 0"):
        PGD(epsilon=0, steps=-1, restarts=0)


def test_steps_follow_their_settings() -> None:
    assert PGD(epsilon=0.1, step_size=0.02).with_epsilon(0.5).step == 0.02
    assert PGD(epsilon=0.1, relative_step=0.5).with_epsilon(0.5).step == 0.25
    assert PGD(epsilon=0.1, steps=5).step == pytest.approx(0.05)
    assert PGD(epsilon=30.0, norm="l2").with_epsilon(40.0).epsilon == 40.0
    with pytest.raises(ConfigError, match="epsilon is 0"):
        PGD(epsilon=0.1).with_epsilon(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": torch.rand(6, 3, 8, 8) + 0.5}, r"pixels lie in \[0\..*normalisation"),
        ({"image": torch.full((6, 3, 8, 8), torch.nan)}, "pixels lie in"),
        ({"image": torch.zeros(6, 3, 8, 8, dtype=torch.uint8)}, "divide uint8 images by 255"),
        ({"image": torch.rand(3, 8, 8)}, "attacks take float pixels"),
        ({"target": torch.zeros(5, dtype=torch.int64)}, "target is .* for each of the 6 images"),
        ({"target": torch.zeros(6)}, "target is torch.float32"),
        ({"index": torch.zeros(6, 1, dtype=torch.int64)}, "index is torch.int64"),
        ({"allowed": torch.ones(6, 1, 4, 4, dtype=torch.bool)}, "mask of allowed pixels"),
        ({"allowed": torch.ones(6, 1, 8, 8)}, "it must be bool"),
    ],
)
def test_refuses_batches_it_cannot_attack(change: dict[str, Tensor], message: str) -> None:
    batch = make_batch(dtype=torch.float32)
    tensors = {"image": batch.image, "target": batch.target, "allowed": FULL, "index": batch.index}
    tensors |= change
    with pytest.raises(DataError, match=message):
        PGD(epsilon=0.1)(make_net(dtype=torch.float32), **tensors, seed=0)


def test_refuses_logits_that_are_no_numbers() -> None:
    net = make_net()
    next(net.parameters()).data[0, 0, 0, 0] = torch.nan
    with pytest.raises(TrainingDivergedError, match="NaN or infinite"):
        attack(net, make_batch(), PGD(epsilon=0.1, iterate="first_fooling"), FULL)


def test_refuses_a_model_that_gives_no_logits() -> None:
    with pytest.raises(DataError, match=r"must return logits of shape \[B, K\]"):
        attack(nn.Conv2d(3, 3, 1).double().eval(), make_batch(), PGD(epsilon=0.1), FULL)


def test_refuses_a_model_that_cuts_the_gradient() -> None:
    batch, net = make_batch(), make_net()
    with pytest.raises(DataError, match="no gradient leads from the model's logits"):
        attack(torch.no_grad()(lambda image: net(image)), batch, PGD(epsilon=0.1), FULL)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_agrees_with_the_cpu_on_cuda() -> None:
    batch, net = make_batch(), make_net()
    expected = attack(net, batch, PGD(epsilon=0.1, restarts=2), FULL)
    moved = Batch(batch.image.to("cuda"), batch.target.to("cuda"), None, batch.index.to("cuda"))
    attacked = attack(net.to("cuda"), moved, PGD(epsilon=0.1, restarts=2), FULL.to("cuda"))
    torch.testing.assert_close(attacked.cpu(), expected, rtol=0, atol=1e-6)
