"""The gradient of a scalar with respect to a model's normalised inputs."""

from __future__ import annotations

import torch
from torch import Tensor

# float16 ends at 6e-8, and the gradient of a pixel is often smaller. The optimiser's own loss
# scaling comes too late for it.
_FLOAT16_SCALE = 2.0**10


def input_gradient(energy: Tensor, inputs: Tensor, *, create_graph: bool = False) -> Tensor:
    """Differentiate an energy in the inputs, and in nothing else: no parameter's grad is touched.

    Under float16 autocast the energy is scaled up on the way, so that small gradients survive.

    Args:
        energy: Scalar that depends on the inputs.
        inputs: Normalised images that require a gradient, [B, C, H, W].
        create_graph: Whether the result is to be differentiated itself.

    Returns:
        dE/dx, [B, C, H, W]; zeros where the energy does not depend on the inputs.
    """
    device = energy.device.type
    in_float16 = (
        torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16
    )
    scale = _FLOAT16_SCALE if in_float16 else 1.0
    (gradient,) = torch.autograd.grad(energy * scale, inputs, create_graph=create_graph)
    return gradient / scale if in_float16 else gradient
