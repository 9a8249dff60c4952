"""Convolutions under `TwiceDifferentiable` against torch's own."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hsplid_core.config import ModelConfig
from hsplid_core.methods._double_backward import TwiceDifferentiable
from hsplid_core.models import build_model

CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "plain": {"kernel_size": 3},
    "strided": {"kernel_size": 3, "stride": 2, "padding": 1},
    "uneven": {"kernel_size": (3, 5), "stride": (2, 1), "padding": (1, 0)},
    "pointwise": {"kernel_size": 1, "bias": False},
    "dilated": {"kernel_size": 3, "dilation": 2, "padding": 2},
    "grouped": {"kernel_size": 3, "groups": 2, "padding": 1},
    "depthwise": {"kernel_size": 3, "groups": 4, "padding": 1},
    "by name": {"kernel_size": 3, "padding": "same"},
    "reflecting": {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
}


def second_gradients(model: nn.Module, image: Tensor, fast: bool) -> list[Tensor]:
    """Differentiate a loss of outputs and of their gradient in the image, in the parameters."""
    inputs = image.clone().requires_grad_()
    with TwiceDifferentiable() if fast else nullcontext():
        outputs = model(inputs)
    (r,) = torch.autograd.grad(outputs.softmax(1).square().sum(), inputs, create_graph=True)
    model.zero_grad()
    (outputs.square().mean() + (r * r.roll(1, -1)).sum() + r.abs().sum()).backward()
    return [r.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_second_gradients_are_torchs(name: str, channels_last: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(8, 4, 1),
        nn.ReLU(),
        nn.Conv2d(4, 4, **CONVOLUTIONS[name]),
        nn.Tanh(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ).double()
    image = torch.randn(3, 4, 11, 12, dtype=torch.float64)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        image = image.contiguous(memory_format=torch.channels_last)
    expected, found = (second_gradients(model, image, fast) for fast in (False, True))
    assert len(expected) == 1 + len(list(model.parameters()))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_a_whole_network_in_single_precision(norm: Any) -> None:
    model = build_model(
        ModelConfig(width=1 / 8, norm=norm),
        image_shape=(3, 32, 32),
        num_classes=4,
        mean=[0.5] * 3,
        std=[0.25] * 3,
        seed=0,
    ).train()
    image = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected, found = (second_gradients(model, image, fast) for fast in (False, True))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


def test_a_frozen_weight_gets_none_and_a_usual_gradient_is_the_same() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 2, 3), nn.Flatten())
    model[0].requires_grad_(False)
    image = torch.randn(2, 3, 8, 8)
    gradients = []
    for context in (nullcontext(), TwiceDifferentiable()):
        model.zero_grad()
        with context:
            outputs = model(image)
        outputs.square().mean().backward()
        assert model[0].weight.grad is None
        gradients.append([p.grad for p in model[2].parameters()])
    torch.testing.assert_close(gradients[0], gradients[1])
