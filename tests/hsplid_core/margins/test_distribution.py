"""Margins of an image set, and their medians."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hsplid_core.errors import ConfigError, DataError
from hsplid_core.margins import (
    DeepFool,
    MarginDistribution,
    choose_subspaces,
    diagonal_blocks,
    measure_margins,
)
from tests.hsplid_core.frequency.plain import flip
from tests.hsplid_core.margins.made_images import MadeImages

BLOCKS = diagonal_blocks((8, 8), size=4, step=4)


def by_mean(image: Tensor) -> Tensor:
    mean = image.mean((1, 2, 3))
    return torch.stack([mean, 0.5 - mean], dim=1)


def flat(*levels: float) -> MadeImages:
    image = torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous()
    return MadeImages(image, torch.zeros(len(levels), dtype=torch.int64))


def test_known_margins_of_flat_images() -> None:
    # The classes are equal at a mean of 1/4; each unit of the mean is 8 of the first wave.
    found = measure_margins(by_mean, flat(0.3, 0.2, 0.5, 0.75), BLOCKS)
    expected = torch.tensor([0.05, 0.05, 0.25, 0.5]) * 8 * 1.02
    torch.testing.assert_close(found.size[:, 0], expected)
    assert found.correct.tolist() == [True, False, True, True]
    assert found.fooled.tolist() == [[True, False]] * 4
    assert found.not_fooled == 0.5
    first, second = found.medians()
    assert first == pytest.approx(0.15 * 8 * 1.02)
    assert second == math.inf
    assert found.positions.tolist() == [0, 1, 2, 3]
    assert found.labels == ("000-003", "004-007")


def test_behind_a_flip_low_and_high_change_places() -> None:
    images = flat(0.3, 0.5, 0.75)
    plain = measure_margins(by_mean, images, BLOCKS)
    flipped = measure_margins(lambda seen: by_mean(flip(seen)), images, BLOCKS, see=flip)
    torch.testing.assert_close(flipped.size[:, 1], plain.size[:, 0])
    assert flipped.fooled.tolist() == [[False, True]] * 3


@pytest.mark.parametrize(
    ("sizes", "fooled", "median"),
    [
        ([3.0, 1.0, 2.0], [True, True, True], 2.0),
        ([3.0, 1.0, 2.0, 5.0], [True] * 4, 2.5),
        # The search for 0.5 gave up: its margin is larger than that of any other.
        ([3.0, 0.5, 2.0], [True, False, True], 3.0),
        ([3.0, 0.5, 0.5, 2.0], [True, False, False, True], math.inf),
        ([0.5], [False], math.inf),
    ],
)
def test_a_search_that_gave_up_counts_as_infinitely_far(
    sizes: list[float], fooled: list[bool], median: float
) -> None:
    count = len(sizes)
    found = MarginDistribution(
        size=torch.tensor(sizes).unsqueeze(1),
        fooled=torch.tensor(fooled).unsqueeze(1),
        correct=torch.ones(count, dtype=torch.bool),
        iterations=torch.ones(count, 1, dtype=torch.int64),
        positions=torch.arange(count),
        labels=("000-007",),
        frequencies=(0.5,),
    )
    assert found.medians() == (median,)


def test_a_larger_set_takes_several_turns() -> None:
    torch.manual_seed(0)
    levels = torch.rand(150).tolist()
    found = measure_margins(by_mean, flat(*levels), BLOCKS, DeepFool(batch_size=16))
    expected = (torch.tensor(levels) - 0.25).abs().clamp(min=1e-4 / 8) * 8 * 1.02
    torch.testing.assert_close(found.size[:, 0], expected, rtol=1e-3, atol=1e-5)
    some = measure_margins(by_mean, flat(*levels), BLOCKS, max_images=20)
    torch.testing.assert_close(some.size, found.size[some.positions])
    assert len(some.positions) == 20


def test_subspaces_by_name() -> None:
    counts = {
        kind: len(choose_subspaces(kind, (8, 8), size=4, step=4))
        for kind in ("blocks", "grid", "bands")
    }
    assert counts == {"blocks": 2, "grid": 4, "bands": 4}


def test_nothing_to_measure_is_named() -> None:
    with pytest.raises(DataError, match="empty"):
        measure_margins(by_mean, flat(), BLOCKS)
    with pytest.raises(ConfigError, match="max_images is 0"):
        measure_margins(by_mean, flat(0.5), BLOCKS, max_images=0)
