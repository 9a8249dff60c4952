"""Saliency of example images as one picture, with the object's outline."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from hsplid_core.attacks import frozen
from hsplid_core.bucket_path import AnyPath
from hsplid_core.data import ImageSet, load
from hsplid_core.data.batch import Batch
from hsplid_core.errors import CheckpointError
from hsplid_core.saliency import agg_clip, simple_gradient
from sweeps.plots.saliency_rows import draw_maps, example_positions
from trainables.config import TrialConfig
from trainables.trial import initial_model

_ROWS = 6


@dataclass(frozen=True, kw_only=True)
class SaliencyGrid:
    """A picture of saliency maps, and how much of each lies on the object.

    Attributes:
        png: The picture, base64.
        inside: Share of the saliency that lies inside the masks, by model: a mean over the images
            of the picture; empty without masks.
        n_images: Number of example images.
        left_out: Why models are not in it whose checkpoints cannot be used, by model.
    """

    png: str
    inside: Mapping[str, float]
    n_images: int
    left_out: Mapping[str, str]


def saliency_grid(models: Mapping[str, TrialConfig]) -> SaliencyGrid:
    """Draw the simple gradient of each model's answer on some validation images.

    Args:
        models: Name to a configuration whose initial weights are the trained ones; all with the
            same data.

    Raises:
        SaliencyError: The data is missing, or no checkpoint can be used.
    """
    first = next(iter(models.values()))
    images = load(first.data, "val")
    batch = images.batch(example_positions(images, _ROWS))
    maps: dict[str, Tensor] = {}
    left_out: dict[str, str] = {}
    for name, config in models.items():
        try:
            maps[name] = _heat(config, images, batch)
        except CheckpointError as error:
            left_out[name] = str(error)
    if not maps:
        raise CheckpointError("; ".join(left_out.values()))
    inside = {}
    if batch.object_mask is not None:
        inside = {name: _inside(heat, batch.object_mask) for name, heat in maps.items()}
    return SaliencyGrid(
        png=_png(draw_maps(batch, maps, images.class_names)),
        inside=inside,
        n_images=len(batch.target),
        left_out=left_out,
    )


def with_weights(config: TrialConfig, weights: AnyPath) -> TrialConfig:
    """Return a configuration whose model begins with the weights of a checkpoint."""
    return dataclasses.replace(config, initial_weights=weights)


def _heat(config: TrialConfig, images: ImageSet, batch: Batch) -> Tensor:
    model = initial_model(config, images)
    with frozen(model):
        answer = model(batch.image).argmax(1)
        return agg_clip(simple_gradient(model, batch.image, answer), per_image=True)


def _inside(heat: Tensor, mask: Tensor) -> float:
    masks = mask.reshape(heat.shape)
    shares = (heat * masks).sum((1, 2)) / heat.sum((1, 2)).clamp(min=1e-12)
    return float(shares.mean())


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()
