"""An image set that is kept on a device gives the batches that travel there otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hsplid_core.config import AugmentationConfig, PixelConfig
from hsplid_core.data import ImageSet
from hsplid_core.data.batch import Batch
from hsplid_core.data.planted_pixel import PlantedPixels
from tests.gpu.conftest import MakeRun, cache_of, same_weights
from trainables.gpu_memory import fits_beside_training, limit_memory

PLANTED = PlantedPixels(config=PixelConfig(), num_classes=2, image_shape=(3, 32, 32), n_rows=26)
SETS: dict[str, Callable[[ImageSet], ImageSet]] = {
    "all": lambda images: images,
    "some rows": lambda images: images.select(torch.tensor([5, 2, 25, 7, 7])),
    "classes": lambda images: images.of_classes(["right", "left"]),
    "cropped": lambda images: images.cropped(20),
    "changed": lambda images: images.changed(PLANTED),
}


def assert_same(one: Batch, other: Batch) -> None:
    assert torch.equal(one.image.cpu(), other.image.cpu())
    assert torch.equal(one.target.cpu(), other.target.cpu())
    assert torch.equal(one.index.cpu(), other.index.cpu())
    assert one.mask is not None
    assert other.mask is not None
    assert torch.equal(one.mask.cpu(), other.mask.cpu())


@pytest.mark.parametrize("name", SETS)
def test_the_batches_are_those_of_the_file(
    images: ImageSet, device: torch.device, name: str
) -> None:
    plain = SETS[name](images)
    held = plain.held_on(device)
    assert held.key == plain.key
    batches = [
        list(one.batches(4, torch.Generator().manual_seed(1), device)) for one in (plain, held)
    ]
    for here, there in zip(*batches, strict=True):
        assert there.image.device.type == device.type
        assert_same(here, there)
    positions = torch.tensor([-1, 0, 3])
    assert_same(held.batch(positions, device), plain.batch(positions, device))
    # And where somebody asks for them elsewhere.
    assert_same(held.batch(positions), plain.batch(positions))
    with pytest.raises(IndexError):
        held.batch(torch.tensor([len(held)]), device)


def test_soft_masks_stay_soft(tmp_path: Path, device: torch.device) -> None:
    images = cache_of(tmp_path, n_rows=4, soft_masks=True)
    rows = torch.arange(4)
    assert_same(images.held_on(device).batch(rows, device), images.batch(rows, device))


def test_a_run_on_it_is_the_same_to_the_last_bit(
    make_run: MakeRun, images: ImageSet, device: torch.device
) -> None:
    varied = AugmentationConfig(crop_scale=(0.5, 1.0), flip=0.5, brightness=0.2)
    runs = [
        make_run({}, data=data, deterministic=True, augmentation=varied)
        for data in (images, images.held_on(device))
    ]
    losses = [run.train_epoch()["train/loss"] for run in runs]
    assert losses[0] == losses[1]
    assert same_weights(*runs)


def test_bytes_are_those_of_pixels_and_masks(images: ImageSet, tmp_path: Path) -> None:
    assert images.pixel_bytes == 26 * 4 * 32 * 32
    assert cache_of(tmp_path, n_rows=5, size=16, has_masks=False).pixel_bytes == 5 * 3 * 16 * 16
    assert not fits_beside_training(0, torch.device("cpu"))


@pytest.mark.gpu
def test_a_quarter_of_the_share_may_be_data() -> None:
    cuda = torch.device("cuda")
    total = torch.cuda.get_device_properties(0).total_memory
    assert fits_beside_training(total // 4, cuda)
    assert not fits_beside_training(total // 4 + 2**20, cuda)
    limit_memory(0.5)
    try:
        assert fits_beside_training(total // 16, cuda)
        assert not fits_beside_training(total // 8, cuda)
    finally:
        limit_memory(None)
