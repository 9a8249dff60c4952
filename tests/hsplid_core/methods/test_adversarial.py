"""Adversarial training: what its images are, whichever way they are projected."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError
from hsplid_core.frequency import FrequencyFilter, project_onto_ball_and_box
from hsplid_core.methods import AdversarialConfig, Shape, build_part
from hsplid_core.models import MaskedClassifier
from tests.hsplid_core.frequency.plain import flip

SHAPE = Shape(num_classes=3, num_features=8, batches_per_epoch=1, batch_size=6)


def model(front: FrequencyFilter | None = None) -> MaskedClassifier:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 36, 8))
    head = nn.Linear(8, 3)
    return MaskedClassifier(encoder, head, mean=[0.5] * 2, std=[0.25] * 2, front=front)


def batch() -> Batch:
    torch.manual_seed(1)
    return Batch(torch.rand(6, 2, 8, 8), torch.arange(6) % 3, None, torch.arange(6))


def attacked(config: AdversarialConfig, net: MaskedClassifier, seed: int = 0) -> Tensor:
    change = build_part(config, SHAPE)
    assert change is not None
    clean = batch()
    torch.manual_seed(seed)
    return change(net, clean).image


@pytest.mark.parametrize("random_start", [True, False])
@pytest.mark.parametrize(
    ("norm", "projection", "epsilon"),
    [("l2", "clip", 1.0), ("l2", "dykstra", 1.0), ("linf", "clip", 0.1)],
)
def test_images_stay_valid_and_near_and_raise_the_loss(
    norm: Any, projection: Any, epsilon: float, random_start: bool
) -> None:
    net, clean = model(), batch()
    config = AdversarialConfig(
        norm=norm, projection=projection, epsilon=epsilon, random_start=random_start
    )
    image = attacked(config, net)
    assert float(image.min()) >= 0
    assert float(image.max()) <= 1
    order = 2 if norm == "l2" else torch.inf
    sizes = torch.linalg.vector_norm((image - clean.image).flatten(1), ord=order, dim=1)
    assert float(sizes.max()) <= epsilon * (1 + 1e-5)
    assert float(sizes.min()) > 0.5 * epsilon
    losses = [
        F.cross_entropy(net(x), clean.target, reduction="none") for x in (clean.image, image)
    ]
    assert (losses[1] > losses[0]).all()
    assert all(parameter.grad is None for parameter in net.parameters())
    assert net.training


def test_starts_follow_the_random_state() -> None:
    for projection in ("clip", "dykstra"):
        config = AdversarialConfig(projection=projection, steps=1)
        first, again, other = (attacked(config, model(), seed) for seed in (0, 0, 1))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)


def test_behind_a_flip_it_is_the_papers_walk_in_flipped_space() -> None:
    """The paper walks among flipped images, and projects onto the flipped box by Dykstra."""
    front = FrequencyFilter("flip", (8, 8))
    net = model(front)
    config = AdversarialConfig(projection="dykstra", random_start=False, steps=4)
    found = attacked(config, net)

    origin = flip(batch().image)
    seen = origin
    for _ in range(4):
        point = seen.clone().requires_grad_()
        loss = F.cross_entropy(net.classify_seen(point), batch().target, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, point)
        length = torch.linalg.vector_norm(gradient, dim=(1, 2, 3), keepdim=True)
        moved = seen + 2.5 / 4 * gradient / length
        seen = project_onto_ball_and_box(moved, origin, 1.0, to_pixels=flip, from_pixels=flip)
    torch.testing.assert_close(found, flip(seen), rtol=0, atol=2e-4)


def test_dykstra_finds_what_clipping_misses() -> None:
    # A black image: half of the way up is shrunk to nothing, unless the rest makes up for it.
    dark = dataclasses.replace(batch(), image=torch.zeros(6, 2, 8, 8))
    net = model()
    sizes = {}
    for projection in ("clip", "dykstra"):
        config = AdversarialConfig(projection=projection, random_start=False, steps=5)
        change = build_part(config, SHAPE)
        assert change is not None
        sizes[projection] = change(net, dark).image.flatten(1).norm(dim=1)
    assert (sizes["dykstra"] > sizes["clip"]).all()
    torch.testing.assert_close(sizes["dykstra"], torch.ones(6), rtol=0, atol=1e-3)


def test_without_a_radius_nothing_is_built() -> None:
    assert build_part(AdversarialConfig(epsilon=0.0), SHAPE) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"epsilon": -1.0}, "epsilon is -1.0"),
        ({"norm": "linf", "epsilon": 8.0}, "epsilon is 8.0: pixels lie in"),
        ({"norm": "l1"}, "norm is l1"),
        ({"steps": 0}, "steps is 0"),
        ({"relative_step": 0.0}, "relative_step is 0.0"),
        ({"projection": "box"}, "projection is box"),
        ({"projection": "dykstra", "norm": "linf", "epsilon": 0.1}, "use clip with linf"),
    ],
)
def test_values_out_of_range_are_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        AdversarialConfig(**changes)
