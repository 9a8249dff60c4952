"""What every corruption promises, and the closed forms of those that have one."""

from __future__ import annotations

import colorsys
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import zoom
from torch import Tensor

from hsplid_core.attacks import REGIONS, region_mask
from hsplid_core.corruptions import CORRUPTIONS, corrupt
from hsplid_core.corruptions._filters import disk, gaussian_blur, motion_blur, zoom_in
from hsplid_core.corruptions.kinds import poisson
from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError, DataError
from hsplid_core.evaluation.accuracy import accuracy, corrupted_accuracy
from tests.hsplid_core.attacks.problems import make_batch, pick
from tests.hsplid_core.attacks.trained import trained_net, unseen_batch
from tests.hsplid_core.test_evaluation import MemoryImages

NAMES = pytest.mark.parametrize("name", sorted(CORRUPTIONS))
BATCH = make_batch(size=(3, 24, 20))


@NAMES
@settings(max_examples=10, deadline=None)
@given(severity=st.integers(1, 5), region=st.sampled_from(sorted(REGIONS)), seed=st.integers())
def test_stays_in_pixel_range_and_region(name: str, severity: int, region: str, seed: int) -> None:
    worse = corrupt(BATCH, name, severity=severity, region=region, seed=seed).image
    allowed = region_mask(region, BATCH, seed=seed)
    assert ((worse >= 0) & (worse <= 1)).all()
    assert torch.equal(worse.where(~allowed, 0), BATCH.image.where(~allowed, 0))
    assert worse.dtype == BATCH.image.dtype


@NAMES
@settings(max_examples=5, deadline=None)
@given(order=st.permutations(range(6)), cut=st.integers(1, 5), seed=st.integers())
def test_ignores_batch_size_and_order(name: str, order: list[int], cut: int, seed: int) -> None:
    whole = corrupt(BATCH, name, severity=3, seed=seed).image
    for rows in (torch.tensor(order[:cut]), torch.tensor(order[cut:])):
        part = corrupt(pick(BATCH, rows), name, severity=3, seed=seed).image
        torch.testing.assert_close(part, whole[rows], rtol=0, atol=1e-12)


@NAMES
def test_leaves_the_input_and_the_generator_alone(name: str) -> None:
    before, image = torch.random.get_rng_state(), BATCH.image.clone()
    first = corrupt(BATCH, name, severity=5, seed=1)
    assert torch.equal(first.image, corrupt(BATCH, name, severity=5, seed=1).image)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(BATCH.image, image)
    assert not torch.equal(first.image, image)
    assert first.target is BATCH.target
    empty = pick(BATCH, torch.arange(0))
    assert corrupt(empty, name, severity=1, seed=0).image.shape == (0, 3, 24, 20)


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - {"saturate"}))
def test_severities_grow(name: str) -> None:
    smooth = gaussian_blur(make_batch(16, size=(3, 32, 32)).image, 1.5)
    batch = replace(make_batch(16, size=(3, 32, 32)), image=smooth)
    moved = [
        float((corrupt(batch, name, severity=level, seed=0).image - smooth).square().mean())
        for level in range(1, 6)
    ]
    if name == "snow":  # its published levels trade flakes for whiteness
        assert moved[0] < moved[2]
        assert moved[0] < moved[4]
    else:
        assert moved == sorted(moved)


def flat(value: float, rows: int = 40) -> Batch:
    batch = make_batch(rows, size=(3, 24, 24))
    return replace(batch, image=torch.full_like(batch.image, value))


@pytest.mark.parametrize("severity", [1, 5])
def test_noise_has_the_published_moments(severity: int) -> None:
    level = severity - 1
    noise = corrupt(flat(0.5), "gaussian_noise", severity=severity, seed=0).image - 0.5
    scale = (0.08, 0.12, 0.18, 0.26, 0.38)[level]
    inner = noise[noise.abs() < 0.5]
    assert abs(float(noise.mean())) < 0.005
    if severity == 1:
        assert float(inner.std()) == pytest.approx(scale, rel=0.02)
    else:  # both ends are cut off
        outside = float((noise.abs() >= 0.5).double().mean())
        expected = 1 - float(torch.erf(torch.tensor(0.5 / scale / 2**0.5)))
        assert outside == pytest.approx(expected, rel=0.05)

    photons = (60, 25, 12, 5, 3)[level]
    shot = corrupt(flat(0.2), "shot_noise", severity=severity, seed=0).image
    assert float(shot.mean()) == pytest.approx(0.2, rel=0.03)
    if severity == 1:
        assert float(shot.var()) == pytest.approx(0.2 / photons, rel=0.05)
    torch.testing.assert_close(shot * photons, (shot * photons).round())

    share = (0.03, 0.06, 0.09, 0.17, 0.27)[level]
    impulse = corrupt(flat(0.5), "impulse_noise", severity=severity, seed=0).image
    for end in (0.0, 1.0):
        assert float((impulse == end).double().mean()) == pytest.approx(share / 2, rel=0.1)


