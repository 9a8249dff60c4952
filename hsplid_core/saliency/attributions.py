"""Attributions by name: how much each pixel counts for the score of a class.

All of them run on whole batches, on the device of the images, through Captum (Kokhlikyan et al.,
arXiv 2009.07896). A model takes pixels in [0, 1] and normalises them inside, so every attribution
is one of pixels, and black and white baselines are 0 and 1.

=========================  ====================================================================
gradient                   Simonyan et al. 2014 (arXiv 1312.6034), with its sign
gradient_x_input           Shrikumar et al. 2016 (arXiv 1605.01713)
integrated_gradients       Sundararajan et al. 2017 (arXiv 1703.01365), from black
integrated_gradients_white the same, from white
smoothgrad                 Smilkov et al. 2017 (arXiv 1706.03825)
guided_backprop            Springenberg et al. 2015 (arXiv 1412.6806)
deconvolution              Zeiler and Fergus 2014 (arXiv 1311.2901)
grad_cam                   Selvaraju et al. 2017 (arXiv 1610.02391), one channel, not negative
guided_grad_cam            the same, times guided backpropagation
occlusion                  Zeiler and Fergus 2014, a grey square, one channel
=========================  ====================================================================
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from hsplid_core.attacks import Model, frozen
from hsplid_core.errors import ConfigError, TrainingDivergedError, did_you_mean
from hsplid_core.saliency._layers import last_spatial_layer

_GREY = 0.5


@dataclass(frozen=True, kw_only=True)
class AttributionSettings:
    """What the methods can be told; each reads only what concerns it.

    Attributes:
        output: Attribute the logit or the probability of the class.
        steps: Points on the path of integrated gradients.
        samples: Noisy copies of each image in SmoothGrad.
        noise: Standard deviation of that noise, as a share of the pixel range.
        window: Side of the occluding square, as a share of the image's; it moves by half of it.
        batch_size: Images per call.
        seed: Seed of the noise; the global random state is left as it was.
    """

    output: Literal["logits", "softmax"] = "logits"
    steps: int = 20
    samples: int = 10
    noise: float = 0.15
    window: float = 0.2
    batch_size: int = 32
    seed: int = 0


class _Output(nn.Module):
    """The scores that are attributed, [B, K]."""

    def __init__(self, model: Model, output: Literal["logits", "softmax"]) -> None:
        super().__init__()
        self.model = model
        self.output = output

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.model(image)
        return logits.softmax(dim=1) if self.output == "softmax" else logits


# Captum is imported where it is used: it brings matplotlib.pyplot, half a second that every worker
# would pay, and few compute attributions.

Attribution = Callable[[_Output, Tensor, Tensor, AttributionSettings], Tensor]


def _gradient(model: _Output, image: Tensor, target: Tensor, _: AttributionSettings) -> Tensor:
    from captum.attr import Saliency

    found: Tensor = Saliency(model).attribute(image, target, abs=False)
    return found


def _gradient_x_input(
    model: _Output, image: Tensor, target: Tensor, _: AttributionSettings
) -> Tensor:
    from captum.attr import InputXGradient

    found: Tensor = InputXGradient(model).attribute(image, target)
    return found


def _integrated(
    model: _Output, image: Tensor, target: Tensor, settings: AttributionSettings
) -> Tensor:
    return _integrate(model, image, target, settings, baseline=0.0)


def _integrated_white(
    model: _Output, image: Tensor, target: Tensor, settings: AttributionSettings
) -> Tensor:
    return _integrate(model, image, target, settings, baseline=1.0)


def _integrate(
    model: _Output,
    image: Tensor,
    target: Tensor,
    settings: AttributionSettings,
    baseline: float,
) -> Tensor:
    from captum.attr import IntegratedGradients

    found: Tensor = IntegratedGradients(model).attribute(
        image,
        baselines=baseline,
        target=target,
        n_steps=settings.steps,
        internal_batch_size=len(image),
    )
    return found


def _smoothgrad(
    model: _Output, image: Tensor, target: Tensor, settings: AttributionSettings
) -> Tensor:
    from captum.attr import NoiseTunnel, Saliency

    devices = [image.device] if image.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(settings.seed)
        smooth: Tensor = NoiseTunnel(Saliency(model)).attribute(
            image,
            nt_type="smoothgrad",
            nt_samples=settings.samples,
            nt_samples_batch_size=1,  # else all noisy copies are in memory at a time
            stdevs=settings.noise,
            target=target,
            abs=False,
        )
    return smooth


def _guided_backprop(
    model: _Output, image: Tensor, target: Tensor, _: AttributionSettings
) -> Tensor:
    from captum.attr import GuidedBackprop

    found: Tensor = GuidedBackprop(_with_relus(model, "guided_backprop")).attribute(image, target)
    return found


def _deconvolution(
    model: _Output, image: Tensor, target: Tensor, _: AttributionSettings
) -> Tensor:
    from captum.attr import Deconvolution

    found: Tensor = Deconvolution(_with_relus(model, "deconvolution")).attribute(image, target)
    return found


def _grad_cam(model: _Output, image: Tensor, target: Tensor, _: AttributionSettings) -> Tensor:
    from captum.attr import LayerAttribution, LayerGradCam

    layer = last_spatial_layer(_module(model, "grad_cam"), image)
    cam = LayerGradCam(model, layer).attribute(image, target, relu_attributions=True)
    found: Tensor = LayerAttribution.interpolate(cam, tuple(image.shape[2:]), "bilinear")
    return found


def _guided_grad_cam(
    model: _Output, image: Tensor, target: Tensor, _: AttributionSettings
) -> Tensor:
    from captum.attr import GuidedGradCam

    layer = last_spatial_layer(_with_relus(model, "guided_grad_cam"), image)
    found: Tensor = GuidedGradCam(model, layer).attribute(
        image, target, interpolate_mode="bilinear"
    )
    return found


def _occlusion(
    model: _Output, image: Tensor, target: Tensor, settings: AttributionSettings
) -> Tensor:
    from captum.attr import Occlusion

    channels, height, width = image.shape[1:]
    side = max(1, round(settings.window * min(height, width)))
    step = max(1, side // 2)
    occluded: Tensor = Occlusion(model).attribute(
        image,
        sliding_window_shapes=(channels, side, side),
        strides=(channels, step, step),
        baselines=_GREY,
        target=target,
    )
    return occluded[:, :1]  # all channels were covered together


def _module(model: _Output, method: str) -> _Output:
    if not isinstance(model.model, nn.Module):
        raise ConfigError(
            f"{method} looks into the model's layers, and {model.model!r} is no torch module: use "
            "a module, or a method that needs only its answers, such as integrated_gradients"
        )
    return model


def _with_relus(model: _Output, method: str) -> _Output:
    if not any(isinstance(module, nn.ReLU) for module in _module(model, method).modules()):
        raise ConfigError(
            f"{method} changes the gradient of torch.nn.ReLU modules, and the model has none: "
            "use another method"
        )
    return model


ATTRIBUTIONS: dict[str, Attribution] = {
    "gradient": _gradient,
    "gradient_x_input": _gradient_x_input,
    "integrated_gradients": _integrated,
    "integrated_gradients_white": _integrated_white,
    "smoothgrad": _smoothgrad,
    "guided_backprop": _guided_backprop,
    "deconvolution": _deconvolution,
    "grad_cam": _grad_cam,
    "guided_grad_cam": _guided_grad_cam,
    "occlusion": _occlusion,
}


def attribute(
    model: Model,
    image: Tensor,
    target: Tensor,
    *,
    method: str = "gradient",
    settings: AttributionSettings | None = None,
) -> Tensor:
    """Attribute the score of each image's class to its pixels.

    Args:
        model: Pixels [B, C, H, W] to logits [B, K], on the images' device. A module is in eval
            mode meanwhile; its parameters get no gradients.
        image: Pixels in [0, 1], [B, C, H, W].
        target: A class for each image, int64, [B].
        method: A key of :data:`ATTRIBUTIONS`.
        settings: What the method can be told; None takes the defaults.

    Returns:
        Attributions, [B, C, H, W] or [B, 1, H, W], detached.

    Raises:
        ConfigError: The method is unknown or does not suit the model, or image and target do not
            fit together.
        TrainingDivergedError: The attributions are NaN or infinite.
    """
    run = find_attribution(method)
    settings = settings or AttributionSettings()
    if image.ndim != 4 or target.shape != image.shape[:1]:
        raise ConfigError(
            f"image has the shape {tuple(image.shape)} and target {tuple(target.shape)}: give "
            "images [B, C, H, W] and one class for each"
        )
    wrapped = _Output(model, settings.output)
    size = settings.batch_size
    parts = zip(torch.split(image, size), torch.split(target, size), strict=True)
    # Captum says on every call that it sets its hooks.
    with frozen(model), torch.enable_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting backward hooks", UserWarning)
        found = torch.cat(
            [run(wrapped, x.detach().requires_grad_(), k, settings).detach() for x, k in parts]
        )
    if not found.isfinite().all():
        raise TrainingDivergedError(
            f"the attributions by {method} are NaN or infinite: look at the model's weights and "
            "at the images"
        )
    return found


def find_attribution(method: str) -> Attribution:
    """Find a method by its name.

    Raises:
        ConfigError: There is none of that name.
    """
    if method in ATTRIBUTIONS:
        return ATTRIBUTIONS[method]
    raise ConfigError(
        f"attribution method is {method!r}: use one of {', '.join(ATTRIBUTIONS)}"
        f"{did_you_mean(method, ATTRIBUTIONS)}"
    )
