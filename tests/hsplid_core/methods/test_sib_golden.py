"""S-IB against the published code's numbers (golden family sib)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hsplid_core.data.batch import Batch
from hsplid_core.methods import CrossEntropyConfig, Shape, SibConfig, build_objective
from hsplid_core.methods._sib_mask import density_mask
from hsplid_core.methods.sib import background_variance, foreground_hsic, reconstruct
from hsplid_core.models import MaskedClassifier
from tests.golden import load
from tests.hsplid_core.methods.comparing import (
    DTYPES,
    F32,
    F64,
    Arrays,
    as_exact_as_published,
    cases,
    close,
    soft_quantile,
    tensor,
)

GOLDEN = load("sib")
CASES = GOLDEN.catalogue["cases"]


@pytest.mark.parametrize("name", cases(GOLDEN, "quantile"))
def test_quantile(name: str) -> None:
    arrays, params = GOLDEN.case(name), CASES[name]["params"]
    for dtype in (F64, F32):
        x = tensor(arrays["x"], dtype).requires_grad_()
        value = soft_quantile(x, params["q"], params["dim"], params["temperature"])
        (gradient,) = torch.autograd.grad(value.sum(), x)
        if dtype == F64:
            close(value, arrays["quant_f64"], 1e-8)
            close(gradient, arrays["grad_quant_f64"], 1e-8)
        else:
            as_exact_as_published(value, arrays, "quant", 1e-5)
            as_exact_as_published(gradient, arrays, "grad_quant", 1e-5)


def summed_over_ties(gradient: Tensor, reconstruction: Tensor) -> Tensor:
    """Add up the gradients of an image's pixels that are equally grey.

    The stored maps come from float16, so some pixels tie exactly, and which of them gets a rank's
    gradient was up to an unstable sort. The sum was not.
    """
    grey = reconstruction.detach().double().sum(dim=1)
    columns = (gradient.double() * grey.sign()[:, None]).flatten(2)
    sums = torch.zeros_like(columns)
    for image, (values, column) in enumerate(zip(grey.abs().flatten(1), columns, strict=True)):
        group = values.unique(return_inverse=True)[1]
        sums[image].index_add_(1, group, column)
    return sums


@pytest.mark.parametrize("name", cases(GOLDEN, "mask"))
def test_mask(name: str) -> None:
    arrays, params = GOLDEN.case(name), CASES[name]["params"]
    for precision, dtype in DTYPES.items():
        reconstruction = tensor(arrays["R_in"], dtype).requires_grad_()
        mask = density_mask(reconstruction, **params)
        (gradient,) = torch.autograd.grad(mask, reconstruction, tensor(arrays["probe"], dtype))
        stored = summed_over_ties(tensor(arrays["grad_mask_f64"]), reconstruction)
        # The stored gradient of the float64 computation is itself kept in float32.
        close(
            summed_over_ties(gradient, reconstruction),
            stored.numpy(),
            1e-7 if precision == "f64" else 5e-6,
        )
        if precision == "f64":
            close(mask, arrays["mask_f64"], 1e-8)
        else:
            as_exact_as_published(mask, arrays, "mask", 1e-5)


_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}
# By the words of the catalogue; an activation or a pool that is not here is refused.
_POOLS: dict[str, Callable[[], nn.Module]] = {
    "spatial mean": lambda: nn.AdaptiveAvgPool2d(1),
    "2x2 average pool": lambda: nn.AvgPool2d(2),
}


class LossCase:
    """The net, the images and the S-IB settings of a stored loss."""

    def __init__(self, name: str, dtype: torch.dtype) -> None:
        self.arrays: Arrays = GOLDEN.case(name)
        self.params = CASES[name]["params"]
        net = self.params["net"]
        strides = [int(stride) for stride in re.findall(r"conv3x3 stride(\d) pad1", net)]
        first, second = (
            nn.Conv2d(kernels.shape[1], kernels.shape[0], 3, stride=stride, padding=1)
            for kernels, stride in zip(
                (self.arrays["w_c1.weight"], self.arrays["w_c2.weight"]), strides, strict=True
            )
        )
        fc = self.arrays["w_fc.weight"]
        head = nn.Linear(fc.shape[1], fc.shape[0])
        self.layers = {"c1": first, "c2": second, "fc": head}
        activation = _ACTIVATIONS[self.params["act"]]()
        (pool,) = (made() for words, made in _POOLS.items() if words in net)
        encoder = nn.Sequential(first, activation, second, activation, pool, nn.Flatten())
        self.model = MaskedClassifier(encoder, head, mean=[0.0] * 3, std=[1.0] * 3).to(dtype)
        for key, parameter in self.parameters().items():
            parameter.data = tensor(self.arrays[f"w_{key}"], dtype)
        image = tensor(self.arrays["img"], dtype)
        target = tensor(self.arrays["label"], torch.int64)
        self.batch = Batch(image, target, None, torch.arange(len(target)))

    def parameters(self) -> dict[str, nn.Parameter]:
        return {
            f"{layer}.{kind}": getattr(module, kind)
            for layer, module in self.layers.items()
            for kind in ("weight", "bias")
        }

    def config(self, objective: str) -> SibConfig:
        return SibConfig(
            window=self.params["window"],
            temperature=self.params["temperature"],
            slope=self.params["slope"],
            objective=objective,  # type: ignore[arg-type]
        )

    def pieces(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """R, M, the foreground HSIC and the background variance."""
        config = self.config("linear")
        inputs = self.batch.image.clone().requires_grad_()
        reconstruction = reconstruct(self.model(inputs), inputs)
        mask = density_mask(
            reconstruction,
            window=config.window,
            temperature=config.temperature,
            slope=config.slope,
        )[:, None]
        align = foreground_hsic(reconstruction, inputs, mask)
        return reconstruction, mask, align, background_variance(reconstruction, mask)


@pytest.mark.parametrize("name", cases(GOLDEN, "full_loss"))
def test_reconstruction_mask_and_both_terms(name: str) -> None:
    case = LossCase(name, F64)
    arrays = case.arrays
    reconstruction, mask, align, variance = case.pieces()
    for value, key in ((reconstruction[:2], "R_f64"), (mask, "M_f64")):
        if key in arrays:
            close(value, arrays[key], 1e-7)  # stored in float32
    close(align, arrays["align_f64"], 1e-8)
    close(variance, arrays["mi_bg_f64"], 1e-8)
    for value, key in ((align, "galign"), (variance, "gbg")):
        parameters = case.parameters()
        gradients = torch.autograd.grad(value, list(parameters.values()), retain_graph=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            close_up_to_the_whole(gradient, arrays, key, parameter, 1e-8)


def close_up_to_the_whole(
    gradient: Tensor, arrays: Arrays, key: str, parameter: str, rtol: float
) -> None:
    """Compare a parameter's gradient, at the scale of all parameters' (biases' are near zero)."""
    whole = max(abs(arrays[k]).max() for k in arrays if k.startswith(key) and k.endswith("_f64"))
    reference = tensor(arrays[f"{key}_{parameter}_f64"])
    assert float((gradient.double() - reference).abs().max()) <= rtol * whole


@pytest.mark.parametrize(("objective", "key"), [("exp", "script"), ("linear", "readme")])
@pytest.mark.parametrize("precision", ["f64", "f32"])
@pytest.mark.parametrize("name", cases(GOLDEN, "full_loss"))
def test_objective(name: str, precision: str, objective: str, key: str) -> None:
    case = LossCase(name, DTYPES[precision])
    arrays = case.arrays
    methods = {"cross_entropy": CrossEntropyConfig(), "sib": case.config(objective)}
    shape = Shape(case.params["classes"], case.model.num_features, 1, case.params["B"])
    step = build_objective(methods, shape)(case.model, case.batch)
    step.loss.backward()
    rtol = 1e-8 if precision == "f64" else 1e-5
    close(step.values["cross_entropy/loss"], arrays["ce_f64"], rtol)
    close(step.loss, arrays[f"total_{key}_f64"], rtol)
    terms = [name for name in step.values if name.startswith("sib/")]
    expected = [float(arrays["align_f64"]), float(arrays["mi_bg_f64"])]
    if objective == "exp":
        expected = [math.exp(-expected[0]), math.exp(expected[1])]
    assert [float(step.values[name]) for name in terms] == pytest.approx(expected, rel=rtol)
    for parameter, value in case.parameters().items():
        assert value.grad is not None
        close_up_to_the_whole(
            value.grad, arrays, f"g{key}", parameter, 1e-8 if precision == "f64" else 2e-5
        )
