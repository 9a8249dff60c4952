"""How the logits of the likeliest classes change against the top one's, at many points at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def class_differences(
    model: Callable[[Tensor], Tensor], point: Tensor, classes: Tensor
) -> tuple[Tensor, Tensor]:
    """Differentiate all gaps between rivals and top class in one vectorised backward pass.

    Args:
        model: Images [P, C, H, W] to logits, each image for itself.
        point: Where, [P, C, H, W].
        classes: Top class of each, then its rivals, int64, [P, K].

    Returns:
        The gaps f_k, a rival's logit minus the top class's, [P, K - 1]; and their gradients in
        the points, [K - 1, P, C, H, W].
    """
    point = point.detach().requires_grad_()
    with torch.enable_grad():
        picked = model(point).gather(1, classes)
        gaps = picked[:, 1:] - picked[:, :1]
        # Row k asks each point for the gradient of its own gap k: images do not mix in a model.
        rows = torch.eye(gaps.shape[1], dtype=gaps.dtype, device=gaps.device)
        (gradients,) = torch.autograd.grad(
            gaps,
            point,
            grad_outputs=rows.unsqueeze(1).expand(-1, len(point), -1),
            is_grads_batched=True,
        )
    return gaps.detach(), gradients