@pytest.mark.parametrize("severity", range(1, 6))
def test_speckles_are_in_proportion_to_the_value(severity: int) -> None:
    scale = (0.15, 0.2, 0.35, 0.45, 0.6)[severity - 1]
    for value in (0.0, 0.1, 0.2):
        found = corrupt(flat(value), "speckle_noise", severity=severity, seed=0).image
        noise = (found - value)[found > 0]  # below 0 it is cut off
        if value == 0:
            assert not bool(found.any())
            continue
        # The upper half is nowhere cut off at these values.
        upper = noise[noise > 0]
        assert float(upper.square().mean().sqrt()) == pytest.approx(value * scale, rel=0.02)
        assert len(upper) / found.numel() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("severity", range(1, 6))
def test_zoom_blur_averages_enlargements(severity: int) -> None:
    factors = (
        [1 + 0.01 * k for k in range(12)],  # numpy's arange ends behind 1.11, by rounding
        [1 + 0.01 * k for k in range(16)],
        [1 + 0.02 * k for k in range(11)],
        [1 + 0.02 * k for k in range(13)],
        [1 + 0.03 * k for k in range(11)],
    )[severity - 1]
    size = 25
    ramp = torch.linspace(0, 1, size, dtype=torch.float64)
    image = (0.5 * ramp + 0.5 * ramp.view(-1, 1) ** 2).expand(1, 3, size, size)
    batch = Batch(image, torch.zeros(1, dtype=torch.int64), None, torch.arange(1))
    found = corrupt(batch, "zoom_blur", severity=severity, seed=0).image
    expected = image[0, 0].numpy().copy()
    for factor in factors:
        inner = math.ceil(size / factor - 1e-9)
        first = (size - inner) // 2
        middle = image[0, 0].numpy()[first : first + inner, first : first + inner]
        expected += zoom(middle, factor, order=1)[:size, :size]
    expected /= len(factors) + 1
    torch.testing.assert_close(found, torch.from_numpy(expected).expand_as(found))


def test_poisson_counts_follow_their_distribution() -> None:
    uniforms = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    for rate in (0.0, 0.3, 4.0, 60.0):
        count = poisson(torch.full_like(uniforms, rate), uniforms)
        assert float(count.mean()) == pytest.approx(rate, abs=0.01)
        assert float(count.var()) == pytest.approx(rate, abs=0.01 + rate * 0.01)


