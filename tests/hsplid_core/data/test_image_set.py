from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsplid_core.data.cache import file_format
from hsplid_core.data.cache.build import build_or_open
from hsplid_core.data.cache.checksums import checksums_file
from hsplid_core.data.cache.image_set import ImageSet
from hsplid_core.errors import ConfigError, DataError
from tests.hsplid_core.data.made_source import MadeSource
from tests.hsplid_core.data.processes import outputs


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """25 rows in record batches of 4, so that batches cross their borders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_format, "MAX_BATCH_ROWS", 4)
        return build_or_open(MadeSource(n_rows=25), tmp_path_factory.mktemp("images"))


def every(images: ImageSet) -> torch.Tensor:
    return images.batch(torch.arange(len(images))).image


def test_a_batch_is_in_pixel_space(images: ImageSet) -> None:
    batch = images.batch(torch.tensor([3, 0]))
    assert batch.image.shape == (2, 3, 8, 8)
    assert batch.image.dtype == torch.float32
    assert batch.mask is not None
    assert batch.mask.shape == (2, 1, 8, 8)
    assert batch.mask.dtype == torch.bool
    assert batch.target.tolist() == [1, 0]
    assert batch.target.dtype == batch.index.dtype == torch.int64
    pixels = np.random.default_rng([0, 3]).integers(0, 256, (3, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(batch.image[0], pixels / 255)


def test_soft_masks_are_attention(tmp_path: Path) -> None:
    images = build_or_open(MadeSource(n_rows=4, soft_masks=True), tmp_path)
    batch = images.batch(torch.tensor([2]))
    assert images.soft_masks
    assert batch.mask is not None
    rng = np.random.default_rng([0, 2])
    rng.integers(0, 256, (3, 8, 8))
    expected = rng.integers(0, 256, (1, 8, 8)).astype(np.float32) / 255
    np.testing.assert_array_equal(batch.mask[0], expected)
    assert batch.object_mask is not None
    np.testing.assert_array_equal(batch.object_mask[0], expected >= 0.5)


def test_the_hash_of_the_rows_is_that_of_their_names(tmp_path: Path) -> None:
    small, large = (build_or_open(MadeSource(n_rows=6, size=size), tmp_path) for size in (8, 10))
    rows = torch.tensor([1, 4])
    assert small.select(rows).rows_hash() == large.select(rows).rows_hash()
    assert small.select(rows).rows_hash() != small.select(rows + 1).rows_hash()


@pytest.mark.gpu
def test_batches_ahead_are_those_of_the_cpu(images: ImageSet) -> None:
    for here, there in zip(
        images.batches(4, torch.Generator().manual_seed(1)),
        images.batches(4, torch.Generator().manual_seed(1), device="cuda"),
        strict=True,
    ):
        assert there.image.is_cuda
        for one, two in (
            (here.image, there.image),
            (here.target, there.target),
            (here.index, there.index),
            (here.mask, there.mask),
        ):
            assert one is not None
            assert two is not None
            assert torch.equal(one, two.cpu())


@pytest.mark.gpu
def test_leaving_early_leaves_no_thread(images: ImageSet) -> None:
    for _ in range(3):
        next(iter(images.batches(2, device="cuda")))
    assert torch.equal(images.batch(torch.arange(3), "cuda").image.cpu(), every(images)[:3])


@settings(deadline=None, max_examples=50)
@given(indices=st.lists(st.integers(-25, 24), max_size=40))
def test_any_rows_in_any_order(images: ImageSet, indices: list[int]) -> None:
    batch = images.batch(torch.tensor(indices, dtype=torch.int64))
    assert torch.equal(batch.image, every(images)[indices])
    assert batch.index.tolist() == [index % 25 for index in indices]
    assert torch.equal(batch.target, images.labels[indices])


@pytest.mark.parametrize("index", [25, -26, 1000])
def test_rows_outside_are_refused(images: ImageSet, index: int) -> None:
    with pytest.raises(IndexError):
        images.batch(torch.tensor([0, index]))
    with pytest.raises(IndexError):
        images.select(torch.tensor([0, index]))


def test_a_batch_is_a_copy(images: ImageSet) -> None:
    before = every(images)
    images.batch(torch.arange(25)).image.zero_()
    assert torch.equal(every(images), before)


@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_a_selection_of_a_selection(images: ImageSet, data: st.DataObject) -> None:
    first = data.draw(st.lists(st.integers(0, 24), min_size=1, max_size=30))
    second = data.draw(st.lists(st.integers(0, len(first) - 1), min_size=1, max_size=10))
    outer = images.select(torch.tensor(first))
    inner = outer.select(torch.tensor(second))
    rows = [first[position] for position in second]
    assert len(inner) == len(rows)
    assert inner.ids == tuple(images.ids[row] for row in rows)
    batch = inner.batch(torch.arange(len(inner)))
    assert batch.index.tolist() == rows
    assert torch.equal(batch.image, every(images)[rows])
    assert torch.equal(inner.labels, images.labels[rows])
    assert inner.key == images.select(torch.tensor(rows)).key


def test_the_key_names_the_rows(images: ImageSet) -> None:
    selections = [[0, 1, 2], [0, 1], [2, 1, 0], list(range(25))]
    keys = {images.select(torch.tensor(rows)).key for rows in selections} | {images.key}
    assert len(keys) == 5
    again = images.select(torch.tensor([0, 1, 2]))
    assert again.key == images.select(torch.tensor([0, 1, 2])).key
    assert again.class_names == images.class_names
    assert again.is_demo == images.is_demo


def test_in_order_without_a_generator(images: ImageSet) -> None:
    batches = list(images.batches(10))
    assert [len(batch.target) for batch in batches] == [10, 10, 5]
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(25))
    assert [len(batch.target) for batch in images.batches(10, drop_last=True)] == [10, 10]
    assert [len(batch.target) for batch in images.batches(5, drop_last=True)] == [5] * 5


def test_shuffled_by_a_generator(images: ImageSet) -> None:
    def epoch(generator: torch.Generator) -> list[int]:
        batches = images.batches(10, generator=generator)
        return torch.cat([batch.index for batch in batches]).tolist()

    generator = torch.Generator().manual_seed(3)
    first, second = epoch(generator), epoch(generator)
    assert sorted(first) == sorted(second) == list(range(25))
    assert first != second
    assert first == epoch(torch.Generator().manual_seed(3))


@pytest.mark.parametrize("batch_size", [0, -3])
def test_batch_size_out_of_range(images: ImageSet, batch_size: int) -> None:
    with pytest.raises(ConfigError, match="batch_size must be at least 1"):
        next(images.batches(batch_size))


def test_an_empty_selection(images: ImageSet) -> None:
    empty = images.select(torch.tensor([], dtype=torch.int64))
    assert len(empty) == 0
    assert list(empty.batches(4)) == []
    assert empty.batch(torch.tensor([], dtype=torch.int64)).image.shape == (0, 3, 8, 8)


def test_no_masks(tmp_path: Path) -> None:
    images = build_or_open(MadeSource(has_masks=False), tmp_path)
    assert images.batch(torch.arange(3)).mask is None


@pytest.mark.parametrize("rows", [None, [4, 2, 24]])
def test_pickles_as_its_path(images: ImageSet, rows: list[int] | None) -> None:
    chosen = images if rows is None else images.select(torch.tensor(rows))
    content = pickle.dumps(chosen)
    assert len(content) < 1000
    again = pickle.loads(content)
    assert again.key == chosen.key
    assert torch.equal(every(again), every(chosen))


def test_opens_in_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images = build_or_open(MadeSource(), Path("relative"))
    (tmp_path / "set.pickle").write_bytes(pickle.dumps(images))
    code = """
