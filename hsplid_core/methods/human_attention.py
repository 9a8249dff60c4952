"""Adversarial training that follows human attention: gradients shall live on the object.

Source: the CUB variant of norm-regularised adversarial training, Gong, Dou and Farnia, CVPR 2024
(arXiv 2404.04647). Images climb the loss outside the object and descend it inside; the formula is
in ``_norm_ascent``, the conventions are those of ``norm_adversarial``. The released code changes
the batch in place; here it makes a new one.
"""

from __future__ import annotations

from functools import partial

from hsplid_core.config.methods import HumanAttentionConfig
from hsplid_core.data.batch import Batch
from hsplid_core.errors import DataError
from hsplid_core.methods._norm_attack import away_from_the_object
from hsplid_core.methods.norm_adversarial import InputPerturbation
from hsplid_core.methods.objective import Shape
from hsplid_core.models.masked import MaskedClassifier


class HumanAttention:
    """Perturbs images away from the masked object.

    Args:
        epsilon: L2 length of the step, in normalised units.
    """

    def __init__(self, epsilon: float) -> None:
        self._epsilon = epsilon

    def __call__(self, model: MaskedClassifier, batch: Batch) -> Batch:
        """Return the batch with perturbed images in pixel space, not clipped to [0, 1].

        Args:
            model: Whose loss is climbed.
            batch: Its mask is bool, or float in [0, 1] where attention is soft.

        Raises:
            DataError: The batch has no masks.
        """
        if batch.mask is None:
            raise DataError(
                "human_attention needs the objects' masks and this data set has none: choose "
                "another data set, or norm_adversarial"
            )
        ascent = partial(away_from_the_object, epsilon=self._epsilon, mask=batch.mask)
        return InputPerturbation(ascent)(model, batch)


def build(config: HumanAttentionConfig, shape: Shape) -> HumanAttention | None:
    """Make the perturbation; None where epsilon is 0."""
    return HumanAttention(config.epsilon) if config.epsilon else None
