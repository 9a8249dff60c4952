"""The losses against their formulas."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsplid_core.attacks.losses import LOSSES, dlr, margin, ranked_goals, targeted_dlr
from hsplid_core.errors import ConfigError

Z = torch.tensor([[3.0, 1.0, 0.5, -2.0, -1.0]], dtype=torch.float64)


def label(value: int) -> torch.Tensor:
    return torch.tensor([value])


def test_dlr_is_its_formula() -> None:
    assert float(dlr(Z, label(0), label(0))) == pytest.approx(-(3 - 1) / (3 - 0.5))
    assert float(dlr(Z, label(2), label(2))) == pytest.approx(-(0.5 - 3) / (3 - 0.5))


def test_targeted_dlr_is_its_formula() -> None:
    scale = 3 - (0.5 - 1) / 2
    assert float(targeted_dlr(Z, label(0), label(3))) == pytest.approx(-(3 + 2) / scale)
    assert float(targeted_dlr(Z, label(4), label(1))) == pytest.approx(-(-1 - 1) / scale)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), scale=st.floats(0.01, 1e3), shift=st.floats(-100, 100))
def test_dlr_ignores_shift_and_scale_and_tells_who_is_fooled(
    seed: int, scale: float, shift: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(20, 6, dtype=torch.float64, generator=generator)
    target = torch.randint(6, (20,), generator=generator)
    value = dlr(logits, target, target)
    torch.testing.assert_close(dlr(logits * scale + shift, target, target), value)
    assert torch.equal(value > 0, logits.argmax(1) != target)
    assert torch.equal(margin(logits, target) < 0, logits.argmax(1) != target)
    assert (value >= -1).all()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    logits = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    target, goal = torch.tensor([0, 1, 2]), torch.tensor([1, 4, 0])
    loss = LOSSES[name]  # type: ignore[index]
    assert torch.autograd.gradcheck(lambda z: loss(z, target, goal), logits.requires_grad_())


def test_equal_logits_give_a_number() -> None:
    flat = torch.zeros(2, 4)
    target = torch.tensor([0, 1])
    for loss in LOSSES.values():
        assert torch.isfinite(loss(flat, target, 1 - target)).all()


def test_too_few_classes_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"DLR loss needs at least 3 classes.*has 2: use loss 'ce'"
    ):
        dlr(Z[:, :2], label(0), label(0))
    with pytest.raises(ConfigError, match="needs at least 4 classes and the model has 3"):
        targeted_dlr(Z[:, :3], label(0), label(1))


def test_goals_are_the_likeliest_wrong_classes() -> None:
    assert ranked_goals(Z, label(1), 9).tolist() == [[0, 2, 4, 3]]
    assert ranked_goals(Z, label(0), 2).tolist() == [[1, 2]]
