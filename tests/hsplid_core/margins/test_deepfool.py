"""Subspace DeepFool: closed forms, the slow form, and what it says when it finds nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hsplid_core.errors import ConfigError, DataError, TrainingDivergedError
from hsplid_core.margins import (
    DeepFool,
    diagonal_bands,
    diagonal_blocks,
    grid_blocks,
    subspace_deepfool,
)
from tests.hsplid_core.margins.published import dense_block, plain_deepfool


def linear(classes: int, shape: tuple[int, int, int], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    channels, height, width = shape
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, classes)).double()


def bent(shape: tuple[int, int, int]) -> nn.Module:
    """A net whose boundary is far from flat, so that searches take several steps."""
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(shape[0], 8, 3, padding=1),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(8 * shape[1] * shape[2] // 4, 6),
    ).double()


@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(1, 2))
@settings(max_examples=15, deadline=None)
def test_a_linear_classifiers_margin_is_gap_over_projected_slope(
    seed: int, classes: int, channels: int
) -> None:
    model = linear(classes, (channels, 8, 8), seed)
    image = torch.rand(4, channels, 8, 8, dtype=torch.float64)
    weight = model[1].weight.detach().view(classes, channels, 8, 8)  # type: ignore[index]
    for subspaces in (
        diagonal_blocks((8, 8), size=4, step=2),
        grid_blocks((8, 8), size=4, step=4),
        diagonal_bands((8, 8), size=4),
    ):
        margins = subspace_deepfool(model, image, subspaces)
        logits = model(image).detach()
        label = logits.argmax(1)
        assert margins.fooled.all()
        for number, subspace in ((n, s) for n in range(4) for s in range(len(subspaces))):
            others = [k for k in range(classes) if k != label[number]]
            gaps = logits[number, label[number]] - logits[number, others]
            differences = weight[others] - weight[label[number]]
            slopes = subspaces.all_coordinates(differences)[:, :, subspace]
            distances = gaps / slopes.flatten(1).norm(dim=1)
            # Below the smallest step the walk overshoots; such a boundary touches the image.
            expected = 1.02 * max(float(distances.min()), 1e-4)
            assert float(margins.size[number, subspace]) == pytest.approx(expected, rel=1e-9)
            assert int(margins.new_label[number, subspace]) == others[int(distances.argmin())]
        assert (margins.iterations == 1).all()


def test_agrees_with_one_image_and_one_class_at_a_time() -> None:
    shape = (2, 8, 8)
    model = bent(shape)
    torch.manual_seed(1)
    image = 2 * torch.randn(6, *shape, dtype=torch.float64)
    starts = (0, 2, 4)
    margins = subspace_deepfool(
        model, image, diagonal_blocks((8, 8), size=4, step=2), DeepFool(num_classes=4)
    )
    for subspace, start in enumerate(starts):
        basis = dense_block(8, 2, start, 4)
        for number in range(len(image)):
            found = plain_deepfool(model, image[number], basis, num_classes=4)
            assert int(margins.iterations[number, subspace]) == found.iterations
            assert int(margins.new_label[number, subspace]) == found.new_label
            torch.testing.assert_close(
                margins.perturbation(subspace)[number], found.perturbation, rtol=1e-6, atol=1e-9
            )
    # The stored cases take one or two steps; this one goes on for longer.
    assert int(margins.iterations.max()) >= 3
    assert int(margins.iterations.min()) < int(margins.iterations.max())


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_neither_the_batch_nor_its_neighbours_matter(batch_size: int) -> None:
    shape = (2, 8, 8)
    model, blocks = bent(shape), diagonal_blocks((8, 8), size=4, step=4)
    torch.manual_seed(1)
    image = torch.randn(5, *shape, dtype=torch.float64)
    together = subspace_deepfool(model, image, blocks)
    parts = subspace_deepfool(model, image, blocks, DeepFool(batch_size=batch_size))
    alone = subspace_deepfool(model, image[3:4], blocks)
    torch.testing.assert_close(parts.size, together.size)
    torch.testing.assert_close(alone.size, together.size[3:4])
    assert torch.equal(parts.new_label, together.new_label)


class BlindToDetail(nn.Module):
    """Sees nothing but the mean of an image, so fine waves can't change its mind."""

    def forward(self, image: Tensor) -> Tensor:
        mean = image.mean((1, 2, 3))
        return torch.stack([mean, 0.5 - mean], dim=1)


