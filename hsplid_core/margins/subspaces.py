"""Subspaces of images spanned by cosine waves, as windows of frequencies and never as bases.

Source: Ortiz-Jimenez et al. 2020 (arXiv 2002.06349), section 3. Symbols: S subspaces of images
[C, H, W]; a subspace holds, in every channel, the waves whose row frequency u and column frequency
v lie in its window, of k_1 x k_2 frequencies. With D the orthonormal cosine transform of an axis,
R = D_H[u's] and Q = D_W[v's],

    coordinates of w    c = R w Q^T = (D_H w D_W^T)[u's, v's]      [C, k_1, k_2]
    back to an image    P w = R^T c Q                              [C, H, W]

which is exactly P_s^T w and P_s P_s^T w for the paper's matrix P_s of basis vectors, whose
C H W x C k_1 k_2 entries nothing here ever holds: a basis is the list of its frequencies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from hsplid_core.errors import ConfigError
from hsplid_core.frequency.dct import dct_matrix, separable


@dataclass(frozen=True, kw_only=True)
class Subspaces:
    """S subspaces of images of one size, each the same in every channel.

    Attributes:
        row_waves: Cosine transform of the rows' axis, [H, H].
        column_waves: Cosine transform of the columns' axis, [W, W].
        u: Row frequencies of each window, int64, [S, k_1].
        v: Column frequencies of each window, int64, [S, k_2].
        kept: Which of the window's frequencies belong to the subspace, bool, [S, k_1, k_2].
        labels: A name for each, such as ``008-015`` for the frequencies of a diagonal block.
        frequencies: Mean of u + v over a subspace, as a share of its largest value H + W - 2.
    """

    row_waves: Tensor
    column_waves: Tensor
    u: Tensor
    v: Tensor
    kept: Tensor
    labels: tuple[str, ...]
    frequencies: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return len(self.row_waves), len(self.column_waves)

    def like(self, image: Tensor) -> Subspaces:
        """Return the same subspaces in the type and on the device of some images.

        Raises:
            ConfigError: The images have another height or width.
        """
        if tuple(image.shape[-2:]) != self.image_size:
            raise ConfigError(
                f"images are {image.shape[-2]}x{image.shape[-1]}: these subspaces are of images "
                f"of {self.image_size[0]}x{self.image_size[1]}"
            )
        return replace(
            self,
            row_waves=self.row_waves.to(image),
            column_waves=self.column_waves.to(image),
            u=self.u.to(image.device),
            v=self.v.to(image.device),
            kept=self.kept.to(image.device),
        )

    def all_coordinates(self, images: Tensor) -> Tensor:
        """Project every image onto every subspace.

        Args:
            images: [..., H, W].

        Returns:
            Coordinates, [..., S, k_1, k_2].
        """
        # One transform serves all subspaces, however much they overlap.
        every = separable(self.row_waves, images, self.column_waves)
        return every[..., self.u.unsqueeze(2), self.v.unsqueeze(1)].mul_(self.kept)

    def coordinates(self, images: Tensor, which: Tensor) -> Tensor:
        """Project each image onto a subspace of its own.

        Args:
            images: [P, ..., H, W].
            which: The subspaces, int64, [P].

        Returns:
            Coordinates, [P, ..., k_1, k_2].
        """
        between = (1,) * (images.ndim - 3)
        rows, columns, kept = (
            part[which].view(len(which), *between, *part.shape[1:])
            for part in (*self._windows_waves, self.kept)
        )
        return separable(rows, images, columns).mul_(kept)

    def image_of(self, coordinates: Tensor, which: Tensor) -> Tensor:
        """Turn coordinates back into images.

        Args:
            coordinates: [P, C, k_1, k_2]; those outside a subspace must be 0.
            which: The subspaces, int64, [P].

        Returns:
            Images, [P, C, H, W].
        """
        rows, columns = (waves[which].unsqueeze(1) for waves in self._windows_waves)
        return separable(rows.mT, coordinates, columns.mT)

    @property
    def _windows_waves(self) -> tuple[Tensor, Tensor]:
        """R and Q of every subspace, [S, k_1, H] and [S, k_2, W]."""
        return self.row_waves[self.u], self.column_waves[self.v]


def diagonal_blocks(image_size: tuple[int, int], *, size: int, step: int) -> Subspaces:
    """Square windows that slide along the diagonal, from low to high frequencies in both axes.

    Args:
        image_size: Height and width of the images.
        size: Frequencies k of a window along either axis (paper: 8 for images of 28 and 32
            pixels, 16 for 224).
        step: Frequencies from one window to the next.

    Returns:
        Windows at 0, step, 2 step and so on, as many as fit the shorter side.

    Raises:
        ConfigError: No such window fits, or the step is below 1.
    """
    _check_window(image_size, size, step)
    starts = range(0, min(image_size) - size + 1, step)
    return _windows(image_size, size, [(start, start) for start in starts], _range_label)


def grid_blocks(image_size: tuple[int, int], *, size: int, step: int) -> Subspaces:
    """Square windows at every place of a grid over all frequencies.

    Args:
        image_size: Height and width of the images.
        size: Frequencies of a window along either axis.
        step: Frequencies from one window to the next, along either axis.

    Returns:
        The windows row by row; those with ``size = step`` are orthogonal to each other.

    Raises:
        ConfigError: No such window fits, or the step is below 1.
    """
    _check_window(image_size, size, step)
    u_starts, v_starts = (range(0, side - size + 1, step) for side in image_size)
    places = [(u, v) for u in u_starts for v in v_starts]
    return _windows(image_size, size, places, _place_label)


def diagonal_bands(image_size: tuple[int, int], *, size: int) -> Subspaces:
    """Bands across the diagonal: all waves whose u + v lies in a range, whatever their direction.

    Args:
        image_size: Height and width of the images.
        size: Values of u + v in a band; the last band may have fewer.

    Returns:
        Bands from low to high frequencies, orthogonal to each other and together everything.

    Raises:
        ConfigError: The size is below 1.
    """
    height, width = image_size
    if size < 1:
        raise ConfigError(f"size is {size}: a band has at least 1 frequency")
    total = torch.arange(height).unsqueeze(1) + torch.arange(width)
    starts = range(0, height + width - 1, size)
    kept = torch.stack([(start <= total) & (total < start + size) for start in starts])
    highest = height + width - 2
    return Subspaces(
        row_waves=dct_matrix(height),
        column_waves=dct_matrix(width),
        u=torch.arange(height).expand(len(starts), -1),
        v=torch.arange(width).expand(len(starts), -1),
        kept=kept,
        labels=tuple(_range_label(s, s, min(size, highest + 1 - s)) for s in starts),
        frequencies=tuple(float(total[band].double().mean()) / max(1, highest) for band in kept),
    )


def choose_subspaces(
    kind: Literal["blocks", "grid", "bands"], image_size: tuple[int, int], *, size: int, step: int
) -> Subspaces:
    """Make the subspaces that a configuration names.

    Args:
        kind: ``blocks`` along the diagonal, a ``grid`` of blocks, or ``bands`` across it.
        image_size: Height and width of the images.
        size: Frequencies of a window, or of a band.
        step: From one window to the next; bands lie side by side whatever it is.

    Raises:
        ConfigError: They do not fit the images.
    """
    if kind == "bands":
        return diagonal_bands(image_size, size=size)
    make = diagonal_blocks if kind == "blocks" else grid_blocks
    return make(image_size, size=size, step=step)


def _check_window(image_size: tuple[int, int], size: int, step: int) -> None:
    if not 1 <= size <= min(image_size):
        raise ConfigError(
            f"size is {size}: a window of images of {image_size[0]}x{image_size[1]} has 1 to "
            f"{min(image_size)} frequencies along either axis"
        )
    if step < 1:
        raise ConfigError(f"step is {step}: windows lie at least 1 frequency apart")


def _windows(
    image_size: tuple[int, int],
    size: int,
    places: Sequence[tuple[int, int]],
    label: Callable[[int, int, int], str],
) -> Subspaces:
    height, width = image_size
    first = torch.tensor(places)
    highest = max(1, height + width - 2)
    return Subspaces(
        row_waves=dct_matrix(height),
        column_waves=dct_matrix(width),
        u=first[:, :1] + torch.arange(size),
        v=first[:, 1:] + torch.arange(size),
        kept=torch.ones(len(places), size, size, dtype=torch.bool),
        labels=tuple(label(u, v, size) for u, v in places),
        frequencies=tuple((u + v + size - 1) / highest for u, v in places),
    )


def _range_label(start: int, _: int, size: int) -> str:
    return f"{start:03d}-{start + size - 1:03d}"


def _place_label(u: int, v: int, size: int) -> str:
    return f"{_range_label(u, u, size)}_{_range_label(v, v, size)}"