import pickle, sys, torch
images = pickle.loads(open(sys.argv[1], "rb").read())
print(float(images.batch(torch.arange(20)).image.double().sum()))
"""
    (printed,) = outputs(code, tmp_path / "set.pickle")
    assert float(printed) == pytest.approx(float(every(images).double().sum()))


def test_unpickling_where_the_file_is_gone(tmp_path: Path) -> None:
    content = pickle.dumps(build_or_open(MadeSource(), tmp_path))
    (path,) = tmp_path.glob("*.arrow")
    path.unlink()
    with pytest.raises(DataError, match="must exist where a pickled image set is opened"):
        pickle.loads(content)


def test_unpickling_where_another_file_has_the_name(tmp_path: Path) -> None:
    content = pickle.dumps(build_or_open(MadeSource(), tmp_path / "one"))
    build_or_open(MadeSource(version=1), tmp_path / "two")
    (path,) = (tmp_path / "one").glob("*.arrow")
    (other,) = (tmp_path / "two").glob("*.arrow")
    other.replace(path)
    checksums_file(other).replace(checksums_file(path))
    with pytest.raises(DataError, match="holds other rows"):
        pickle.loads(content)


@pytest.mark.gpu
def test_the_same_batch_on_cuda(images: ImageSet) -> None:
    indices = torch.tensor([24, 0, 7, 7])
    host, device = images.batch(indices), images.batch(indices, "cuda")
    assert device.image.is_cuda
    assert torch.equal(device.image.cpu(), host.image)
    assert torch.equal(device.index.cpu(), host.index)
    assert device.mask is not None
    assert host.mask is not None
    assert torch.equal(device.mask.cpu(), host.mask)
    assert torch.equal(device.target.cpu(), host.target)
