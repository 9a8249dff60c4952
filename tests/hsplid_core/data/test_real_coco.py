"""Real photographs of COCO 2017, read as its animals and as categories of one's own."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
import torch

from hsplid_core.config import DataConfig
from hsplid_core.data import load, prepare
from hsplid_core.data.data_sets import DATA_SETS

DATA = Path(os.environ.get("SALIENCY_REAL_DATA", Path(__file__).parents[4] / "shared" / "data"))
PHOTOS = DATA / "coco_animals_35_photos.tar"
SIZE = 48


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not PHOTOS.is_file():
        pytest.skip(f"{PHOTOS} is not there: set SALIENCY_REAL_DATA to the folder of real data")
    folder = tmp_path_factory.mktemp("photos")
    with tarfile.open(PHOTOS) as archive:
        archive.extractall(folder, filter="data")
    return folder / "coco"


def test_both_readers_give_the_same_animals(root: Path, tmp_path: Path) -> None:
    animals = ("bear", "elephant", "giraffe", "zebra")
    data = DataConfig(root=root, image_size=SIZE, cache_dir=tmp_path, classes=animals)
    own = DataConfig(name="coco", root=root, image_size=SIZE, cache_dir=tmp_path, classes=animals)
    theirs, ours = load(data, "test"), load(own, "test")
    assert len(theirs) == len(ours) == 13  # of one, no pixel of the animal is left
    assert ours.class_names == animals
    assert torch.equal(theirs.labels, ours.labels)
    assert [f"val2017/{name}" for name in theirs.ids] == list(ours.ids)
    rows = torch.arange(13)
    one, other = theirs.batch(rows), ours.batch(rows)
    assert torch.equal(one.image, other.image)
    assert one.mask is not None
    assert other.mask is not None
    assert torch.equal(one.mask, other.mask)
    covered = one.mask.float().mean((1, 2, 3))
    assert 0 < float(covered.min()) < float(covered.mean()) < 0.5


def test_two_classes_of_all_that_there_are(root: Path, tmp_path: Path) -> None:
    data = DataConfig(
        name="coco",
        root=root,
        image_size=SIZE,
        cache_dir=tmp_path,
        classes=("zebra", "giraffe"),
        val_fraction=0.3,
    )
    sizes = {split: len(images) for split, images in prepare(data).items()}
    assert (sizes["train"] + sizes["val"], sizes["test"]) == (10, 6)
    training = DATA_SETS["coco"].training
    assert training is not None
    assert len(training(root, data)) == 10
