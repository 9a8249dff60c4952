"""Filters of an image's frequencies: flip them, or keep the lowest or the highest.

Source: Ortiz-Jimenez, Modas, Moosavi-Dezfooli and Frossard, Hold me tight!, NeurIPS 2020 (arXiv
2002.06349), sections 3 and 4. Each filter acts on the cosine coefficients of every channel for
itself:

    flip      coefficient (u, v) and (H - 1 - u, W - 1 - v) change places
    lowpass   the b x b lowest stay, the others become 0
    highpass  the b x b highest stay, the others become 0

Each is one matrix along either axis: with D the cosine transform and J the matrix that reverses
an axis, F = D^T J D flips, and D_b^T D_b keeps the frequencies of the rows D_b.

Deviation: the released code takes single images, drops a channel axis of length one and filters
the wrong axes of a batch. Here the shape stays, and any number of axes may stand in front.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from hsplid_core.data.evaluation_batches import Images, choose_positions, read_batches
from hsplid_core.errors import ConfigError
from hsplid_core.frequency.dct import dct_matrix, separable

FilterKind = Literal["flip", "lowpass", "highpass"]
FILTERS: tuple[FilterKind, ...] = get_args(FilterKind)
_MAX_IMAGES = 2048  # of so many, the statistics stand to three digits


class FrequencyFilter(nn.Module):
    """A filter for images of one size, as two matrices that move with the module.

    Args:
        kind: What happens to the frequencies.
        image_size: Height and width of the images.
        bandwidth: Frequencies kept along either axis; None for a flip, which keeps all.

    Raises:
        ConfigError: The kind is unknown, or the bandwidth does not fit.
    """

    left: Tensor
    right: Tensor

    def __init__(
        self, kind: FilterKind, image_size: tuple[int, int], bandwidth: int | None = None
    ) -> None:
        super().__init__()
        self.kind = kind
        self.image_size = image_size
        self.bandwidth = bandwidth
        left, right = _axis_matrices(kind, image_size, bandwidth)
        # They follow from the configuration, so a checkpoint need not keep them.
        self.register_buffer("left", left.float(), persistent=False)
        self.register_buffer("right", right.float(), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Filter images [..., H, W]; same shape, not clipped to any range."""
        left, right = self.left.to(image.dtype), self.right.to(image.dtype)
        # In half precision the large mean of an image would drown its fine detail.
        with torch.autocast(image.device.type, enabled=False):
            return separable(left, image, right)

    def undo(self, filtered: Tensor) -> Tensor:
        """Return the image that is filtered to this one.

        Args:
            filtered: [..., H, W]. A flip undoes itself; after another filter the image that has
                nothing at the lost frequencies is the same one.
        """
        return self(filtered) if self.kind == "flip" else filtered


def filtered_statistics(
    images: Images,
    filter_: FrequencyFilter,
    *,
    max_images: int = _MAX_IMAGES,
    batch_size: int = 256,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Measure each channel behind a filter, for the network's normalisation.

    Args:
        images: Training images.
        filter_: What they pass.
        max_images: Images that are looked at, the same in every trial.
        batch_size: Images filtered at once; does not change the result.

    Returns:
        Mean and standard deviation of each channel, over images and pixels; a constant channel
        gets the deviation 1.

    Raises:
        DataError: There is no image.
    """
    sums, squares, count = torch.zeros(()), torch.zeros(()), 0
    for batch in read_batches(images, choose_positions(images, max_images), batch_size, "cpu"):
        filtered = filter_(batch.image).double()
        sums = sums + filtered.sum((0, 2, 3))
        squares = squares + filtered.square().sum((0, 2, 3))
        count += filtered[:, 0].numel()
    mean = sums / count
    deviation = (squares / count - mean.square()).clamp(min=0).sqrt()
    # What rounding leaves of a constant channel must not be blown up to unit variance.
    deviation = deviation.where(deviation > 1e-6, 1.0)
    return tuple(mean.tolist()), tuple(deviation.tolist())


def _axis_matrices(
    kind: FilterKind, image_size: tuple[int, int], bandwidth: int | None
) -> tuple[Tensor, Tensor]:
    """What a filter does along the rows' and the columns' axis, float64, [H, H] and [W, W]."""
    height, width = image_size
    if kind not in FILTERS:
        raise ConfigError(f"the filter is {kind!r}: use one of {', '.join(FILTERS)}")
    if kind == "flip":
        if bandwidth is not None:
            raise ConfigError(f"bandwidth is {bandwidth}: leave it out, a flip keeps everything")
        left, right = (dct_matrix(size).mT @ dct_matrix(size).flip(0) for size in image_size)
        return left, right
    if bandwidth is None or not 1 <= bandwidth <= min(image_size):
        raise ConfigError(
            f"bandwidth is {bandwidth}: {kind} keeps 1 to {min(image_size)} frequencies of images "
            f"of {height}x{width}"
        )
    kept = slice(bandwidth) if kind == "lowpass" else slice(-bandwidth, None)
    left, right = (dct_matrix(size)[kept].mT @ dct_matrix(size)[kept] for size in image_size)
    return left, right
