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
from dataclasses import replace
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from hsplid_core.config.methods import NormAdversarialConfig
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


def build(config: NormAdversarialConfig, shape: Shape) -> InputPerturbation | None:
    """Make the perturbation; None where the images stay as they are."""
    strength = max(config.epsilon, config.epsilon2) if config.mode == "elastic" else config.epsilon
    if config.mode == "standard" or not strength:
        return None
    return InputPerturbation(ascent(config))


def ascent(config: NormAdversarialConfig) -> Ascent:
    """Bind this configuration to its formula; not for ``standard``, which has none."""
    eps, eps2, patch, steps = config.epsilon, config.epsilon2, config.patch, config.iterations
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
    return ascents[config.mode, config.training]
