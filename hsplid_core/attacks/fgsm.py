"""The fast gradient sign method: one step of the full radius from the image itself.

Reference: Goodfellow et al. 2015, Explaining and Harnessing Adversarial Examples
(arXiv 1412.6572), equation in section 4.
"""

from __future__ import annotations

from hsplid_core.attacks.balls import Norm
from hsplid_core.attacks.pgd import PGD


def fgsm(epsilon: float, *, norm: Norm = "linf", targeted: bool = False) -> PGD:
    """Return FGSM as the special case of PGD that it is.

    Every allowed pixel moves by epsilon along the sign of the cross-entropy's gradient, and is
    clipped to [0, 1].

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
