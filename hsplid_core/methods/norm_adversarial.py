"""Norm-regularised adversarial training: images perturbed so that gradients become structured.

Source: Gong, Dou and Farnia, Structured Gradient-based Interpretations via Norm-Regularized
Adversarial Training, CVPR 2024 (arXiv 2404.04647). The formulas are in ``_norm_ascent``. As in
the released code, epsilons are in units of normalised images, nothing is clipped, and the gradient
is taken in training mode: batch normalisation sees the clean images too, and each of the extra
forward passes moves its running statistics.

A batch holds pixels, so the perturbed images are turned back into pixels, where they may leave
[0, 1]; the model then normalises them to what the perturbation made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor

from hsplid_core.config import STRICT, check
from hsplid_core.data.batch import Batch
from hsplid_core.methods._input_gradient import input_gradient
from hsplid_core.methods._norm_attack import (
    Gradient,
    elastic_fast,
    elastic_iterative,
    group_fast,
    group_iterative,
    l1_fast,
    l1_iterative,
)
from hsplid_core.methods.objective import Shape, full_precision
from hsplid_core.models.masked import MaskedClassifier

Ascent = Callable[[Tensor, Gradient], Tensor]
"""Normalised images and their gradient to perturbed normalised images, [B, C, H, W] each."""

_MODES = ("standard", "l1", "elastic", "group")


@dataclass(frozen=True, kw_only=True)
class NormAdversarialConfig:
    """Hyperparameters; the defaults are the authors' example for Imagenette.

    Attributes:
        mode: Norm that regularises the change; ``standard`` trains on clean images.
        training: One step (fast) or several (iterative).
        epsilon: Size of the change in normalised units: per value (l1, elastic) or per patch
            and channel as an L2 norm (group). 0 leaves the images alone, except for elastic.
        epsilon2: Weight of the gradient itself (elastic only); above 0 where it is iterative.
        patch: Side length in pixels of the patches that belong together (group only); it must
            divide the image's sides. The authors' 14 cuts 224 pixels into 16.
        iterations: Steps where training is iterative.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    mode: Literal["standard", "l1", "elastic", "group"] = "elastic"
    training: Literal["fast", "iterative"] = "fast"
    epsilon: float = 0.01
    epsilon2: float = 0.05
    patch: int = 14
    iterations: int = 7

    def __post_init__(self) -> None:
        check(
            [
                (self.mode in _MODES, f"mode is {self.mode}: use one of {', '.join(_MODES)}"),
                (
                    self.training in ("fast", "iterative"),
                    f"training is {self.training}: use fast or iterative",
                ),
                (self.epsilon >= 0, f"epsilon is {self.epsilon}: use 0 or more"),
                (self.epsilon2 >= 0, f"epsilon2 is {self.epsilon2}: use 0 or more"),
                (
                    (self.mode, self.training) != ("elastic", "iterative") or self.epsilon2 > 0,
                    f"epsilon2 is {self.epsilon2}: iterative elastic training divides by it, "
                    "use a value above 0 or mode l1",
                ),
                (self.patch >= 1, f"patch is {self.patch}: use at least 1 pixel"),
                (self.iterations >= 1, f"iterations is {self.iterations}: use at least 1"),
            ]
        )

    def build(self, shape: Shape) -> InputPerturbation | None:
        """Make the perturbation; None where the images stay as they are."""
        strength = max(self.epsilon, self.epsilon2) if self.mode == "elastic" else self.epsilon
        if self.mode == "standard" or not strength:
            return None
        return InputPerturbation(self.ascent())

    def ascent(self) -> Ascent:
        """Bind this configuration to its formula; not for ``standard``, which has none."""
        eps, eps2, patch, steps = self.epsilon, self.epsilon2, self.patch, self.iterations
        ascents: dict[tuple[str, str], Ascent] = {
            ("l1", "fast"): partial(l1_fast, epsilon=eps),
            ("l1", "iterative"): partial(l1_iterative, epsilon=eps, iterations=steps),
            ("elastic", "fast"): partial(elastic_fast, epsilon=eps, epsilon2=eps2),
            ("elastic", "iterative"): partial(
                elastic_iterative, epsilon=eps, epsilon2=eps2, iterations=steps
            ),
            ("group", "fast"): partial(group_fast, epsilon=eps, patch=patch),
            ("group", "iterative"): partial(
                group_iterative, epsilon=eps, patch=patch, iterations=steps
            ),
        }
        return ascents[self.mode, self.training]


class InputPerturbation:
    """Moves a batch's images along an ascent, with the model in whatever mode it is.

    Args:
        ascent: What to do to the normalised images.
    """

    def __init__(self, ascent: Ascent) -> None:
        self._ascent = ascent

    def __call__(self, model: MaskedClassifier, batch: Batch) -> Batch:
        """Return the batch with perturbed images in pixel space, not clipped to [0, 1].

        Raises:
            ConfigError: The patches do not tile the images.
        """
        inputs = model.normalise(batch.image)
        perturbed = self._ascent(inputs, loss_gradient(model, batch.target))
        return replace(batch, image=model.denormalise(perturbed))


def loss_gradient(model: MaskedClassifier, target: Tensor) -> Gradient:
    """Return the function from normalised images to the gradient of their summed cross-entropy.

    Args:
        model: Its parameters' gradients stay as they are.
        target: Classes, [B].
    """

    def gradient(inputs: Tensor) -> Tensor:
        inputs = inputs.detach().requires_grad_()
        logits = model.predict(model.encode_normalised(inputs))
        loss = F.cross_entropy(full_precision(logits), target, reduction="sum")
        return input_gradient(loss, inputs)

    return gradient
