"""Initialising H-SPLID's decomposition from a share of the training images."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError
from hsplid_core.methods import HsplidConfig, HsplidTerm, Shape
from hsplid_core.models import MaskedClassifier

IMAGES = torch.arange(20 * 3.0).reshape(20, 1, 1, 3).square() / 3600
TARGET = torch.arange(20) % 2


def batches(taken: list[int]) -> Iterator[Batch]:
    for start in range(0, 20, 4):
        rows = torch.arange(start, start + 4)
        taken.append(start)
        yield Batch(IMAGES[rows], TARGET[rows], None, rows)


def term(fraction: float, class_counts: tuple[int, ...] | None = (10, 10)) -> HsplidTerm:
    return HsplidTerm(HsplidConfig(init_fraction=fraction), Shape(2, 3, 5, 4, class_counts))


@pytest.mark.parametrize(
    ("fraction", "n_batches", "n_images"), [(0.1, 1, 2), (0.3, 2, 6), (0.4, 2, 8), (1.0, 5, 20)]
)
def test_only_the_share_is_encoded_and_used(
    fraction: float, n_batches: int, n_images: int
) -> None:
    model = MaskedClassifier(nn.Flatten(), nn.Linear(3, 2), mean=[0.0], std=[1.0])
    decomposition, taken = term(fraction), list[int]()
    decomposition.start(model, batches(taken))
    assert len(taken) == n_batches
    used = IMAGES.flatten(1)[:n_images]
    expected = torch.stack([used[TARGET[:n_images] == k].mean(dim=0) for k in (0, 1)])
    torch.testing.assert_close(decomposition.centres, expected)
    torch.testing.assert_close(decomposition.overall_centre, used.mean(dim=0) / 2)


def test_a_share_of_an_unknown_number_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"init_fraction is 0\.5 .* class_counts"):
        term(0.5, class_counts=None)
