from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from hsplid_core.config import DataConfig, PixelConfig
from hsplid_core.data import data_sets
from hsplid_core.data.data_sets import Split, load, prepare
from hsplid_core.data.demo.coco import write_coco_demo
from hsplid_core.errors import ConfigError, DataError
from tests.hsplid_core.data.coco_root import CocoRoot


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True, scope="module")
def _small_demo() -> object:
    """The demo as it is, with fewer pictures."""

    def small(root: Path, *, image_size: int, **counts: int) -> Path:
        return write_coco_demo(root, image_size=image_size, n_train=80, n_val=16)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_sets, "write_coco_demo", small)
        yield


def test_splits_of_the_demo(cache: Path) -> None:
    splits = prepare(DataConfig(name="coco_animals", root=None, image_size=64, cache_dir=cache))
    assert {split: len(images) for split, images in splits.items()} == {
        "train": 64,
        "val": 16,
        "test": 16,
    }
    assert len({images.key for images in splits.values()}) == 3
    for images in splits.values():
        assert images.is_demo
        assert images.has_masks
        assert images.image_shape == (3, 64, 64)
        assert torch.bincount(images.labels, minlength=len(images.class_names)).min() > 0
    train, val = (
        set(splits[split].batch(torch.arange(16)).index.tolist()) for split in ("train", "val")
    )
    assert not train & val
    assert not set(splits["train"].ids) & set(splits["val"].ids)


def test_a_share_of_each_class_leaves_the_test_images(cache: Path) -> None:
    whole = DataConfig(image_size=64, cache_dir=cache)
    half = dataclasses.replace(whole, share=0.5)
    counts: dict[Split, int] = {"train": 32, "val": 8, "test": 16}
    for split, count in counts.items():
        every, some = load(whole, split), load(half, split)
        assert len(some) == count
        per_class = torch.bincount(every.labels)
        kept = per_class if split == "test" else per_class // 2
        assert torch.bincount(some.labels).tolist() == kept.tolist()
        assert set(some.ids) <= set(every.ids)  # held out from a part, held out from the whole
    assert load(dataclasses.replace(half, split_seed=1), "train").ids != load(half, "train").ids
    again = load(dataclasses.replace(whole, share=1.0, classes=None), "train")
    assert again.key == load(whole, "train").key


def test_some_classes_get_labels_in_the_order_given(cache: Path) -> None:
    whole = DataConfig(image_size=64, cache_dir=cache)
    names = load(whole, "train").class_names
    chosen = (names[3], names[1])
    some = dataclasses.replace(whole, classes=chosen)
    splits: tuple[Split, ...] = ("train", "val", "test")
    for split in splits:
        every, found = load(whole, split), load(some, split)
        assert found.class_names == chosen
        assert torch.bincount(found.labels).tolist() == [
            int((every.labels == label).sum()) for label in (3, 1)
        ]
        label_of = dict(zip(every.ids, every.labels.tolist(), strict=True))
        batch = found.batch(torch.arange(len(found)))
        assert batch.target.tolist() == found.labels.tolist()
        assert [(3, 1)[label] for label in found.labels] == [label_of[i] for i in found.ids]
        reopened = pickle.loads(pickle.dumps(found.select(torch.tensor([1, 0]))))
        assert reopened.labels.tolist() == found.labels[[1, 0]].tolist()
        assert reopened.class_names == chosen
        assert found.key != load(dataclasses.replace(some, classes=chosen[::-1]), split).key
    planted = load(dataclasses.replace(some, pixel=PixelConfig()), "train")
    assert planted.batch(torch.arange(4)).target.tolist() == planted.labels[:4].tolist()
    with pytest.raises(ConfigError, match=r"data\.classes has zebre: use some of .*mean zebra"):
        load(dataclasses.replace(whole, classes=("zebre", "bear")), "train")


def test_opening_again_writes_nothing(cache: Path) -> None:
    prepare(DataConfig(name="coco_animals", root=None, image_size=64, cache_dir=cache))
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    splits = prepare(DataConfig(name="coco_animals", root=None, image_size=64, cache_dir=cache))
    again = load(DataConfig(name="coco_animals", root=None, image_size=64, cache_dir=cache), "val")
    assert again.key == splits["val"].key
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before


def test_seed_and_fraction_change_the_split_only(cache: Path) -> None:
    def keys(split: Split) -> set[str]:
        return {
            load(
                DataConfig(
                    name="coco_animals",
                    root=None,
                    image_size=64,
                    cache_dir=cache,
                    val_fraction=fraction,
                    split_seed=seed,
                ),
                split,
            ).key
            for seed, fraction in ((0, 0.2), (1, 0.2), (0, 0.3))
        }

    assert [len(keys(split)) for split in ("train", "val", "test")] == [3, 3, 1]
    assert len(list(cache.glob("*-64-*.arrow"))) == 2


def test_the_transform_changes_the_key(cache: Path) -> None:
    small = load(
        DataConfig(name="coco_animals", root=None, image_size=32, cache_dir=cache), "test"
    )
    large = load(
        DataConfig(name="coco_animals", root=None, image_size=64, cache_dir=cache), "test"
    )
    assert small.image_shape == (3, 32, 32)
    assert small.ids == large.ids
    assert small.key != large.key


