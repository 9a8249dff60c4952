"""Random variation of images, held against torchvision's own transforms."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as peer

from hsplid_core.config import AugmentationConfig
from hsplid_core.data.augmentation import augment
from hsplid_core.data.batch import Batch
from hsplid_core.data.recolouring import (
    brighten,
    gaussian_blur,
    saturate,
    set_contrast,
    turn_hue,
)
from hsplid_core.data.resampling import (
    Affine,
    Windows,
    draw_affine,
    draw_windows,
    resample,
    uniform,
)
from hsplid_core.errors import ConfigError

SIZE = 20
NO_TURN = Affine(*torch.zeros(4, 1))
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
    turn = NO_TURN._replace(angle=torch.tensor([math.radians(degrees)]))
    found = resample(image, window(0, 0, SIZE, SIZE), STAY, turn)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("turns", "leans", "shifts"),
    [
        ((-25.0, 10.0), (8.0, -30.0), ((2, -3), (0, 4))),
        ((0.0, 0.0), (20.0, 0.0), ((0, 0), (5, 1))),
    ],
)
def test_affine_maps_are_torchvisions(
    turns: tuple[float, ...], leans: tuple[float, ...], shifts: tuple[tuple[int, int], ...]
) -> None:
    image = images(2)
    expected = torch.stack(
        [
            peer.affine(
                one,
                angle=-turn,  # torchvision's affine turns clockwise, its rotate does not
                translate=list(shift),
                scale=1.0,
                shear=[lean, 0.0],
                interpolation=InterpolationMode.BILINEAR,
            )
            for one, turn, lean, shift in zip(image, turns, leans, shifts, strict=True)
        ]
    )
    right, down = torch.tensor(shifts).T
    affine = Affine(torch.tensor(turns).deg2rad(), torch.tensor(leans).deg2rad(), right, down)
    whole = Windows(*(torch.full((2,), value) for value in (0, 0, SIZE, SIZE)))
    found = resample(image, whole, torch.tensor([False, False]), affine)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_affine_maps_keep_to_their_bounds() -> None:
    config = AugmentationConfig(
        rotation=16,
        rotation_probability=0.5,
        translation=0.1,
        translation_probability=0.25,
        shear=8,
        shear_probability=0.75,
    )
    angle, shear, right, down = draw_affine(config, 4000, 40, 60, seeded())
    for values, bound, share in (
        (angle.rad2deg(), 16, 0.5),
        (shear.rad2deg(), 8, 0.75),
        # Shifts of less than half a pixel are none.
        (right, 6, 0.25 * 11 / 12),
        (down, 4, 0.25 * 7 / 8),
    ):
        assert bound * 0.95 < float(values.abs().max()) <= bound * (1 + 1e-6)
        assert float((values != 0).float().mean()) == pytest.approx(share, abs=0.03)
        assert float(values.mean()) == pytest.approx(0, abs=bound * 0.03)
    assert torch.equal(right, right.round())


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
        (turn_hue, peer.adjust_hue),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_colours_are_torchvisions(ours: object, theirs: object, channels: int) -> None:
    assert callable(ours)
    assert callable(theirs)
    image = images(2, channels)
    image[:, :, 0, 0] = 0.4  # grey
    image[:, :, 0, 1] = 0.0
    hue = theirs is peer.adjust_hue
    factors = torch.tensor([-0.35, 0.5] if hue else [0.6, 1.3]).view(2, 1, 1, 1)
    expected = torch.stack([theirs(one, float(f)) for one, f in zip(image, factors, strict=True)])
    torch.testing.assert_close(ours(image, factors), expected, atol=1e-5, rtol=0)


def test_colours_change_in_every_order() -> None:
    config = AugmentationConfig(brightness=0.8, contrast=0.8)
    one = images(1)
    whole = Batch(image=one, target=torch.zeros(1), mask=None, index=torch.arange(1))
    orders = []
    for seed in range(40):
        found = augment(whole, config, seeded(seed)).image
        same = seeded(seed)
        first, second = (uniform((0.2, 1.8), (1, 1, 1, 1), same) for _ in range(2))
        candidates = (
            set_contrast(brighten(one, first), second),
            brighten(set_contrast(one, second), first),
        )
        orders += [n for n, each in enumerate(candidates) if torch.equal(each, found)]
    assert len(orders) >= 40
    assert 8 <= orders.count(1) <= 32


@pytest.mark.parametrize("size", [3, 5, 23])
def test_blurs_are_torchvisions(size: int) -> None:
    image = images(3)
    sigmas = torch.tensor([0.1, 0.8, 2.5])
    expected = torch.stack(
        [
            peer.gaussian_blur(one, [size, size], [float(sigma)] * 2)
            for one, sigma in zip(image, sigmas, strict=True)
        ]
    )
    found = gaussian_blur(image, sigmas.view(3, 1, 1, 1), size)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("config", "changed"),
    [
        (AugmentationConfig(greyscale=0.3), lambda one: peer.rgb_to_grayscale(one, 3)),
        (AugmentationConfig(solarise=0.3), lambda one: peer.solarize(one, 0.5)),
        (
            AugmentationConfig(solarise=0.3, solarise_threshold=0.2),
            lambda one: peer.solarize(one, 0.2),
        ),
        (
            AugmentationConfig(blur=0.3, blur_sigma=(1.5, 1.5), blur_size=7),
            lambda one: peer.gaussian_blur(one, [7, 7], [1.5, 1.5]),
        ),
        (
            AugmentationConfig(rotation=180, rotation_probability=0.3),
            None,  # by an angle of its own
        ),
        (AugmentationConfig(crop_scale=(0.2, 0.3), crop_probability=0.3), None),
        (AugmentationConfig(hue=0.4, contrast=0.5, jitter_probability=0.3), None),
    ],
)
def test_changes_come_as_often_as_told(config: AugmentationConfig, changed: Any) -> None:
    count = 1500
    one = images(1)
    every = one.expand(count, -1, -1, -1)
    whole = Batch(image=every, target=torch.zeros(count), mask=None, index=torch.arange(count))
    varied = augment(whole, config, seeded()).image
    same = (varied - one).abs().amax(dim=(1, 2, 3)) < 1e-5
    assert float((~same).float().mean()) == pytest.approx(0.3, abs=0.04)
    if changed is not None:
        expected = changed(one).expand(int((~same).sum()), -1, -1, -1)
        torch.testing.assert_close(varied[~same], expected, atol=1e-5, rtol=0)


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
    rotation=20,
    translation=0.1,
    shear=8,
    crop_scale=(0.3, 1.0),
    flip=0.5,
    brightness=0.3,
    contrast=0.3,
    saturation=0.3,
    hue=0.1,
    jitter_probability=0.8,
    greyscale=0.2,
    solarise=0.2,
    blur=0.5,
)
GEOMETRY = {
    "rotation": st.floats(0, 180),
    "rotation_probability": st.floats(0, 1),
    "translation": st.floats(0, 0.9),
    "translation_probability": st.floats(0, 1),
    "shear": st.floats(0, 60),
    "shear_probability": st.floats(0, 1),
    "crop_scale": st.none() | st.tuples(st.floats(0.1, 0.5), st.floats(0.5, 1.0)),
    "crop_probability": st.floats(0, 1),
    "flip": st.floats(0, 1),
}


@settings(max_examples=40, deadline=None)
@given(fields=st.fixed_dictionaries(GEOMETRY), soft=st.booleans(), seed=st.integers(0, 2**62))
def test_masks_follow_the_images(fields: dict[str, Any], soft: bool, seed: int) -> None:
    given = batch(soft=soft)
    varied = augment(given, AugmentationConfig(**fields), seeded(seed))
    assert varied.mask is not None
    assert given.mask is not None
    assert varied.mask.dtype == given.mask.dtype
    if soft:
        torch.testing.assert_close(varied.mask, varied.image[:, :1])
    else:
        assert torch.equal(varied.mask, varied.image[:, :1] >= 0.5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**62), count=st.integers(2, 9))
def test_colours_leave_masks_alone_and_pixels_in_range(seed: int, count: int) -> None:
    given = batch(count)
    colours = replace(
        EVERYTHING, rotation=0.0, translation=0.0, shear=0.0, crop_scale=None, flip=0.0
    )
    varied = augment(given, colours, seeded(seed))
    assert varied.mask is given.mask
    for config in (colours, EVERYTHING):
        image = augment(given, config, seeded(seed)).image
        assert image.shape == given.image.shape
        assert -1e-6 <= float(image.min()) <= float(image.max()) <= 1 + 1e-6


def test_masks_move() -> None:
    given = batch()
    varied = augment(given, EVERYTHING, seeded())
    assert varied.mask is not None
    assert given.mask is not None
    assert not torch.equal(varied.mask, given.mask)


def test_each_image_varies_on_its_own_and_by_the_seed_alone() -> None:
    one = images(1).expand(6, -1, -1, -1)
    given = Batch(image=one, target=torch.arange(6), mask=None, index=torch.arange(6))
    first, again = (augment(given, EVERYTHING, seeded(3)).image for _ in range(2))
    other = augment(given, EVERYTHING, seeded(4)).image
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(first.flatten(1).unique(dim=0)) == 6
    assert -1e-6 <= float(first.min()) <= float(first.max()) <= 1 + 1e-6


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
        ({"rotation_probability": -0.5}, "rotation_probability is -0.5: use a probability"),
        ({"translation": 1.0}, r"translation is 1.0: use a share in \[0, 1\)"),
        ({"shear": 90.0}, "shear is 90.0: use degrees from 0 to below 90"),
        ({"hue": 0.6}, "hue is 0.6: use a share from 0 to 0.5"),
        ({"greyscale": 2.0}, "greyscale is 2.0: use a probability"),
        ({"solarise_threshold": 128.0}, "solarise_threshold is 128.0: use a value"),
        ({"blur_size": 4}, "blur_size is 4: use an odd number from 3 on"),
        ({"blur_sigma": (2.0, 1.0)}, r"blur_sigma is \(2.0, 1.0\): use two values above 0"),
        ({"brightness": -0.1}, "brightness is -0.1: use 0 or more"),
    ],
)
def test_values_out_of_range(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AugmentationConfig(**fields)  # type: ignore[arg-type]
