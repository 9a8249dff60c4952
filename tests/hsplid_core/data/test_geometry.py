from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms.v2 import CenterCrop, Compose, InterpolationMode, Resize

from hsplid_core.data.readers.squaring import Fit, square, square_mask, square_pixels


@settings(deadline=None, max_examples=40)
@given(
    st.integers(8, 90),
    st.integers(8, 90),
    st.integers(4, 70),
    st.none() | st.integers(0, 20),
    st.sampled_from(get_args(Fit)),
)
def test_same_pixels_as_torchvision(
    width: int, height: int, size: int, margin: int | None, fit: Fit
) -> None:
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3))
    image = Image.fromarray(pixels.astype(np.uint8))
    resize_size = None if margin is None else size + margin
    side = resize_size or size
    target = [side, side] if fit == "stretch" else side
    reference = Compose(
        [Resize(target, InterpolationMode.BILINEAR, antialias=True), CenterCrop(size)]
    )
    ours = square(image, size, Image.Resampling.BILINEAR, fit, resize_size)
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


@pytest.mark.parametrize("fit", get_args(Fit))
@pytest.mark.parametrize("resize_size", [None, 24])
def test_mask_and_image_stay_together(fit: Fit, resize_size: int | None) -> None:
    """A white object on black is where its mask is, after any crop."""
    mask = np.zeros((40, 72), dtype=np.uint8)
    mask[8:32, 24:48] = 1
    image = Image.fromarray(mask * np.uint8(255))
    pixels = square_pixels(image, 20, fit=fit, resize_size=resize_size)
    found = square_mask(mask, 20, fit=fit, resize_size=resize_size)
    np.testing.assert_array_equal(pixels[0] >= 128, found[0] == 1)
