"""Random variation of images, held against torchvision's own transforms."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as peer

from hsplid_core.config import AugmentationConfig
from hsplid_core.data.augmentation import (
    Windows,
    augment,
    brighten,
    draw_windows,
    resample,
    saturate,
    set_contrast,
)
from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError

SIZE = 20
NO_TURN = torch.zeros(1)
STAY, MIRROR = torch.tensor([False]), torch.tensor([True])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 6, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, SIZE, SIZE, generator=seeded())


def batch(count: int = 6, *, soft: bool = False) -> Batch:
    """Images whose first channel is their mask."""
    image = images(count)
    if not soft:
        image[:, :1] = (image[:, :1] > 0.5).float()
    mask = image[:, :1].clone() if soft else image[:, :1] > 0.5
    return Batch(image=image, target=torch.arange(count), mask=mask, index=torch.arange(count))


def window(left: int, top: int, width: int, height: int) -> Windows:
    return Windows(*(torch.tensor([value]) for value in (left, top, width, height)))


@pytest.mark.parametrize(("left", "top", "width", "height"), [(3, 5, 9, 12), (0, 0, 20, 7)])
@pytest.mark.parametrize("mirrored", [STAY, MIRROR])
def test_crops_are_torchvisions(
    left: int, top: int, width: int, height: int, mirrored: Tensor
) -> None:
    image = images(1)
    expected = peer.resized_crop(image, top, left, height, width, [SIZE, SIZE], antialias=False)
    if mirrored.item():
        expected = peer.horizontal_flip(expected)
    found = resample(image, window(left, top, width, height), mirrored, NO_TURN)
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("degrees", [-30.0, 12.0, 90.0])
def test_turns_are_torchvisions(degrees: float) -> None:
    image = images(1)
    expected = peer.rotate(image, degrees, interpolation=InterpolationMode.BILINEAR)
    angle = torch.tensor([math.radians(degrees)])
    found = resample(image, window(0, 0, SIZE, SIZE), STAY, angle)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_padding_shifts_by_whole_pixels() -> None:
    image = images(1)
    found = resample(image, window(-3, 2, SIZE, SIZE), STAY, NO_TURN)
    expected = torch.zeros_like(image)
    expected[..., : SIZE - 2, 3:] = image[..., 2:, : SIZE - 3]
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (brighten, peer.adjust_brightness),
        (set_contrast, peer.adjust_contrast),
        (saturate, peer.adjust_saturation),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_colours_are_torchvisions(ours: object, theirs: object, channels: int) -> None:
    assert callable(ours)
    assert callable(theirs)
    image = images(2, channels)
    factors = torch.tensor([0.6, 1.3]).view(2, 1, 1, 1)
    expected = torch.stack([theirs(one, float(f)) for one, f in zip(image, factors, strict=True)])
    torch.testing.assert_close(ours(image, factors), expected, atol=1e-5, rtol=0)


def test_crops_keep_to_their_bounds() -> None:
    config = AugmentationConfig(crop_scale=(0.2, 0.6), crop_ratio=(0.5, 2.0))
    left, top, width, height = draw_windows(config, 4000, 64, 64, seeded())
    assert int(left.min()) == int(top.min()) == 0
    assert int((left + width).max()) == int((top + height).max()) == 64
    area, ratio = width * height / 64**2, width / height
    assert 0.19 < float(area.min()) < 0.22
    assert 0.58 < float(area.max()) < 0.61
    assert float(area.mean()) == pytest.approx(0.4, abs=0.02)
    assert float(ratio.min()) == pytest.approx(0.5, abs=0.05)
    assert float(ratio.log().mean()) == pytest.approx(0, abs=0.03)


def test_the_whole_image_where_no_crop_fits() -> None:
    config = AugmentationConfig(crop_scale=(1.0, 1.0), crop_ratio=(0.5, 2.0))
    found = draw_windows(config, 50, 8, 8, seeded())
    assert found.width.unique().tolist() == found.height.unique().tolist() == [8]


def test_flips_as_often_as_told() -> None:
    one = images(1).expand(2000, -1, -1, -1)
    whole = Batch(image=one, target=torch.zeros(2000), mask=None, index=torch.arange(2000))
    varied = augment(whole, AugmentationConfig(flip=0.3), seeded()).image
    same = (varied - one).abs().amax(dim=(1, 2, 3)) < 1e-5
    mirrored = (varied - one.flip(-1)).abs().amax(dim=(1, 2, 3)) < 1e-5
    assert bool((same | mirrored).all())
    assert float(mirrored.float().mean()) == pytest.approx(0.3, abs=0.035)


EVERYTHING = AugmentationConfig(
    crop_scale=(0.3, 1.0), flip=0.5, rotation=20, brightness=0.3, contrast=0.3, saturation=0.3
)


@pytest.mark.parametrize("soft", [False, True])
def test_masks_follow_the_images(soft: bool) -> None:
    given = batch(soft=soft)
    config = replace(EVERYTHING, brightness=0.0, contrast=0.0, saturation=0.0)
    varied = augment(given, config, seeded())
    assert varied.mask is not None
    assert given.mask is not None
    assert varied.mask.dtype == given.mask.dtype
    if soft:
        torch.testing.assert_close(varied.mask, varied.image[:, :1])
    else:
        assert torch.equal(varied.mask, varied.image[:, :1] >= 0.5)
    assert not torch.equal(varied.mask, given.mask)


def test_each_image_varies_on_its_own_and_by_the_seed_alone() -> None:
    one = images(1).expand(6, -1, -1, -1)
    given = Batch(image=one, target=torch.arange(6), mask=None, index=torch.arange(6))
    first, again = (augment(given, EVERYTHING, seeded(3)).image for _ in range(2))
    other = augment(given, EVERYTHING, seeded(4)).image
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(first.flatten(1).unique(dim=0)) == 6
    assert 0 <= float(first.min()) <= float(first.max()) <= 1


def test_nothing_varies_by_default() -> None:
    given = batch()
    varied = augment(given, AugmentationConfig(), seeded())
    assert varied.image is given.image
    assert varied.mask is given.mask


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crop_scale": (0.0, 1.0)}, r"crop_scale is \(0.0, 1.0\): use two shares"),
        ({"crop_scale": (0.6, 0.2)}, "crop_scale is"),
        ({"crop_ratio": (1.5, 2.0)}, r"crop_ratio is \(1.5, 2.0\): use two positive"),
        ({"padding": -1}, "padding is -1: use 0 or more"),
        ({"padding": 4, "crop_scale": (0.5, 1.0)}, "padding is 4 and crop_scale is"),
        ({"flip": 1.5}, "flip is 1.5: use a probability"),
        ({"rotation": 200.0}, "rotation is 200"),
        ({"brightness": -0.1}, "brightness is -0.1: use 0 or more"),
    ],
)
def test_values_out_of_range(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AugmentationConfig(**fields)  # type: ignore[arg-type]
