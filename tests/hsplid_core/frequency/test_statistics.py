"""The normalisation behind a filter."""

from __future__ import annotations

import pytest
import torch

from hsplid_core.frequency import FrequencyFilter, filtered_statistics
from tests.hsplid_core.margins.made_images import MadeImages


def images(count: int = 20) -> MadeImages:
    torch.manual_seed(0)
    image = 0.3 * torch.rand(count, 2, 8, 8) + torch.tensor([0.2, 0.6]).view(1, 2, 1, 1)
    return MadeImages(image, torch.zeros(count, dtype=torch.int64))


@pytest.mark.parametrize(("kind", "bandwidth"), [("flip", None), ("lowpass", 3), ("highpass", 3)])
def test_filtered_images_come_out_with_unit_variance(kind: str, bandwidth: int | None) -> None:
    data = images()
    filter_ = FrequencyFilter(kind, (8, 8), bandwidth)  # type: ignore[arg-type]
    mean, deviation = filtered_statistics(data, filter_, batch_size=7)
    filtered = filter_(data.image).double()
    assert mean == pytest.approx(filtered.mean((0, 2, 3)).tolist(), abs=1e-9)
    expected = filtered.std((0, 2, 3), correction=0).tolist()
    assert deviation == pytest.approx(expected, rel=1e-6)


def test_a_flip_moves_the_mean_into_the_deviation() -> None:
    data = images()
    mean, deviation = filtered_statistics(data, FrequencyFilter("flip", (8, 8)))
    power = data.image.double().square().mean((0, 2, 3)).tolist()
    total = [m**2 + d**2 for m, d in zip(mean, deviation, strict=True)]
    assert total == pytest.approx(power, rel=1e-6)
    assert all(abs(m) < 0.05 < d for m, d in zip(mean, deviation, strict=True))


def test_a_constant_channel_is_not_blown_up() -> None:
    flat = MadeImages(torch.full((3, 1, 8, 8), 0.5), torch.zeros(3, dtype=torch.int64))
    mean, deviation = filtered_statistics(flat, FrequencyFilter("highpass", (8, 8), 2))
    assert mean == pytest.approx((0.0,), abs=1e-6)
    assert deviation == (1.0,)


def test_only_so_many_images_are_looked_at() -> None:
    data = images(50)
    filter_ = FrequencyFilter("lowpass", (8, 8), 4)
    some = filtered_statistics(data, filter_, max_images=10)
    assert some == filtered_statistics(data, filter_, max_images=10)
    assert some != filtered_statistics(data, filter_)
