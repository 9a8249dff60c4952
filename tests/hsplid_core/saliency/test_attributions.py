"""Attributions by name: closed forms, agreement with direct computations, bad input."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsplid_core.config import ModelConfig
from hsplid_core.errors import ConfigError, TrainingDivergedError
from hsplid_core.models import MaskedClassifier, build_model
from hsplid_core.saliency import ATTRIBUTIONS, AttributionSettings, attribute
from hsplid_core.saliency._layers import last_spatial_layer

LAYERS = ("guided_backprop", "deconvolution", "grad_cam", "guided_grad_cam")
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)


def resnet(size: int = 32) -> MaskedClassifier:
    model = build_model(
        ModelConfig(width=1 / 16),
        image_shape=(3, size, size),
        num_classes=4,
        mean=MEAN,
        std=STD,
        seed=0,
    )
    model.feature_mask[: model.num_features // 2] = 0
    return model


def images(n: int = 3, size: int = 32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(n, 3, size, size, generator=generator), torch.arange(n) % 4


class Linear(nn.Module):
    """Normalises pixels and takes the inner product with a weight: everything is known of it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(
            torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(2))
        )
        self.mean = torch.tensor(MEAN).view(1, 3, 1, 1)
        self.std = torch.tensor(STD).view(1, 3, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        return torch.einsum("bchw,kchw->bk", (image - self.mean) / self.std, self.weight)


@pytest.mark.parametrize("method", ATTRIBUTIONS)
def test_contract_on_a_resnet(method: str) -> None:
    model, (image, target) = resnet().train(), images()
    settings = AttributionSettings(steps=4, samples=2, window=0.5)
    found = attribute(model, image, target, method=method, settings=settings)
    channels = 1 if method in ("grad_cam", "occlusion") else 3
    assert found.shape == (3, channels, 32, 32)
    assert found.any()
    assert not found.requires_grad
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not image.requires_grad
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())


@pytest.mark.parametrize("method", sorted(set(ATTRIBUTIONS) - {"smoothgrad"}))
def test_batches_do_not_change_the_result(method: str) -> None:
    model, (image, target) = resnet(), images()
    whole = attribute(model, image, target, method=method)
    settings = AttributionSettings(batch_size=2)
    split = attribute(model, image, target, method=method, settings=settings)
    torch.testing.assert_close(split, whole, rtol=1e-3, atol=1e-6)


def test_a_linear_model_is_known_everywhere() -> None:
    model, (image, target) = Linear(), images(2, 4)
    slope = (model.weight / model.std)[target].detach()

    def check(method: str, expected: Tensor) -> None:
        settings = AttributionSettings(steps=5, samples=3, window=0.25)
        found = attribute(model, image, target, method=method, settings=settings)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)

    check("gradient", slope)
    check("smoothgrad", slope)
    check("gradient_x_input", slope * image)
    check("integrated_gradients", slope * image)
    check("integrated_gradients_white", slope * (image - 1))
    # A window of one pixel takes out just that pixel's share.
    check("occlusion", (slope * (image - 0.5)).sum(1, keepdim=True))


def test_integrated_gradients_are_complete() -> None:
    model, (image, target) = resnet(), images()
    settings = AttributionSettings(steps=256)
    found = attribute(model, image, target, method="integrated_gradients", settings=settings)
    with torch.no_grad():
        rise = model(image) - model(torch.zeros_like(image))
    expected = rise.gather(1, target[:, None])[:, 0]
    # The many kinks of ReLUs near the even, black image make this slow to converge.
    torch.testing.assert_close(found.sum((1, 2, 3)), expected, rtol=0, atol=0.015)


class _Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return x.clamp_min(0)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return grad.clamp_min(0) * (x > 0)


class _Deconvolved(_Guided):
    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        return grad.clamp_min(0)


@pytest.mark.parametrize(
    ("method", "relu"), [("guided_backprop", _Guided), ("deconvolution", _Deconvolved)]
)
def test_modified_relus_also_where_they_are_shared_and_in_place(
    method: str, relu: type[_Guided], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, (image, target) = resnet().eval(), images()
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = True
    found = attribute(model, image, target, method=method)
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, x: relu.apply(x))
    pixels = image.clone().requires_grad_()
    model(pixels).gather(1, target[:, None]).sum().backward()
    assert pixels.grad is not None
    torch.testing.assert_close(found, pixels.grad, rtol=1e-4, atol=1e-7)


def test_grad_cam_by_its_formula() -> None:
    model, (image, target) = resnet(64).eval(), images(size=64)
    layer = last_spatial_layer(model, image)
    assert layer is model.encoder.layer4
    kept: list[Tensor] = []
    with torch.enable_grad():
        handle = layer.register_forward_hook(lambda module, given, output: kept.append(output))
        score = model(image.clone().requires_grad_()).gather(1, target[:, None]).sum()
        handle.remove()
        (gradient,) = torch.autograd.grad(score, kept[0])
    cam = (gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1, keepdim=True).relu()
    expected = F.interpolate(cam.detach(), (64, 64), mode="bilinear")
    torch.testing.assert_close(attribute(model, image, target, method="grad_cam"), expected)


def test_smoothgrad_is_seeded_and_leaves_the_random_state() -> None:
    model, (image, target) = resnet(), images()
    before = torch.get_rng_state()
    runs = [
        attribute(
            model, image, target, method="smoothgrad", settings=AttributionSettings(seed=seed)
        )
        for seed in (0, 0, 1)
    ]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_the_feature_mask_counts() -> None:
    model, (image, target) = resnet(), images()
    masked = attribute(model, image, target)
    model.feature_mask.fill_(1)
    assert not torch.allclose(attribute(model, image, target), masked)


def test_errors() -> None:
    model, (image, target) = Linear(), images(2, 4)
    with pytest.raises(ConfigError, match="did you mean smoothgrad"):
        attribute(model, image, target, method="smothgrad")
    with pytest.raises(ConfigError, match="one class for each"):
        attribute(model, image, target[:1])
    for method in LAYERS[:2]:
        with pytest.raises(ConfigError, match=r"torch\.nn\.ReLU"):
            attribute(model, image, target, method=method)
    with pytest.raises(ConfigError, match="map of features"):
        attribute(model, image, target, method="grad_cam")
    for method in LAYERS:
        with pytest.raises(ConfigError, match="no torch module"):
            attribute(lambda x: model(x), image, target, method=method)
    with pytest.raises(TrainingDivergedError, match="NaN or infinite"):
        attribute(lambda x: model(x) * torch.nan, image, target)