def test_colours_follow_hue_saturation_value() -> None:
    image = torch.rand(1, 3, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    image[0, :, 0, 0] = 0.0
    image[0, :, 0, 1] = 0.4  # grey: its hue counts as red
    batch = Batch(image, torch.zeros(1, dtype=torch.int64), None, torch.arange(1))

    def by_colorsys(name: str, severity: int) -> Tensor:
        expected = torch.empty_like(image)
        for row in range(5):
            for column in range(5):
                hue, saturation, value = colorsys.rgb_to_hsv(*image[0, :, row, column].tolist())
                if name == "brightness":
                    value = min(1, value + 0.1 * severity)
                else:
                    factor, amount = [(0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)][
                        severity - 1
                    ]
                    saturation = min(1, saturation * factor + amount)
                rgb = colorsys.hsv_to_rgb(hue, saturation, value)
                expected[0, :, row, column] = torch.tensor(rgb, dtype=torch.float64)
        return expected

    for name in ("brightness", "saturate"):
        for severity in range(1, 6):
            found = corrupt(batch, name, severity=severity, seed=0).image
            torch.testing.assert_close(found, by_colorsys(name, severity))


def test_contrast_keeps_the_mean() -> None:
    batch = make_batch(size=(3, 16, 16))
    worse = corrupt(batch, "contrast", severity=2, seed=0).image
    torch.testing.assert_close(worse.mean((2, 3)), batch.image.mean((2, 3)))
    torch.testing.assert_close(worse.std((2, 3)), 0.3 * batch.image.std((2, 3)))


def test_blurs_spread_a_point_as_their_kernels_say() -> None:
    image = torch.zeros(2, 1, 65, 65, dtype=torch.float64)
    image[:, :, 32, 32] = 1.0
    blurred = gaussian_blur(image, 2.0)[0, 0]
    place = torch.arange(65, dtype=torch.float64) - 32
    bell = torch.exp(-place.square() / 8) * (place.abs() <= 8)
    bell /= bell.sum()
    torch.testing.assert_close(blurred, bell[:, None] * bell)

    smeared = motion_blur(image, 10, 3.0, torch.tensor([0.0, 90.0], dtype=torch.float64))
    for row, along in ((0, smeared[0, 0, 32]), (1, smeared[1, 0, :, 32])):
        assert float(along.sum()) == pytest.approx(1)
        lit = along.nonzero().flatten()
        assert (int(lit.min()), int(lit.max())) == (12, 32), row
        assert float(along[31] / along[32]) == pytest.approx(float(torch.tensor(-1 / 18).exp()))

    kernel = disk(3, 0.1)
    assert float(kernel.sum()) == pytest.approx(1)
    assert int((kernel > 1e-3).sum()) == 29  # lattice points in a circle of radius 3


def test_a_flat_image_stays_flat_under_any_blur() -> None:
    for name in ("defocus_blur", "gaussian_blur", "motion_blur", "contrast"):
        worse = corrupt(flat(0.3, rows=2), name, severity=5, seed=0).image
        # The published aperture gains about 1% where it touches its kernel's edge.
        rtol = 0.015 if name == "defocus_blur" else 1e-9
        torch.testing.assert_close(worse, torch.full_like(worse, 0.3), rtol=rtol, atol=0)


def test_small_images_are_blurred_too() -> None:
    for name in CORRUPTIONS:
        assert corrupt(make_batch(), name, severity=5, seed=0).image.shape == (6, 3, 8, 8)


def test_zoom_enlarges_the_middle() -> None:
    field = torch.arange(16, dtype=torch.float64).expand(1, 1, 16, 16)
    zoomed = zoom_in(field, 2.0)[0, 0]
    assert zoomed.shape == (16, 16)
    torch.testing.assert_close(zoomed[0], torch.linspace(4, 11, 16, dtype=torch.float64))


@pytest.mark.parametrize("severity", range(1, 6))
def test_occlusion_covers_its_share(severity: int) -> None:
    batch = make_batch(size=(3, 64, 64))
    covered = (corrupt(batch, "occlusion", severity=severity, seed=0).image == 0.5).all(1)
    share = covered.double().mean((1, 2))
    torch.testing.assert_close(share, torch.full_like(share, severity / 10), rtol=0.03, atol=0)
    assert len({tuple(mask.nonzero()[0].tolist()) for mask in covered}) > 1


def test_accuracy_under_corruptions_outside_the_object() -> None:
    net, batch = trained_net(), unseen_batch()
    with torch.no_grad():
        batch = replace(batch, target=net(batch.image).argmax(1))
    images = MemoryImages(batch)
    found = {
        region: [
            corrupted_accuracy(
                net,
                images,
                corruption="gaussian_noise",
                severity=severity,
                region=region,
                batch_size=70,
                seed=0,
            )
            for severity in (1, 5)
        ]
        for region in ("full", "background")
    }
    assert accuracy(net, images, batch_size=70) == 1
    assert found["full"][1] < found["full"][0]
    assert found["full"][1] < found["background"][1]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"name": "brightnes"}, ConfigError, "did you mean brightness"),
        ({"severity": 0}, ConfigError, "severity is 0: use one of"),
        ({"region": "sky"}, ConfigError, "region is 'sky'"),
        ({"batch": replace(BATCH, image=BATCH.image + 1)}, DataError, "pixels lie in"),
        ({"batch": replace(BATCH, image=BATCH.image * torch.nan)}, DataError, "pixels lie in"),
        ({"batch": replace(BATCH, mask=None), "region": "block"}, ConfigError, "no object masks"),
    ],
)
def test_refuses_bad_input(change: dict[str, Any], error: Any, message: str) -> None:
    options = {"batch": BATCH, "name": "snow", "severity": 1, "seed": 0, **change}
    with pytest.raises(error, match=message):
        corrupt(**options)
