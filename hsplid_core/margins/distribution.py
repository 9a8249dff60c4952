"""Margins of a whole image set, and what they come to along the frequencies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hsplid_core.attacks import frozen
from hsplid_core.data.evaluation_batches import Images, choose_positions, read_batches
from hsplid_core.margins.deepfool import Classifier, DeepFool
from hsplid_core.margins.subspaces import Subspaces

# Images searched at once: enough to fill the passes through the model, whatever the set's size.
_IMAGES_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class MarginDistribution:
    """The margins of N images in S subspaces, on the CPU.

    Attributes:
        size: Lengths of the perturbations, [N, S].
        fooled: Where they are margins; elsewhere the search gave up, bool, [N, S].
        correct: Whether the model classifies the clean image correctly, bool, [N].
        iterations: Steps of the searches, int64, [N, S].
        positions: Positions of the images in their set, int64, [N].
        labels: Names of the subspaces.
        frequencies: Where they lie between the lowest (0) and the highest frequency (1).
    """

    size: Tensor
    fooled: Tensor
    correct: Tensor
    iterations: Tensor
    positions: Tensor
    labels: tuple[str, ...]
    frequencies: tuple[float, ...]

    def medians(self) -> tuple[float, ...]:
        """Return each subspace's median margin.

        An image without a margin lies farther from the boundary than the search went, so it
        counts as infinitely far: the median is exact as long as half the images have one, and
        infinite else. The released code takes the length of the search instead.
        """
        known = self.size.double().where(self.fooled, torch.inf)
        # The mean of the two middle values, of which either may be infinite.
        ranked = known.sort(dim=0).values
        middle = (ranked[(len(ranked) - 1) // 2] + ranked[len(ranked) // 2]) / 2
        return tuple(middle.tolist())

    @property
    def not_fooled(self) -> float:
        """Share of the searches that found no boundary."""
        return 1 - float(self.fooled.double().mean())


def measure_margins(
    model: Classifier,
    images: Images,
    subspaces: Subspaces,
    settings: DeepFool | None = None,
    *,
    see: Callable[[Tensor], Tensor] | None = None,
    device: torch.device | str = "cpu",
    max_images: int | None = None,
) -> MarginDistribution:
    """Measure the margins of a set's images.

    Args:
        model: Images, as ``see`` makes them, to logits.
        images: The images and their classes.
        subspaces: Where the boundary is looked for.
        settings: Settings of the searches; None takes the paper's.
        see: From pixels to the images whose margins are measured, such as a frequency flip; None
            measures in pixel space.
        device: Where the batches are put.
        max_images: Measure only so many images, the same for every seed; None takes all.

    Returns:
        The margins, in the units of the images as seen.

    Raises:
        ConfigError: ``max_images`` is below 1, or the subspaces do not fit the images.
        DataError: There is no image.
        TrainingDivergedError: The model's logits are NaN or infinite.

    Reference:
        Ortiz-Jimenez et al. 2020 (arXiv 2002.06349), Figures 2 to 5.
    """
    settings = settings or DeepFool()
    positions = choose_positions(images, max_images)
    parts: list[tuple[Tensor, ...]] = []
    with frozen(model):
        for batch in read_batches(images, positions, _IMAGES_AT_ONCE, device):
            seen = batch.image if see is None else see(batch.image)
            found = settings(model, seen, subspaces)
            correct = found.label == batch.target
            part = (found.size, found.fooled, correct, found.iterations)
            parts.append(tuple(tensor.cpu() for tensor in part))
    size, fooled, correct, iterations = (torch.cat(column) for column in zip(*parts, strict=True))
    return MarginDistribution(
        size=size,
        fooled=fooled,
        correct=correct,
        iterations=iterations,
        positions=positions,
        labels=subspaces.labels,
        frequencies=subspaces.frequencies,
    )
