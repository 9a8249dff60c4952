from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hsplid_core.data.splits import share_of_each_class, stratified_split
from hsplid_core.errors import ConfigError, DataError


@given(
    counts=st.lists(st.integers(10, 60), min_size=1, max_size=5),
    fraction=st.floats(0.1, 0.9),
    seed=st.integers(0, 2**31),
)
def test_disjoint_complete_and_stratified(counts: list[int], fraction: float, seed: int) -> None:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    train, held_out = stratified_split(labels, fraction, seed)
    assert sorted(train.tolist() + held_out.tolist()) == list(range(len(labels)))
    assert train.tolist() == sorted(train.tolist())
    expected = [round(count * fraction) for count in counts]
    assert torch.bincount(labels[held_out]).tolist() == expected


def test_the_seed_decides() -> None:
    labels = torch.arange(400) % 4
    one, two, other = (stratified_split(labels, 0.2, seed)[1].tolist() for seed in (0, 0, 1))
    assert one == two
    assert one != other
    assert len(one) == 80


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_fraction_out_of_range(fraction: float) -> None:
    with pytest.raises(ConfigError, match=r"must lie in \(0, 1\)"):
        stratified_split(torch.arange(40) % 4, fraction, 0)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0] * 10 + [1], "class 1 has 1 images and 0 of them held out"),
        ([0] * 10 + [2] * 10, "class 1 has 0 images"),
        ([0] * 10 + [1] * 2, "class 1 has 2 images and 0 of them held out"),
    ],
)
def test_a_class_without_members_in_one_part(labels: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        stratified_split(torch.tensor(labels), 0.2, 0)


@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    shares=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
    seed=st.integers(0, 2**31),
)
def test_shares_of_each_class(counts: list[int], shares: tuple[float, float], seed: int) -> None:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    less, more = (share_of_each_class(labels, share, seed) for share in sorted(shares))
    expected = [max(1, round(count * min(shares))) for count in counts]
    assert torch.bincount(labels[less]).tolist() == expected
    assert set(less.tolist()) <= set(more.tolist())
    assert less.tolist() == sorted(set(less.tolist()))
