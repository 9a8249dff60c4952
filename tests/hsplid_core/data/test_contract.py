"""What every data set must do, seen on a small stand-in in its real layout."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from hsplid_core.config import DataConfig
from hsplid_core.data import DATA_SETS, ImageSet, Split, load, prepare
from hsplid_core.data.readers.demo_marker import DEMO_MARKER
from hsplid_core.data.source import Sample
from hsplid_core.errors import ConfigError, DataError

N_CLASSES = {
    **dict.fromkeys(DATA_SETS, 10),
    **{"coco_animals": 4, "coco": 4, "folder": 4, "isic2017": 3, "imagenet": 9},
    **{name: 8 for name in DATA_SETS if name.startswith(("cub", "stanford_dogs"))},
    **{name: 9 for name in DATA_SETS if name.startswith(("imagenet9", "counter_animal"))},
}
GREY = {"mnist", "cmnist"}
MASKS = {
    **dict.fromkeys(("coco_animals", "coco", "isic2017", "cub", "cmnist", "folder"), "binary"),
    **{"cub/boxes": "binary", "stanford_dogs/boxes": "binary", "cub_gha": "soft"},
}
ARCHIVES = {
    "imagenette",
    "cifar10",
    "cub",
    "cub_gha",
    "imagenet9/only_fg",
    "counter_animal/common",
}
TEST_ONLY = [name for name, entry in DATA_SETS.items() if entry.training is None]
SIZE = 24
READ = DataConfig(image_size=SIZE)

Root = Callable[[str], Path]
Opened = Callable[[str], Mapping[Split, ImageSet]]


def small_demo(name: str, folder: Path) -> Path:
    """Four images a class to train on, and two to test on."""
    n_classes = N_CLASSES[name]
    return DATA_SETS[name].demo(folder, SIZE, n_train=4 * n_classes, n_test=2 * n_classes)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    folder = tmp_path_factory.mktemp("demos")
    return lambda name: small_demo(name, folder)


@pytest.fixture(scope="module")
def opened(root: Root, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    cache = tmp_path_factory.mktemp("cache")
    return lambda name: prepare(
        DataConfig(name=name, root=root(name), image_size=SIZE, cache_dir=cache)
    )


def tree(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


every = pytest.mark.parametrize("name", DATA_SETS)


@every
def test_shapes_labels_and_marks(opened: Opened, name: str) -> None:
    for images in opened(name).values():
        assert images.is_demo
        assert images.image_shape == (1 if name in GREY else 3, SIZE, SIZE)
        assert len(images.mean) == len(images.std) == images.image_shape[0]
        assert len(set(images.class_names)) == len(images.class_names) == N_CLASSES[name]
        counts = torch.bincount(images.labels, minlength=N_CLASSES[name])
        assert counts.min() > 0
        assert counts.max() - counts.min() <= 1
        batch = images.batch(torch.arange(len(images)))
        assert batch.image.shape == (len(images), *images.image_shape)
        assert batch.image.min() >= 0
        assert batch.image.max() <= 1
        assert float(batch.image.std()) > 0.05
        assert torch.equal(batch.target, images.labels)


@every
def test_masks_follow_the_images(opened: Opened, name: str) -> None:
    for images in opened(name).values():
        batch = images.batch(torch.arange(len(images)))
        if name not in MASKS:
            assert not images.has_masks
            assert batch.mask is None
            continue
        assert batch.mask is not None
        assert batch.mask.shape == (len(images), 1, SIZE, SIZE)
        soft = MASKS[name] == "soft"
        assert images.soft_masks == soft
        assert batch.mask.dtype == (torch.float32 if soft else torch.bool)
        assert batch.object_mask is not None
        assert batch.object_mask.dtype == torch.bool
        covered = batch.object_mask.float().mean(dim=(1, 2, 3))
        assert 0 < float(covered.min()) <= float(covered.max()) < 1


@every
def test_splits_are_disjoint_and_show_no_image_twice(opened: Opened, name: str) -> None:
    splits = opened(name)
    assert tuple(splits) == DATA_SETS[name].splits
    ids = [image for images in splits.values() for image in images.ids]
    assert len(set(ids)) == len(ids)
    pixels = torch.cat(
        [images.batch(torch.arange(len(images))).image for images in splits.values()]
    )
    assert len(pixels.flatten(1).unique(dim=0)) == len(pixels)
    assert len({images.key for images in splits.values()}) == len(splits)


@every
def test_the_same_seed_gives_the_same_files(root: Root, tmp_path: Path, name: str) -> None:
    assert tree(small_demo(name, tmp_path)) == tree(root(name))
    assert (root(name) / DEMO_MARKER).is_file()


@pytest.mark.parametrize("name", sorted(ARCHIVES))
def test_an_archives_folder_may_be_the_root(root: Root, name: str) -> None:
    """A stand-in stays marked as one, however its root is named."""
    (inner,) = (path for path in root(name).iterdir() if path.is_dir())
    source = DATA_SETS[name].testing(inner, READ)
    assert source.is_demo
    assert len(source) == 2 * N_CLASSES[name]


@every
def test_reading_twice_gives_the_same(root: Root, name: str) -> None:
    one, two = (DATA_SETS[name].testing(root(name), READ) for _ in range(2))
    assert one.stamp() == two.stamp()
    assert one.identity() == two.identity()
    first, second = one.sample(1), two.sample(1)
    assert isinstance(first, Sample)
    assert isinstance(second, Sample)
    assert first.image.tobytes() == second.image.tobytes()
    assert (first.label, first.id) == (second.label, second.id)
    other = DATA_SETS[name].testing(root(name), DataConfig(image_size=SIZE + 4))
    assert other.stamp() != one.stamp()
    assert other.identity() != one.identity()
    assert other.name != one.name


@every
def test_a_wrong_root_is_told_with_the_layout(tmp_path: Path, name: str) -> None:
    entry = DATA_SETS[name]
    for opener in (entry.training, entry.testing):
        if opener is None:
            continue
        with pytest.raises(DataError, match="the root must hold") as caught:
            opener(tmp_path / "nowhere", READ)
        assert str(tmp_path / "nowhere") in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", TEST_ONLY)
def test_a_test_only_set_says_so(root: Root, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="to test on only"):
        load(DataConfig(name=name, root=root(name), image_size=SIZE, cache_dir=tmp_path), "train")


@every
def test_too_few_images_for_the_classes(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="at least one image a class"):
        DATA_SETS[name].demo(tmp_path, SIZE, n_train=40, n_test=N_CLASSES[name] - 1)
    assert list(tmp_path.iterdir()) == []
