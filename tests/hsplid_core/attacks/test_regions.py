"""Which pixels the named regions contain."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsplid_core.attacks import REGIONS, find_region, region_mask, user_region
from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError, DataError
from tests.hsplid_core.attacks.problems import make_batch, pick


def without_masks(batch: Batch) -> Batch:
    return replace(batch, mask=None)


@pytest.mark.parametrize("name", sorted(REGIONS))
def test_is_a_mask_of_the_images_size(name: str) -> None:
    allowed = region_mask(name, make_batch(size=(3, 9, 7)), seed=0)
    assert allowed.dtype == torch.bool
    assert allowed.shape == (6, 1, 9, 7)


def test_regions_that_a_mask_or_a_width_defines() -> None:
    batch = make_batch(size=(3, 8, 7))
    assert batch.mask is not None
    parts = {name: region_mask(name, batch, seed=0) for name in REGIONS}
    assert parts["full"].all()
    assert torch.equal(parts["object"], batch.mask)
    assert torch.equal(parts["background"], ~batch.mask)
    assert parts["right"][..., 3:].all()
    assert not parts["right"][..., :3].any()
    assert torch.equal(parts["left"], ~parts["right"])


def test_right_half_of_the_published_width_starts_at_column_32() -> None:
    allowed = region_mask("right", without_masks(make_batch(1, size=(1, 64, 64))), seed=0)
    assert not allowed[..., :32].any()
    assert allowed[..., 32:].all()


@settings(max_examples=50, deadline=None)
@given(height=st.integers(2, 33), width=st.integers(3, 33), seed=st.integers())
def test_block_is_one_rectangle_that_spares_the_object(height: int, width: int, seed: int) -> None:
    batch = make_batch(4, size=(1, height, width))
    assert batch.mask is not None
    bare = replace(batch, mask=torch.zeros_like(batch.mask))
    block = region_mask("block", bare, seed=seed)
    for row in block[:, 0]:
        assert int(row.any(1).sum()) == max(1, height // 4)
        assert int(row.any(0).sum()) == max(1, width // 4)
        assert int(row.sum()) == max(1, height // 4) * max(1, width // 4)
    assert torch.equal(region_mask("block", batch, seed=seed), block & ~batch.mask)


@settings(max_examples=20, deadline=None)
@given(rows=st.permutations(range(6)), seed=st.integers())
def test_block_ignores_batch_and_order(rows: list[int], seed: int) -> None:
    batch = make_batch(size=(3, 32, 32))
    whole = region_mask("block", batch, seed=seed)
    some = torch.tensor(rows[:3])
    assert torch.equal(region_mask("block", pick(batch, some), seed=seed), whole[some])


def test_blocks_lie_everywhere_alike() -> None:
    batch = make_batch(4000, size=(1, 8, 8))
    assert batch.mask is not None
    batch = replace(batch, mask=torch.zeros_like(batch.mask))
    block = region_mask("block", batch, seed=5)[:, 0]
    for axis in (2, 1):
        first = block.any(axis).int().argmax(1)  # 0 to 6, as a block of 2 fits in 7 places
        share = first.bincount(minlength=7).double() / 4000
        assert (share - 1 / 7).abs().max() < 0.03
    assert not torch.equal(block, region_mask("block", batch, seed=6)[:, 0])


def test_a_block_on_the_object_is_empty() -> None:
    batch = make_batch()
    assert batch.mask is not None
    covered = replace(batch, mask=torch.ones_like(batch.mask))
    assert not region_mask("block", covered, seed=0).any()
    assert not region_mask("background", covered, seed=0).any()


@pytest.mark.parametrize(
    ("name", "sides"), [("block_3", (3, 3)), ("block_0.5", (4, 8)), ("block_99", (8, 16))]
)
def test_blocks_of_a_given_size(name: str, sides: tuple[int, int]) -> None:
    batch = make_batch(4, size=(1, 8, 16))
    assert batch.mask is not None
    bare = replace(batch, mask=torch.zeros_like(batch.mask))
    block = region_mask(name, bare, seed=1)[:, 0]
    assert (block.any(2).sum(1) == sides[0]).all()
    assert (block.any(1).sum(1) == sides[1]).all()
    assert find_region(name).name == name


@pytest.mark.parametrize("name", ["block_0", "block_-2", "block_0.0", "block_1.5", "block_x"])
def test_refuses_blocks_without_a_size(name: str) -> None:
    with pytest.raises(ConfigError, match=r"side in pixels, as block_16, or as a share"):
        region_mask(name, make_batch(), seed=0)


def test_masks_of_ones_own_go_with_the_rows_of_the_data_set() -> None:
    batch = make_batch()
    masks = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.5
    region = user_region("mine", masks)
    some = torch.tensor([4, 1])
    assert torch.equal(region_mask(region, pick(batch, some), seed=0), masks[some])
    alike = user_region("mine", masks[:1])
    assert torch.equal(region_mask(alike, batch, seed=0), masks[:1].expand(6, -1, -1, -1))
    with pytest.raises(DataError, match="4 masks and no row 5: give one for each row"):
        region_mask(user_region("mine", masks[:4]), batch, seed=0)
    with pytest.raises(DataError, match="masks of the images' size"):
        region_mask(user_region("mine", masks[..., :4]), batch, seed=0)
    with pytest.raises(DataError, match="must be bool"):
        user_region("mine", masks.float())


def test_refuses_unknown_names() -> None:
    with pytest.raises(ConfigError, match=r"use one of \['back.*; did you mean background\?"):
        region_mask("backgrund", make_batch(), seed=0)
    with pytest.raises(ConfigError, match=r"region is 'zzz': use one of"):
        region_mask("zzz", make_batch(), seed=0)


@pytest.mark.parametrize("name", sorted(name for name, r in REGIONS.items() if r.needs_mask))
def test_refuses_to_guess_missing_masks(name: str) -> None:
    with pytest.raises(ConfigError, match=r"no object masks: use one of \['full', 'left', 'ri"):
        region_mask(name, without_masks(make_batch()), seed=0)


def test_refuses_masks_that_do_not_fit() -> None:
    batch = make_batch()
    assert batch.mask is not None
    with pytest.raises(DataError, match=r"object masks are torch\.bool"):
        region_mask("full", replace(batch, mask=batch.mask[..., :4]), seed=0)
    with pytest.raises(DataError, match=r"object masks are torch\.int64"):
        region_mask("full", replace(batch, mask=batch.mask.long()), seed=0)


def test_attention_of_a_half_counts_as_the_object() -> None:
    batch = make_batch()
    attention = torch.rand(batch.image[:, :1].shape, generator=torch.Generator().manual_seed(0))
    allowed = region_mask("background", replace(batch, mask=attention), seed=0)
    assert torch.equal(allowed, attention < 0.5)
