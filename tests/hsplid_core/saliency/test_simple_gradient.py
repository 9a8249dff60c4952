"""The simple gradient, and its heat maps against the published code (golden family advgrad)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hsplid_core.saliency import agg_clip, simple_gradient
from tests.golden import load

GOLDEN = load("advgrad")
MAPS = [name for name, case in GOLDEN.catalogue["cases"].items() if case["kind"] == "agg_clip"]


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize(("key", "top_clip"), [("agg", True), ("agg_notop", False)])
def test_heat_maps(name: str, key: str, top_clip: bool) -> None:
    arrays = GOLDEN.case(name)
    gradient = torch.tensor(arrays["grad_map"])
    heat = agg_clip(gradient, top_clip=top_clip)
    torch.testing.assert_close(heat, torch.tensor(arrays[key]), rtol=1e-5, atol=1e-6)


def test_one_map_for_each_image() -> None:
    gradients = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    together = agg_clip(gradients, per_image=True)
    torch.testing.assert_close(together, torch.stack([agg_clip(g) for g in gradients]))
    assert agg_clip(gradients).shape == (8, 8)


def test_a_linear_models_gradient_is_its_weights() -> None:
    layer = nn.Linear(12, 4)
    model = nn.Sequential(nn.Flatten(), layer)
    target = torch.tensor([2, 0])
    gradient = simple_gradient(model, torch.rand(2, 3, 2, 2), target)
    torch.testing.assert_close(gradient, layer.weight[target].reshape(2, 3, 2, 2))
    assert layer.weight.grad is None
    assert not gradient.requires_grad


def test_no_gradient_gives_an_empty_map() -> None:
    assert not agg_clip(torch.zeros(3, 4, 4)).any()
    assert not agg_clip(torch.full((2, 3, 4, 4), torch.nan), per_image=True).any()