def test_how_pictures_become_square_is_part_of_the_key(coco: CocoRoot, tmp_path: Path) -> None:
    """A box over the left quarter of wide pictures: a centre crop leaves nothing of it."""
    for category in (22, 23, 24, 25):
        for _ in range(3):
            image = coco.image(width=64, height=32)
            coco.animal(image, category, [[8, 0, 40, 0, 40, 32, 8, 32]])
    usual = DataConfig(
        root=coco.write(), image_size=16, cache_dir=tmp_path / "c", val_fraction=0.34
    )
    ways: list[dict[str, Any]] = [
        {},
        {"resize": "stretch"},
        {"resize_size": 32},
        {"resize": "stretch", "resize_size": 32},
    ]
    # Columns 8 to 40 of 64, of what the crops leave.
    columns = [(0, 12), (2, 10), (0, 16), (0, 12)]
    keys = {}
    for way, (left, right) in zip(ways, columns, strict=True):
        images = load(dataclasses.replace(usual, **way), "train")
        mask = images.batch(torch.arange(len(images))).mask
        assert mask is not None
        expected = torch.zeros(16, dtype=torch.bool)
        expected[left:right] = True
        assert torch.equal(mask, expected.expand_as(mask)), way
        keys[images.key] = way
    assert len(keys) == 4
    # What it is by default has the cache that it had.
    assert load(dataclasses.replace(usual, resize="crop"), "train").key in keys


def test_only_training_images_are_cut_at_random(cache: Path) -> None:
    centre = DataConfig(image_size=16, resize_size=24, cache_dir=cache)
    random = dataclasses.replace(centre, random_crop=True)
    splits: tuple[Split, ...] = ("train", "val", "test")
    for split in splits:
        plain, cut = load(centre, split), load(random, split)
        assert cut.image_shape == (3, 16, 16)
        every = torch.arange(len(plain))
        for images in (cut, pickle.loads(pickle.dumps(cut)).select(every)):
            found, expected = images.batch(every), plain.batch(every)
            assert torch.equal(found.image, expected.image)
            assert found.mask is not None
            assert expected.mask is not None
            assert torch.equal(found.mask, expected.mask)
        assert (cut.key == plain.key) == (split == "test")
    (whole,) = load(random, "train").batches(64, uncropped=True)
    assert whole.image.shape == (64, 3, 24, 24)
    assert load(random, "train").of_classes(("bear", "zebra")).window == 16
    with pytest.raises(ConfigError, match="there is nothing beside 16 pixels to choose from"):
        dataclasses.replace(random, resize_size=16)
    with pytest.raises(ConfigError, match="would cut the planted pixel off"):
        dataclasses.replace(random, pixel=PixelConfig())


def test_a_root_of_ones_own_is_no_demo(coco: CocoRoot, tmp_path: Path) -> None:
    for category in (22, 23, 24, 25):
        for _ in range(3):
            coco.animal(coco.image(), category, [[4, 4, 20, 4, 20, 20]])
    root = coco.write()
    images = load(
        DataConfig(
            name="coco_animals",
            root=root,
            image_size=32,
            cache_dir=tmp_path / "c",
            val_fraction=0.34,
        ),
        "val",
    )
    assert not images.is_demo
    assert len(images) == 4
    # val2017 is looked at only by the test split.
    with pytest.raises(DataError, match="val2017 must be a folder"):
        load(
            DataConfig(name="coco_animals", root=root, image_size=32, cache_dir=tmp_path / "c"),
            "test",
        )


def test_a_changed_picture_is_noticed(coco: CocoRoot, tmp_path: Path) -> None:
    for _ in range(2):
        for category in (22, 23, 24, 25):
            coco.animal(coco.image(), category, [[4, 4, 20, 4, 20, 20]])
    root = coco.write()

    def key() -> str:
        return load(
            DataConfig(
                name="coco_animals",
                root=root,
                image_size=32,
                cache_dir=tmp_path / "cache",
                val_fraction=0.5,
            ),
            "train",
        ).key

    first = key()
    folder = root / "train2017"
    one, two = (folder / f"{number:012d}.jpg" for number in (1, 2))
    content = one.read_bytes()
    one.touch()
    assert key() == first
    one.write_bytes(two.read_bytes())
    assert key() != first
    one.write_bytes(content)
    assert key() == first


@pytest.mark.parametrize(
    ("name", "hint"),
    [("coco_animal", "did you mean coco_animals?"), ("xyz", "data set is 'xyz': use one of")],
)
def test_unknown_name(tmp_path: Path, name: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(DataConfig(name=name, root=None, image_size=64, cache_dir=tmp_path), "train")
    assert repr(name) in str(caught.value)
    assert "coco_animals" in str(caught.value)
    assert hint in str(caught.value)


def test_values_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="image_size is 4: use at least 8"):
        load(DataConfig(name="coco_animals", root=None, image_size=4, cache_dir=tmp_path), "train")
    with pytest.raises(ConfigError, match="split must be one of train, val, test, got 'dev'"):
        load(DataConfig(name="coco_animals", root=None, image_size=64, cache_dir=tmp_path), "dev")  # type: ignore[arg-type]


def test_a_missing_root(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere must be a folder"):
        load(
            DataConfig(
                name="coco_animals", root=tmp_path / "nowhere", image_size=64, cache_dir=tmp_path
            ),
            "train",
        )
