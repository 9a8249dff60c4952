from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms.v2 import CenterCrop, Compose, InterpolationMode, Resize

from hsplid_core.data.readers.squaring import resize_and_crop, square_mask, square_pixels


@settings(deadline=None, max_examples=40)
@given(st.integers(8, 90), st.integers(8, 90), st.integers(4, 70))
def test_same_pixels_as_torchvision(width: int, height: int, size: int) -> None:
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3))
    image = Image.fromarray(pixels.astype(np.uint8))
    reference = Compose(
        [Resize(size, InterpolationMode.BILINEAR, antialias=True), CenterCrop(size)]
    )
    ours = resize_and_crop(image, size, Image.Resampling.BILINEAR)
    assert ours.size == (size, size)
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(reference(image)))


def test_an_image_of_the_right_size_is_left_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    np.testing.assert_array_equal(
        square_pixels(Image.fromarray(pixels), 16), pixels.transpose(2, 0, 1)
    )


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_a_mask_shrinks_by_majority_of_the_area(factor: int) -> None:
    small = np.random.default_rng(factor).integers(0, 2, (12, 12)).astype(np.uint8)
    large = small.repeat(factor, axis=0).repeat(factor, axis=1)
    np.testing.assert_array_equal(square_mask(large, 12)[0], small)
    # Growing it again repeats each pixel.
    np.testing.assert_array_equal(square_mask(small, 12 * factor)[0], large)


@pytest.mark.parametrize(("covered", "expected"), [(7, 0), (8, 1)])
def test_half_of_the_area_is_enough(covered: int, expected: int) -> None:
    mask = np.zeros(16, dtype=np.uint8)
    mask[:covered] = 1
    assert square_mask(mask.reshape(4, 4), 1).item() == expected


def test_mask_and_image_stay_together() -> None:
    """A white object on black is where its mask is, after any crop."""
    mask = np.zeros((40, 72), dtype=np.uint8)
    mask[8:32, 24:48] = 1
    image = Image.fromarray(mask * np.uint8(255))
    pixels = square_pixels(image, 20)
    np.testing.assert_array_equal(pixels[0] >= 128, square_mask(mask, 20)[0] == 1)
