"""Second derivatives of convolutions: a gradient in the images, and its gradient in the weights.

S-IB's loss depends on a gradient in the images. With y = W * x, g what comes back to y, and
r = W^T g what goes on to x, the loss has a gradient v in r, of which

    dL/dg = W * v        dL/dW = the same sum over g and v as a usual step's over g and x.

torch computes the latter as one convolution whose kernel is as large as the image, several times
slower than the gradient in the weights that it is. Here it is computed as such. The numbers differ
by rounding.

So a step costs six products a layer where a usual one costs three: y, r, W * v, the gradients in
x, and two in W. Forward over reverse (the derivative along v of the gradient in W) would need
eight, for it carries image and tangent through both passes after r is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class _Geometry(NamedTuple):
    stride: list[int]
    padding: list[int]
    dilation: list[int]
    groups: int


class TwiceDifferentiable(TorchFunctionMode):
    """While it is on, convolutions are such that a gradient in images is differentiated fast.

    What is computed under it gives gradients in images, with a graph, and gradients in parameters
    without one; leaves that are images get none of the latter pass.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Replace torch's convolution in two dimensions, and nothing else."""
        if func is torch.conv2d and not kwargs and len(args) == 7 and _is_plain(args[4]):
            return _convolve(*args)
        return func(*args, **(kwargs or {}))


def _is_plain(padding: object) -> bool:
    return not isinstance(padding, str)


def _convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    device = x.device.type
    if torch.is_autocast_enabled(device):
        # As autocast would, but outside of the function, whose gradients then have its dtype.
        dtype = torch.get_autocast_dtype(device)
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    geometry = _Geometry(list(stride), list(padding), list(dilation), groups)
    result: Tensor = _Convolution.apply(x, weight, bias, geometry)
    return result


class _Convolution(torch.autograd.Function):
    """y = W * x + b."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: _Geometry
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return torch.conv2d(x, weight, bias, *geometry)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (grad,) = grads
        if torch.is_grad_enabled():
            # With a graph, only the images' gradient is asked for.
            return _InputGradient.apply(grad, x, weight, ctx.geometry), None, None, None
        wanted = (ctx.needs_input_grad[0] and not x.is_leaf, *ctx.needs_input_grad[1:3])
        return *_backward(grad, x, weight, ctx.geometry, wanted), None


class _InputGradient(torch.autograd.Function):
    """r = W^T g; differentiable once more."""

    @staticmethod
    def forward(
        ctx: Any, grad: Tensor, x: Tensor, weight: Tensor, geometry: _Geometry
    ) -> Tensor | None:
        ctx.save_for_backward(grad, weight)
        ctx.geometry = geometry
        return _backward(grad, x, weight, geometry, (True, False, False))[0]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad, weight = ctx.saved_tensors
        (v,) = grads
        of_grad = torch.conv2d(v, weight, None, *ctx.geometry)
        of_weight = None
        if ctx.needs_input_grad[2]:
            of_weight = _backward(grad, v, weight, ctx.geometry, (False, True, False))[1]
        return of_grad, None, of_weight, None


def _backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    geometry: _Geometry,
    wanted: tuple[bool, bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the gradients in x, W and b, as far as they are wanted."""
    stride, padding, dilation, groups = geometry
    sizes = [weight.shape[0]] if wanted[2] else None
    found: tuple[Tensor | None, Tensor | None, Tensor | None] = (
        torch.ops.aten.convolution_backward(
            grad, x, weight, sizes, stride, padding, dilation, False, [0, 0], groups, wanted
        )
    )
    return found
