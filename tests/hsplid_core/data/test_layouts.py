"""What is particular to each data set's published layout, and to what is read from it."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets as peer

from hsplid_core.config import DataConfig
from hsplid_core.data import DATA_SETS
from hsplid_core.data.cache.build import build_or_open
from hsplid_core.data.cache.image_set import ImageSet
from hsplid_core.data.readers.cmnist import pair_digits
from hsplid_core.data.readers.image_arrays import Arrays
from hsplid_core.data.source import Sample, Source

SIZE = 32
READ = DataConfig(image_size=SIZE)


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demos")


def demo(name: str, folder: Path) -> Path:
    return DATA_SETS[name].demo(folder, SIZE, n_train=40, n_test=20)


def held_out(name: str, root: Path, size: int = SIZE) -> Source:
    return DATA_SETS[name].testing(root, DataConfig(image_size=size))


def labels(source: Source) -> list[int]:
    samples = (source.sample(index) for index in range(len(source)))
    return [sample.label for sample in samples if isinstance(sample, Sample)]


def images(name: str, root: Path, cache: Path) -> ImageSet:
    return build_or_open(held_out(name, root), cache)


def test_torchvision_reads_the_same_mnist(demos: Path, tmp_path: Path) -> None:
    root = demo("mnist", demos)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in root.glob("*.gz"):
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    other = peer.MNIST(str(tmp_path), train=False)
    ours = images("mnist", tmp_path, tmp_path / "cache")  # 28 pixels, made 32
    assert ours.labels.tolist() == other.targets.tolist()
    exact = build_or_open(held_out("mnist", tmp_path, 28), tmp_path / "cache")
    assert torch.equal((exact.batch(torch.arange(20)).image[:, 0] * 255).byte(), other.data)
    assert not ours.is_demo  # these files bear no mark


def test_torchvisions_cifar_has_the_same_pixels(
    demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = demo("cifar10", demos)
    monkeypatch.setattr(peer.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr(peer.cifar, "check_integrity", lambda *_: True)
    other = peer.CIFAR10(str(root), train=True)
    training = DATA_SETS["cifar10"].training
    assert training is not None
    ours = build_or_open(training(root, READ), tmp_path)
    assert ours.labels.tolist() == other.targets
    pixels = (ours.batch(torch.arange(40)).image * 255).byte().permute(0, 2, 3, 1)
    np.testing.assert_array_equal(pixels.numpy(), other.data)


def test_pairs_of_digits_are_the_released_ones() -> None:
    """The released code draws both orders from one generator, seeded with 1, and pads evenly."""
    rng = np.random.default_rng(1)
    left, right = (rng.choice(50, 50, replace=False) for _ in range(2))
    digits = np.random.default_rng(0).integers(0, 256, (50, 28, 28, 1)).astype(np.uint8)
    pairs = pair_digits(Arrays(digits, np.arange(50, dtype=np.int64)))
    np.testing.assert_array_equal(pairs.labels, left)
    inner = np.concatenate([digits[left], digits[right]], axis=2)
    np.testing.assert_array_equal(pairs.images[:, 18:46, 4:60], inner)
    assert pairs.images.shape == (50, 64, 64, 1)
    assert pairs.images.sum() == inner.sum()
    assert pairs.masks is not None
    assert pairs.masks[:, :, :32].all()
    assert not pairs.masks[:, :, 32:].any()


def test_isic_is_stretched_and_labelled_by_its_table(demos: Path) -> None:
    root = demo("isic2017", demos)
    assert labels(held_out("isic2017", root)) == [(40 + k) % 3 for k in range(20)]
    path = root / "ISIC-2017_Test_v2_Data" / "ISIC_0000040.jpg"
    with Image.open(path) as picture:
        assert picture.width > picture.height
        squeezed = picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    sample = held_out("isic2017", root).sample(0)
    assert isinstance(sample, Sample)
    np.testing.assert_array_equal(sample.image.transpose(1, 2, 0), np.asarray(squeezed))
    training = DATA_SETS["isic2017"].training
    assert training is not None
    assert len(training(root, READ)) == 40  # Training and Validation


def test_birds_guides_are_different_masks_of_the_same_images(demos: Path, tmp_path: Path) -> None:
    root = demo("cub", demos)
    every = torch.arange(20)
    sets = {name: images(name, root, tmp_path) for name in ("cub", "cub/boxes", "cub_gha")}
    batches = {name: found.batch(every) for name, found in sets.items()}
    for batch in batches.values():
        assert torch.equal(batch.image, batches["cub"].image)
    bird, box, gaze = (batches[name].mask for name in sets)
    assert bird is not None
    assert box is not None
    assert gaze is not None
    assert bool((box | ~bird).float().mean() > 0.99)  # the box is around the bird
    for mask in box[:, 0]:
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        # Only corners may be rounded.
        assert len(rows) * len(columns) - 4 <= int(mask.sum()) <= len(rows) * len(columns)
    assert 0 < len(gaze.unique()) > 50
    inside = (gaze * bird).sum((1, 2, 3)) / bird.sum((1, 2, 3))
    outside = (gaze * ~bird).sum((1, 2, 3)) / (~bird).sum((1, 2, 3))
    assert float((inside > outside).float().mean()) > 0.9


def test_dogs_lists_may_lie_in_a_folder_of_their_own(demos: Path, tmp_path: Path) -> None:
    root = shutil.copytree(demo("stanford_dogs", demos), tmp_path / "dogs")
    before = labels(held_out("stanford_dogs", root))
    (root / "lists").mkdir()
    for path in root.glob("*.mat"):
        path.rename(root / "lists" / path.name)
    assert labels(held_out("stanford_dogs", root)) == before


def test_imagenets_val_without_folders(demos: Path, tmp_path: Path) -> None:
    """As in the archive at Kaggle: one folder, and a table that says what each image shows."""
    root = demo("imagenet", demos)
    base = tmp_path / "ILSVRC" / "Data" / "CLS-LOC"
    shutil.copytree(root / "train", base / "train")
    (base / "val").mkdir()
    rows = ["ImageId,PredictionString"]
    for number, path in enumerate(sorted(root.glob("val/*/*.JPEG")), start=1):
        name = f"ILSVRC2012_val_{number:08d}"
        shutil.copy(path, base / "val" / f"{name}.JPEG")
        rows.append(f"{name},{path.parent.name} 1 2 3 4 {path.parent.name} 5 6 7 8 ")
    (tmp_path / "LOC_val_solution.csv").write_text("\n".join(rows))
    flat = held_out("imagenet", tmp_path)
    assert labels(flat) == labels(held_out("imagenet", root))
    assert flat.class_names == held_out("imagenet", root).class_names
    before = flat.stamp()
    assert held_out("imagenet", tmp_path).stamp() == before
    (base / "val" / "ILSVRC2012_val_00000001.JPEG").unlink()
    assert held_out("imagenet", tmp_path).stamp() != before


def test_imagenet9_has_coarse_and_fine_labels(demos: Path) -> None:
    root = demo("imagenet9/original", demos)
    coarse, fine = (
        held_out(f"imagenet9/{name}", root) for name in ("mixed_rand", "mixed_rand_fine")
    )
    assert len(coarse) == len(fine) == 20
    assert set(fine.class_names) <= {
        path.name for path in (demo("imagenet", demos) / "train").iterdir()
    }
    pairs = set(zip(labels(coarse), labels(fine), strict=True))
    assert len(pairs) == 9  # one class of the thousand for each of the nine here


def test_counter_animals_bear_imagenets_ids(demos: Path) -> None:
    root = demo("counter_animal/common", demos)
    names = held_out("counter_animal/common", root).class_names
    assert set(names) <= set(held_out("imagenet", demo("imagenet", demos)).class_names)
    assert list(names) == sorted(names)


def test_a_folder_without_parts_keeps_a_fifth_to_test_on(demos: Path, tmp_path: Path) -> None:
    root = demo("folder", demos)
    shutil.copytree(root / "train", tmp_path / "flat")
    shutil.copytree(root / "masks" / "train", tmp_path / "flat" / "masks")
    opener = DATA_SETS["folder"].training
    assert opener is not None
    train, test = opener(tmp_path / "flat", READ), held_out("folder", tmp_path / "flat")
    assert (len(train), len(test)) == (32, 8)
    assert train.class_names == test.class_names == ("bear", "elephant", "giraffe", "zebra")
    assert sorted(labels(test)) == [0, 0, 1, 1, 2, 2, 3, 3]
    ids = [
        sample.id
        for source in (train, test)
        for sample in (source.sample(index) for index in range(len(source)))
        if isinstance(sample, Sample)
    ]
    assert len(set(ids)) == 40
    assert train.has_masks
    first = train.sample(0)
    assert isinstance(first, Sample)
    assert first.mask is not None
    shutil.rmtree(tmp_path / "flat" / "masks")
    assert not opener(tmp_path / "flat", READ).has_masks


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_pictures_of_any_mode(demos: Path, tmp_path: Path, mode: str) -> None:
    root = shutil.copytree(demo("folder", demos), tmp_path / "folder")
    path = min(root.glob("test/*/*.jpg"))
    with Image.open(path) as picture:
        converted = picture.convert(mode)
    path.unlink()
    converted.save(path.with_suffix(".png" if mode in ("P", "RGBA") else ".jpg"))
    sample = held_out("folder", root).sample(0)
    assert isinstance(sample, Sample)
    assert sample.image.shape == (3, SIZE, SIZE)
