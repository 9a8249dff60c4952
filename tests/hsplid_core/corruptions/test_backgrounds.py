"""Backgrounds that change while the objects stay."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsplid_core.corruptions import (
    blur_background,
    choose_donors,
    flatten_background,
    swap_background,
)
from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError, DataError
from tests.hsplid_core.attacks.problems import make_batch, pick

BATCH = make_batch()


def object_of(batch: Batch) -> torch.Tensor:
    assert BATCH.mask is not None
    return batch.image.where(BATCH.mask, 0)


@settings(max_examples=50, deadline=None)
@given(n_images=st.integers(2, 50), seed=st.integers(0, 2**63 - 1))
def test_donors_are_a_permutation_without_fixed_points(n_images: int, seed: int) -> None:
    donor = choose_donors(n_images, seed=seed)
    assert sorted(donor.tolist()) == list(range(n_images))
    assert (donor != torch.arange(n_images)).all()


def test_objects_stay() -> None:
    donor = pick(BATCH, torch.arange(6).roll(1))
    for changed in (
        swap_background(BATCH, donor),
        flatten_background(BATCH),
        flatten_background(BATCH, 0.25),
        blur_background(BATCH, 2.0),
    ):
        assert torch.equal(object_of(changed), object_of(BATCH))
        assert not torch.equal(changed.image, BATCH.image)
        assert ((changed.image >= 0) & (changed.image <= 1)).all()


def test_flat_backgrounds_have_one_colour() -> None:
    assert BATCH.mask is not None
    mask = BATCH.mask.clone()
    mask[0] = True
    batch = replace(BATCH, mask=mask)
    own = flatten_background(batch).image
    for row in range(1, 6):
        ground = ~mask[row, 0]
        for channel in range(3):
            expected = BATCH.image[row, channel][ground].mean()
            torch.testing.assert_close(
                own[row, channel][ground], expected.expand(int(ground.sum()))
            )
    assert torch.equal(own[0], BATCH.image[0])
    given_value = flatten_background(batch, 0.25).image
    assert (given_value.where(~mask, 0.25) == 0.25).where(~mask, True).all()


@pytest.mark.parametrize("sigma", [0.5, 3.0])
def test_blurs_let_nothing_of_the_object_out(sigma: float) -> None:
    assert BATCH.mask is not None
    other = replace(BATCH, image=torch.rand_like(BATCH.image).where(BATCH.mask, BATCH.image))
    here, there = blur_background(BATCH, sigma).image, blur_background(other, sigma).image
    assert torch.equal(here.where(~BATCH.mask, 0), there.where(~BATCH.mask, 0))
    flat = replace(BATCH, image=torch.full_like(BATCH.image, 0.7))
    torch.testing.assert_close(blur_background(flat, sigma).image, flat.image)


def test_refuses_what_it_cannot_change() -> None:
    bare = replace(BATCH, mask=None)
    for change in (
        lambda: swap_background(bare, BATCH),
        lambda: swap_background(BATCH, bare),
        lambda: flatten_background(bare),
        lambda: blur_background(bare, 1.0),
    ):
        with pytest.raises(ConfigError, match="object masks"):
            change()
    with pytest.raises(ConfigError, match="sigma is 0"):
        blur_background(BATCH, 0.0)
    with pytest.raises(ConfigError, match="value is 2"):
        flatten_background(BATCH, 2.0)
    with pytest.raises(DataError, match="within 1 image: give at least two"):
        choose_donors(1, seed=0)
