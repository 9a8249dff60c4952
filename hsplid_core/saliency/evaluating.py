"""Attributions of a model over a set of images, scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

from hsplid_core.attacks import Model, frozen
from hsplid_core.data.evaluation_batches import Images, choose_positions, read_batches
from hsplid_core.errors import ConfigError
from hsplid_core.saliency.attributions import AttributionSettings, attribute, find_attribution
from hsplid_core.saliency.scores import SCORES, Explained, check_scores


@dataclass(frozen=True, kw_only=True)
class SaliencyReport:
    """Mean scores of several attribution methods on the same images.

    Attributes:
        means: Mean of each score by (method, score); absent where no image has that score.
        n_images: Images.
        n_empty_masks: Images whose mask is empty, or missing; they have no score against it.
    """

    means: Mapping[tuple[str, str], float]
    n_images: int
    n_empty_masks: int


def evaluate_saliency(
    model: Model,
    images: Images,
    *,
    methods: Sequence[str],
    scores: Sequence[str],
    settings: AttributionSettings | None = None,
    target: Literal["label", "predicted"] = "label",
    patches: int = 8,
    radius: float = 0.05,
    device: torch.device | str = "cpu",
    max_images: int | None = None,
) -> SaliencyReport:
    """Attribute a model's answers on a set of images, and score the attributions.

    Args:
        model: Pixels to logits, on `device`.
        images: The images, their classes and their object masks.
        methods: Keys of `ATTRIBUTIONS`, at least one.
        scores: Keys of `SCORES`.
        settings: Of the attributions; also batch size, and points of the curves (its `steps`).
        target: Attribute the score of the image's label or of the model's answer.
        patches: Patches along a side, for `patch_gini` and `zero_patches`.
        radius: Most that a pixel changes under the noise of `stability`.
        device: Where the batches are put.
        max_images: Most images, the same for every seed; None takes all.

    Returns:
        The mean of every score of every method.

    Raises:
        ConfigError: A name is unknown, or a score needs masks that the images lack.
        DataError: There is no image.
        TrainingDivergedError: An attribution is NaN or infinite.
    """
    if not methods:
        raise ConfigError("methods is empty: name at least one attribution")
    for method in methods:
        find_attribution(method)
    check_scores(scores, has_masks=True)
    settings = settings or AttributionSettings()
    positions = choose_positions(images, max_images)
    sums = torch.zeros(len(methods), len(scores), dtype=torch.float64, device=device)
    counts = torch.zeros_like(sums)
    n_empty = 0
    for batch in read_batches(images, positions, settings.batch_size, device):
        check_scores(scores, has_masks=batch.mask is not None)
        # Of attention in [0, 1] the object is what has more than half of it.
        mask = None if batch.mask is None else batch.mask > 0.5
        n_empty += len(batch.target) if mask is None else int((~mask.flatten(1).any(1)).sum())
        attributed = batch.target
        if target == "predicted":
            with frozen(model), torch.no_grad():
                attributed = model(batch.image).argmax(1)
        for row, method in enumerate(methods):
            attribution = partial(
                attribute, model, target=attributed, method=method, settings=settings
            )
            explained = Explained(
                model=model,
                image=batch.image,
                target=attributed,
                attribution=attribution(batch.image),
                mask=mask,
                steps=settings.steps,
                patches=patches,
                attribute=attribution,
                index=batch.index,
                radius=radius,
            )
            for column, score in enumerate(scores):
                values = SCORES[score](explained).double()
                sums[row, column] += values.nansum()
                counts[row, column] += values.isfinite().sum()
    means = {
        (method, score): float(sums[row, column] / counts[row, column])
        for row, method in enumerate(methods)
        for column, score in enumerate(scores)
        if counts[row, column] > 0
    }
    return SaliencyReport(means=means, n_images=len(positions), n_empty_masks=n_empty)
