"""The fast gradient sign method: one step of the full radius from the image itself.

Reference: Goodfellow et al. 2015, Explaining and Harnessing Adversarial Examples
(arXiv 1412.6572).
"""

from __future__ import annotations

import torch
from torch import Tensor

from hsplid_core.attacks.attack import Model
from hsplid_core.attacks.balls import Norm
from hsplid_core.attacks.pgd import PGD, pgd


def fgsm_settings(epsilon: float, *, norm: Norm = "linf", targeted: bool = False) -> PGD:
    """Return FGSM as the special case of PGD that it is.

    Args:
        epsilon: Radius of the ball in pixel units, above 0; at most 1 in L-infinity.
        norm: "linf", or "l2", where the step is the gradient at length epsilon.
        targeted: Lead to the classes given, instead of away from them.

    Raises:
        ConfigError: The radius is out of range.
    """
    return PGD(
        epsilon=epsilon,
        steps=1,
        relative_step=1.0,
        norm=norm,
        random_start=False,
        targeted=targeted,
    )


def fgsm(
    model: Model,
    image: Tensor,
    target: Tensor,
    allowed: Tensor,
    epsilon: float,
    *,
    norm: Norm = "linf",
    targeted: bool = False,
) -> Tensor:
    """Move every allowed pixel by epsilon along the sign of the cross-entropy's gradient.

    Args:
        model: Pixels to logits; a module in eval mode.
        image: Pixels in [0, 1], float, [B, C, H, W]; not changed.
        target: True classes, or those to reach, int64, [B].
        allowed: True where a pixel may change, bool, [B, 1, H, W].
        epsilon: Radius in pixel units.
        norm: As in `fgsm_settings`.
        targeted: As in `fgsm_settings`.

    Returns:
        The attacked images, clipped to [0, 1], [B, C, H, W].

    Raises:
        ConfigError: The radius is out of range, or the model is in training mode.
        DataError: The tensors do not fit together, or pixels lie outside [0, 1].
        TrainingDivergedError: The model's logits are NaN or infinite.

    Reference:
        Goodfellow et al. 2015 (arXiv 1412.6572), equation in section 4.
    """
    index = torch.arange(len(image), device=image.device)  # unused: nothing here is random
    settings = fgsm_settings(epsilon, norm=norm, targeted=targeted)
    return pgd(model, image, target, allowed, settings, seed=0, index=index)
