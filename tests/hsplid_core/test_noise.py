"""The hash that gives each image its own random numbers."""

from __future__ import annotations

import pytest
import torch

from hsplid_core._noise import random_integers, signed_uniform


def splitmix64(state: int) -> int:
    """The published function, in Python's integers."""
    mask = 2**64 - 1
    state = (state + 0x9E3779B97F4A7C15) & mask
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
    return state ^ (state >> 31)


@pytest.mark.parametrize("seed", [0, -3, 2**63, 2**70 + 1])
def test_is_splitmix64_of_seed_stream_index_and_element(seed: int) -> None:
    index = torch.tensor([0, 5, 2**40])
    values = signed_uniform(seed, 2, index, 4, dtype=torch.float64)
    for row, image in enumerate(index.tolist()):
        key = splitmix64(splitmix64(splitmix64(seed % 2**64) ^ 2) ^ image)
        for element in range(4):
            bits = splitmix64((key + element * 0x9E3779B97F4A7C15) % 2**64) >> 40
            assert values[row, element] == (2 * bits + 1 - 2**24) / 2**24


def test_is_uniform_and_uncorrelated() -> None:
    values = signed_uniform(0, 0, torch.arange(300), 1000, dtype=torch.float64)
    assert abs(float(values.mean())) < 0.005
    assert float(values.square().mean()) == pytest.approx(1 / 3, abs=0.003)
    counts = torch.histc(values, 20, -1, 1)
    assert (counts / 15000 - 1).abs().max() < 0.05
    for other in (
        signed_uniform(1, 0, torch.arange(300), 1000, dtype=torch.float64),
        signed_uniform(0, 1, torch.arange(300), 1000, dtype=torch.float64),
        values.roll(1, 0),
        values.roll(1, 1),
    ):
        assert abs(float((values * other).mean())) < 0.004


def test_precisions_agree_and_avoid_the_ends() -> None:
    narrow = signed_uniform(0, 0, torch.arange(50), 5000, dtype=torch.float32)
    wide = signed_uniform(0, 0, torch.arange(50), 5000, dtype=torch.float64)
    assert torch.equal(narrow.double(), wide)
    assert ((wide.abs() < 1) & (wide != 0)).all()
    assert torch.isfinite(torch.erfinv(narrow)).all()


def test_integers_cover_their_range() -> None:
    drawn = random_integers(0, -1, torch.arange(500), bounds=(1, 7))
    assert (drawn[:, 0] == 0).all()
    assert set(drawn[:, 1].tolist()) == set(range(7))
