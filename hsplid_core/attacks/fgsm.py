"""The fast gradient sign method: one step of the full radius from the image itself.

Reference: Goodfellow et al. 2015, Explaining and Harnessing Adversarial Examples
(arXiv 1412.6572).
"""

from __future__ import annotations

import torch
from torch import Tensor

from hsplid_core.attacks.attack import Model
from hsplid_core.attacks.pgd import PGD, pgd


def fgsm_settings(epsilon: float) -> PGD:
    """Return FGSM as the special case of PGD that it is.

    Args:
        epsilon: Radius of the L-infinity ball in pixel units, in (0, 1].

    Raises:
        ConfigError: The radius is out of range.
    """
    return PGD(epsilon=epsilon, steps=1, relative_step=1.0, random_start=False)


def fgsm(model: Model, image: Tensor, target: Tensor, allowed: Tensor, epsilon: float) -> Tensor:
    """Move every allowed pixel by epsilon along the sign of the cross-entropy's gradient.

    Args:
        model: Pixels to logits.
        image: Pixels in [0, 1], float, [B, C, H, W]; not changed.
        target: Class indices, int64, [B].
        allowed: True where a pixel may change, bool, [B, 1, H, W].
        epsilon: Radius in pixel units, in (0, 1].

    Returns:
        The attacked images, clipped to [0, 1], [B, C, H, W].

    Raises:
        ConfigError: The radius is out of range.
        DataError: The tensors do not fit together, or pixels lie outside [0, 1].
        TrainingDivergedError: The model's logits are NaN or infinite.

    Reference:
        Goodfellow et al. 2015 (arXiv 1412.6572), equation in section 4.
    """
    index = torch.arange(len(image), device=image.device)  # unused: nothing here is random
    settings = fgsm_settings(epsilon)
    return pgd(model, image, target, allowed, settings, seed=0, index=index)
