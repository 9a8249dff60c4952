"""Crops of batches against torchvision's, and where random ones lie."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import CenterCrop

from hsplid_core.data.batch import Batch
from hsplid_core.data.crops import centre_crop, random_crop


def placed(count: int, height: int, width: int) -> Batch:
    """Images whose two channels tell the row and the column, with a mask of every third row."""
    rows = torch.arange(height).view(1, 1, -1, 1).expand(count, 1, height, width)
    columns = torch.arange(width).view(1, 1, 1, -1).expand(count, 1, height, width)
    image = torch.cat([rows, columns], dim=1).float()
    index = torch.arange(count)
    return Batch(image=image, target=index, mask=rows % 3 == 0, index=index)


@pytest.mark.parametrize(("height", "width"), [(9, 9), (8, 11), (5, 6)])
def test_the_middle_is_torchvisions(height: int, width: int) -> None:
    batch = placed(2, height, width)
    found = centre_crop(batch, 5)
    assert torch.equal(found.image, CenterCrop(5)(batch.image))
    assert found.mask is not None
    assert torch.equal(found.mask, found.image[:, :1] % 3 == 0)


def test_random_crops_lie_anywhere_and_masks_with_them() -> None:
    batch = placed(600, 7, 6)
    found = random_crop(batch, 4, torch.Generator().manual_seed(0))
    first = found.image[:, :, 0, 0].long()
    inside = first.T.reshape(2, -1, 1, 1) + torch.stack(
        torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")
    ).unsqueeze(1)
    assert torch.equal(found.image, inside.transpose(0, 1).float())
    assert found.mask is not None
    assert torch.equal(found.mask, found.image[:, :1] % 3 == 0)
    # Four rows and three columns to begin at, each place about 50 times.
    counts = torch.bincount(first[:, 0] * 3 + first[:, 1], minlength=12)
    assert len(counts) == 12
    assert counts.min() > 25
