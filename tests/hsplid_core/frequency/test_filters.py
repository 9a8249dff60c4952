"""The cosine transform and its filters: golden, against scipy, and what must hold of any image."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hsplid_core.errors import ConfigError
from hsplid_core.frequency import FILTERS, FilterKind, FrequencyFilter, dct_matrix
from tests.golden import load
from tests.hsplid_core.frequency.plain import dct2, flip

GOLDEN = load("margin")
CASES = [n for n, case in GOLDEN.catalogue["cases"].items() if case["kind"] == "dct_filters"]

sides = st.integers(min_value=1, max_value=12)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def filtered(kind: FilterKind, image: Tensor, bandwidth: int | None = None) -> Tensor:
    height, width = image.shape[-2:]
    result: Tensor = FrequencyFilter(kind, (height, width), bandwidth)(image)
    return result


def same(found: Tensor, expected: Tensor) -> None:
    """Compare up to the rounding of a filter's matrices, which are kept in float32."""
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("name", CASES)
def test_filters_agree_with_published_code(name: str) -> None:
    arrays = GOLDEN.case(name)
    bandwidth = GOLDEN.catalogue["cases"][name]["params"]["bandwidth"]
    image = torch.tensor(arrays["x"]).double()
    found = {
        "dct": dct2(image),
        "flip": filtered("flip", image),
        "low": filtered("lowpass", image, bandwidth),
        "high": filtered("highpass", image, bandwidth),
        "cut": image - filtered("lowpass", image, bandwidth),
    }
    for key, value in found.items():
        same(value, torch.tensor(arrays[f"{key}_f64"]).to(image).view(image.shape))


@pytest.mark.parametrize("size", [1, 2, 7, 28, 224])
def test_the_matrix_is_orthonormal(size: int) -> None:
    matrix = dct_matrix(size)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(size, dtype=torch.float64))


@given(sides, sides)
def test_the_transform_is_scipys(height: int, width: int) -> None:
    image = noise(2, 3, height, width)
    expected = scipy.fft.dctn(image.numpy(), axes=(-2, -1), norm="ortho")
    np.testing.assert_allclose(dct2(image).numpy(), expected, atol=1e-12)


def test_a_matrix_handed_out_may_be_changed() -> None:
    dct_matrix(4).zero_()
    assert float(dct_matrix(4).abs().sum()) > 1


@given(sides, sides)
def test_a_flip_twice_is_nothing_and_keeps_lengths(height: int, width: int) -> None:
    image = noise(2, height, width)
    flipped = filtered("flip", image)
    same(flipped, flip(image))
    same(filtered("flip", flipped), image)
    same(flipped.norm(), image.norm())
    same(dct2(flipped), dct2(image).flip(-1, -2))


@given(st.integers(1, 9), st.integers(0, 3), st.data())
def test_passes_are_projections(height: int, more: int, data: st.DataObject) -> None:
    bandwidth = data.draw(st.integers(1, height))
    image = noise(3, height, height + more)
    low, high = (filtered(kind, image, bandwidth) for kind in ("lowpass", "highpass"))
    same(filtered("lowpass", low, bandwidth), low)
    same(filtered("highpass", high, bandwidth), high)
    # The highest frequencies are the lowest ones of the flipped image.
    same(high, flip(filtered("lowpass", flip(image), bandwidth)))
    assert torch.linalg.matrix_rank(dct2(low), rtol=1e-5).max() <= bandwidth


@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_filter_undoes_itself_keeps_the_dtype_and_is_no_state(
    kind: FilterKind, dtype: torch.dtype
) -> None:
    image = torch.rand(2, 3, 12, 10, dtype=dtype)
    module = FrequencyFilter(kind, (12, 10), None if kind == "flip" else 4)
    filtered = module(image)
    assert filtered.dtype == dtype
    torch.testing.assert_close(module(module.undo(filtered)), filtered, rtol=0, atol=1e-5)
    assert not module.state_dict()


@pytest.mark.parametrize(
    ("kind", "bandwidth", "says"),
    [
        ("blur", 3, "the filter is 'blur': use one of flip, lowpass, highpass"),
        ("flip", 3, "bandwidth is 3: leave it out"),
        ("lowpass", None, "bandwidth is None: lowpass keeps 1 to 8"),
        ("highpass", 0, "bandwidth is 0: highpass keeps 1 to 8"),
        ("lowpass", 9, "bandwidth is 9: lowpass keeps 1 to 8 frequencies of images of 8x12"),
    ],
)
def test_a_filter_that_does_not_fit_is_named(kind: str, bandwidth: int | None, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        FrequencyFilter(kind, (8, 12), bandwidth)  # type: ignore[arg-type]