def test_what_cannot_be_fooled_is_told_apart() -> None:
    image = torch.full((2, 1, 8, 8), 0.75, dtype=torch.float64)
    margins = subspace_deepfool(BlindToDetail(), image, diagonal_blocks((8, 8), size=4, step=4))
    assert margins.fooled.tolist() == [[True, False], [True, False]]
    # The mean must fall by a half: 0.5 times sqrt(64), times the overshoot.
    torch.testing.assert_close(margins.size[:, 0], torch.full((2,), 4.08, dtype=torch.float64))
    assert margins.new_label.tolist() == [[1, 0], [1, 0]]
    # In the finer block the slope is zero up to rounding, which is no direction to walk in.
    assert margins.size[:, 1].tolist() == [0, 0]


def test_a_constant_model_has_no_boundary() -> None:
    image = torch.rand(3, 1, 8, 8)
    margins = subspace_deepfool(
        lambda x: torch.zeros(len(x), 3) + 0 * x.sum((1, 2, 3)).unsqueeze(1),
        image,
        diagonal_blocks((8, 8), size=4, step=4),
    )
    assert not margins.fooled.any()
    assert not margins.size.any()
    assert not margins.iterations.any()


def test_a_search_ends_after_its_steps() -> None:
    # The label never changes, but the gap always has a slope.
    def model(x: Tensor) -> Tensor:
        level = torch.tanh(x.mean((1, 2, 3)))
        return torch.stack([level + 2, torch.zeros_like(level)], dim=1)

    image = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    margins = subspace_deepfool(
        model,
        image,
        diagonal_blocks((8, 8), size=8, step=1),
        DeepFool(max_iterations=3),
    )
    assert margins.iterations.tolist() == [[3]]
    assert margins.fooled.tolist() == [[False]]
    assert float(margins.size) > 0


def test_the_model_is_left_as_it_was() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 3)
    ).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    image = torch.rand(4, 1, 8, 8)
    kept = image.clone()
    subspace_deepfool(model, image, diagonal_blocks((8, 8), size=4, step=4))
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(image, kept)


def test_no_images_have_no_margins() -> None:
    blocks = diagonal_blocks((8, 8), size=4, step=4)
    margins = subspace_deepfool(linear(3, (1, 8, 8), 0), torch.zeros(0, 1, 8, 8).double(), blocks)
    assert margins.size.shape == (0, 2)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_classes": 1}, "num_classes is 1: use at least 2"),
        ({"overshoot": -0.1}, "overshoot is -0.1"),
        ({"max_iterations": 0}, "max_iterations is 0"),
        ({"min_step": 0.0}, "min_step is 0.0"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_settings_out_of_range_are_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        DeepFool(**changes)


@pytest.mark.parametrize(
    ("model", "image", "error", "says"),
    [
        (linear(3, (1, 8, 8), 0), torch.zeros(8, 8).double(), DataError, "image is .*\\[8, 8\\]"),
        (
            linear(3, (1, 8, 8), 0),
            torch.zeros(1, 1, 8, 8, dtype=torch.uint8),
            DataError,
            "torch.uint8",
        ),
        (linear(3, (1, 8, 8), 0), torch.zeros(1, 1, 8, 9).double(), ConfigError, "8x9"),
        (
            linear(3, (1, 8, 8), 0),
            torch.full((1, 1, 8, 8), torch.nan).double(),
            TrainingDivergedError,
            "NaN",
        ),
        (linear(1, (1, 8, 8), 0), torch.zeros(1, 1, 8, 8).double(), ConfigError, "one class"),
    ],
)
def test_what_has_no_margin_is_refused(
    model: Callable[[Tensor], Tensor], image: Tensor, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        subspace_deepfool(model, image, diagonal_blocks((8, 8), size=4, step=4))
