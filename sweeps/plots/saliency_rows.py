"""A picture of images and of maps over them, with the objects' outlines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from hsplid_core.data import ImageSet
from hsplid_core.data.batch import Batch

_OUTLINE = "#00E5FF"
_INCHES = 1.7


def example_positions(images: ImageSet, count: int) -> Tensor:
    """Choose the first images of each class in turn: positions, int64, at most `count`."""
    order = [(images.labels == label).nonzero().squeeze(1) for label in images.labels.unique()]
    turns = [own[turn] for turn in range(count) for own in order if turn < len(own)]
    return torch.stack(turns[:count])


def draw_maps(
    batch: Batch,
    maps: Mapping[str, Tensor],
    class_names: Sequence[str],
    *,
    title: str | None = None,
) -> Figure:
    """Draw one row for each image: the image, and its maps.

    Args:
        batch: The images, and the outlines' masks.
        maps: Values in [0, 1] by the name of their column, [B, H, W] each.
        class_names: Names of the rows' classes.
        title: What is written above.
    """
    n_rows, columns = len(batch.target), ["image", *maps]
    # As wide as the page at most: with many columns, the pictures get smaller.
    size = (_INCHES * len(columns), _INCHES * n_rows + (0.3 if title is None else 0.6))
    figure = Figure(figsize=size, dpi=110, layout="constrained", facecolor="white")
    if title is not None:
        figure.suptitle(title, fontsize=10, parse_math=False)
    axes = figure.subplots(n_rows, len(columns), squeeze=False)
    for row in range(n_rows):
        photo = batch.image[row].permute(1, 2, 0).squeeze(-1).numpy()
        for place, name in zip(axes[row], columns, strict=True):
            if name == "image":
                place.imshow(photo, cmap="gray", vmin=0, vmax=1)
                label = class_names[int(batch.target[row])]
                place.set_ylabel(label, fontsize=9, parse_math=False)
            else:
                place.imshow(maps[name][row].numpy(), cmap="inferno", vmin=0, vmax=1)
            if batch.mask is not None:
                outline = batch.mask[row].reshape(photo.shape[:2]).float().numpy()
                if outline.min() < 0.5 < outline.max():  # else there is none, and a warning
                    place.contour(outline, levels=[0.5], colors=_OUTLINE, linewidths=1)
            place.set_xticks([])
            place.set_yticks([])
            if row == 0:
                place.set_title(name, fontsize=9)
    return figure
