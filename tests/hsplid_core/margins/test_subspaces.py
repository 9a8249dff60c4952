"""Windows of frequencies are orthonormal bases, and never written out as such."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hsplid_core.errors import ConfigError
from hsplid_core.frequency import FrequencyFilter
from hsplid_core.margins import Subspaces, diagonal_bands, diagonal_blocks, grid_blocks
from tests.hsplid_core.margins.published import dense_block, waves_of

ALL = {
    "diagonal blocks": diagonal_blocks((12, 12), size=4, step=3),
    "grid blocks": grid_blocks((12, 8), size=4, step=4),
    "bands": diagonal_bands((12, 9), size=5),
}


@pytest.fixture(params=sorted(ALL))
def subspaces(request: pytest.FixtureRequest) -> Subspaces:
    return ALL[request.param]


def images(subspaces: Subspaces, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, 2, *subspaces.image_size, dtype=torch.float64, generator=generator)


def test_the_waves_of_a_subspace_are_orthonormal(subspaces: Subspaces) -> None:
    for subspace in range(len(subspaces)):
        waves = waves_of(subspaces, subspace).flatten(1)
        assert len(waves) == int(subspaces.kept[subspace].sum())
        torch.testing.assert_close(waves @ waves.T, torch.eye(len(waves), dtype=torch.float64))


def test_coordinates_are_products_with_the_waves(subspaces: Subspaces) -> None:
    x = images(subspaces, 3)
    every = subspaces.all_coordinates(x)
    for subspace in range(len(subspaces)):
        waves = waves_of(subspaces, subspace)
        expected = torch.einsum("dhw,bchw->bcd", waves, x)
        found = every[:, :, subspace][..., subspaces.kept[subspace]]
        torch.testing.assert_close(found, expected)
        assert not every[:, :, subspace][..., ~subspaces.kept[subspace]].any()


def test_each_image_may_have_a_subspace_of_its_own(subspaces: Subspaces) -> None:
    which = torch.tensor([len(subspaces) - 1, 0, 1])
    x = images(subspaces, 3)
    own = subspaces.coordinates(x, which)
    torch.testing.assert_close(own, subspaces.all_coordinates(x)[torch.arange(3), :, which])
    # Back and forth is a projection, and an orthogonal one.
    projected = subspaces.image_of(own, which)
    torch.testing.assert_close(subspaces.coordinates(projected, which), own)
    torch.testing.assert_close(projected.norm(), own.norm())
    assert abs(float(((x - projected) * projected).sum())) < 1e-10


def test_a_diagonal_block_is_the_papers_matrix() -> None:
    blocks = diagonal_blocks((12, 12), size=4, step=3)
    assert blocks.labels == ("000-003", "003-006", "006-009")
    x = images(blocks, 1)
    for subspace, start in enumerate((0, 3, 6)):
        basis = dense_block(12, 2, start, 4)
        expected = (basis.T @ x.flatten()).view(2, 4, 4)
        torch.testing.assert_close(blocks.all_coordinates(x)[0, :, subspace], expected)
        projected = blocks.image_of(expected.unsqueeze(0), torch.tensor([subspace]))
        torch.testing.assert_close(projected.flatten(), basis @ (basis.T @ x.flatten()))


@pytest.mark.parametrize("kind", ["grid blocks", "bands"])
def test_what_tiles_all_frequencies_adds_up_to_the_image(kind: str) -> None:
    subspaces = ALL[kind]
    x = images(subspaces, 1)
    which = torch.arange(len(subspaces))
    parts = subspaces.image_of(subspaces.all_coordinates(x)[0].transpose(0, 1), which)
    torch.testing.assert_close(parts.sum(0), x[0])


def test_the_first_block_is_a_low_pass() -> None:
    blocks = diagonal_blocks((12, 12), size=4, step=4)
    x = images(blocks, 2)
    first = torch.zeros(2, dtype=torch.int64)
    torch.testing.assert_close(
        blocks.image_of(blocks.coordinates(x, first), first),
        FrequencyFilter("lowpass", (12, 12), 4)(x),
    )


def test_labels_and_frequencies_rise() -> None:
    bands = diagonal_bands((4, 4), size=3)
    assert bands.labels == ("000-002", "003-005", "006-006")
    assert bands.frequencies == pytest.approx((8 / 6 / 6, (4 * 3 + 3 * 4 + 2 * 5) / 9 / 6, 1.0))
    grid = grid_blocks((4, 4), size=2, step=2)
    assert grid.labels == (
        "000-001_000-001",
        "000-001_002-003",
        "002-003_000-001",
        "002-003_002-003",
    )
    assert grid.frequencies == pytest.approx((1 / 6, 0.5, 0.5, 5 / 6))
    assert diagonal_blocks((1, 1), size=1, step=1).frequencies == (0.0,)


def test_large_images_need_no_dense_basis() -> None:
    blocks = diagonal_blocks((224, 224), size=16, step=16)
    parts = (blocks.row_waves, blocks.column_waves, blocks.u, blocks.v, blocks.kept)
    held = sum(part.numel() for part in parts)
    assert len(blocks) == 14
    assert held < 224 * 224 * 3


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: diagonal_blocks((8, 12), size=9, step=1), "size is 9: .* 8x12 has 1 to 8"),
        (lambda: grid_blocks((8, 8), size=0, step=1), "size is 0"),
        (lambda: diagonal_blocks((8, 8), size=2, step=0), "step is 0"),
        (lambda: diagonal_bands((8, 8), size=0), "size is 0"),
        (
            lambda: diagonal_bands((8, 8), size=2).like(torch.zeros(1, 3, 8, 9)),
            "images are 8x9: these subspaces are of images of 8x8",
        ),
    ],
)
def test_what_does_not_fit_is_named(make: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()  # type: ignore[operator]
