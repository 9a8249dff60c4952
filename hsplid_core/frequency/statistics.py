"""Mean and spread of filtered images, which are not those of the images."""

from __future__ import annotations

import torch

from hsplid_core._reading import Images, choose_positions, read_batches
from hsplid_core.frequency.filters import FrequencyFilter

_MAX_IMAGES = 2048  # of so many, the statistics stand to three digits


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
