from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError
from hsplid_core.hsic import hsic_linear
from hsplid_core.methods import Shape, SibConfig, Step, build_objective, build_part, sib
from hsplid_core.methods._sib_mask import box_sum, density_mask
from hsplid_core.models import MaskedClassifier
from tests.benchmarks.bench_sib import published_mask

SHAPE = Shape(num_classes=4, num_features=6, batches_per_epoch=1, batch_size=5)


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def tiny_model(activation: nn.Module | None = None) -> MaskedClassifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        encoder = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2, padding=1),
            activation or nn.Tanh(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        return MaskedClassifier(encoder, nn.Linear(6, 4), mean=[0.5] * 3, std=[0.25] * 3)


def tiny_batch(size: int = 12) -> Batch:
    generator = torch.Generator().manual_seed(4)
    image = torch.rand(5, 3, size, size, generator=generator)
    return Batch(image, torch.tensor([0, 1, 2, 3, 0]), None, torch.arange(5))


@pytest.mark.parametrize(("height", "width"), [(9, 9), (7, 12), (3, 5)])
@pytest.mark.parametrize("window", [1, 3, 7, 31])
def test_box_sums_are_the_mean_filters_sums(height: int, width: int, window: int) -> None:
    images = random(2, height, width)
    mean = F.avg_pool2d(images[:, None], window, stride=1, padding=window // 2)[:, 0]
    torch.testing.assert_close(box_sum(images, window), mean * window**2)


@pytest.mark.parametrize("scale", [1e-9, 1e-4, 1.0, 1e4])
@pytest.mark.parametrize("shape", [(3, 3, 32, 32), (2, 1, 20, 31), (2, 4, 9, 8)])
def test_the_mask_is_the_published_one(shape: tuple[int, ...], scale: float) -> None:
    reconstruction = (scale * random(*shape)).requires_grad_()
    probe = random(shape[0], *shape[2:], seed=1)
    ours = density_mask(reconstruction, window=7, temperature=0.1, slope=10.0)
    theirs = published_mask(reconstruction, window=7, temperature=0.1, slope=10.0)
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=0)
    gradients = [torch.autograd.grad(mask, reconstruction, probe)[0] for mask in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-9 * float(gradients[1].abs().max()))
    single = density_mask(
        reconstruction.detach().float(), window=7, temperature=0.1, slope=10.0
    ).double()
    torch.testing.assert_close(single, theirs, rtol=1e-5, atol=0)


@pytest.mark.parametrize("temperature", [0.1, 2.0])
def test_gradcheck_of_the_mask(temperature: float) -> None:
    # The pixels' magnitudes are all different and none is near zero: a smooth point.
    magnitudes = 1 + torch.randperm(30, generator=torch.Generator().manual_seed(5)).double()
    signs = random(30, seed=6).sign()
    reconstruction = (magnitudes * signs).reshape(1, 1, 5, 6).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda r: density_mask(r, window=3, temperature=temperature, slope=5.0),
        reconstruction,
        eps=1e-5,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 1e-30, 0.5, -3.0])
def test_a_constant_map_gives_finite_values_and_gradients(
    value: float, dtype: torch.dtype
) -> None:
    reconstruction = torch.full((2, 3, 16, 16), value, dtype=dtype, requires_grad=True)
    mask = density_mask(reconstruction, window=5, temperature=0.1, slope=10.0)
    (gradient,) = torch.autograd.grad(mask, reconstruction, random(2, 16, 16, dtype=dtype))
    assert mask.isfinite().all()
    assert gradient.isfinite().all()
    # Only the padding makes a difference: the border is darker than the middle.
    assert (mask[:, 0, 0] < mask[:, 8, 8]).all()
    if value == 0:
        assert not gradient.any()


def test_a_map_of_few_values_gives_finite_gradients() -> None:
    reconstruction = random(2, 1, 16, 16).sign().relu().requires_grad_()
    mask = density_mask(reconstruction, window=5, temperature=0.1, slope=10.0)
    (gradient,) = torch.autograd.grad(mask.sum(), reconstruction)
    assert mask.isfinite().all()
    assert gradient.isfinite().all()


def test_a_model_that_sees_nothing_has_finite_loss_and_no_gradient() -> None:
    model = tiny_model()
    nn.init.zeros_(model.head.weight)
    step = build_objective({"sib": SibConfig(window=5)}, SHAPE)(model, tiny_batch())
    torch.autograd.backward(step.loss)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert step.loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert max(float(gradient.abs().max()) for gradient in gradients) < 1


def test_an_image_without_reconstruction_does_not_disturb_the_others() -> None:
    reconstruction = random(4, 3, 6, 6).requires_grad_()
    inputs = random(4, 3, 6, 6, seed=1)
    alive = torch.tensor([1.0, 1.0, 0.0, 1.0], dtype=torch.float64)[:, None, None, None]
    value = sib.foreground_hsic(reconstruction * alive, inputs, torch.ones(4, 1, 6, 6).double())
    (gradient,) = torch.autograd.grad(value, reconstruction)
    assert not gradient[2].any()
    assert 0 < float(gradient.abs().max()) < 1


@pytest.mark.parametrize("scale", [1e-30, 1e-13, 1e-4, 1.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_both_terms_are_the_formulas(scale: float, channels: int) -> None:
    reconstruction = (scale * random(5, channels, 6, 7)).requires_grad_()
    inputs = random(5, channels, 6, 7, seed=1)
    mask = torch.rand(5, 1, 6, 7, generator=torch.Generator().manual_seed(2)).double()
    mask.requires_grad_()
    rows = [F.normalize((x * mask).flatten(1), dim=1) for x in (reconstruction, inputs)]
    variance = (reconstruction * (1 - mask)).flatten(1).var(dim=1).mean()
    for found, expected in (
        (sib.foreground_hsic(reconstruction, inputs, mask), hsic_linear(*rows)),
        (sib.background_variance(reconstruction, mask), variance),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)
        first, second = (
            torch.autograd.grad(value, (reconstruction, mask)) for value in (found, expected)
        )
        for one, other in zip(first, second, strict=True):
            torch.testing.assert_close(
                one, other, rtol=1e-8, atol=1e-10 * float(other.abs().max())
            )


def test_single_precision_keeps_the_foreground_of_the_smallest_gradients() -> None:
    reconstruction, inputs = random(4, 3, 8, 8).float(), random(4, 3, 8, 8, seed=1).float()
    mask = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    usual = sib.foreground_hsic(reconstruction, inputs, mask)
    # Rows of a length near 1e-12, below which it is another number.
    tiny = sib.foreground_hsic(1e-12 * reconstruction, inputs, mask)
    torch.testing.assert_close(tiny, usual, rtol=1e-5, atol=0)


def test_the_reconstruction_is_the_gradient_of_half_the_squared_softmax() -> None:
    model = tiny_model().double()
    inputs = random(2, 3, 6, 6).requires_grad_()
    reconstruction = sib.reconstruct(model.predict(model.encode_normalised(inputs)), inputs)

    def energy(x: Tensor) -> Tensor:
        return 0.5 * model.predict(model.encode_normalised(x)).softmax(1).square().sum()

    step = 1e-6 * random(2, 3, 6, 6, seed=1)
    with torch.no_grad():
        difference = (energy(inputs + step) - energy(inputs - step)) / 2
    assert float((reconstruction * step).sum().detach()) == pytest.approx(
        float(difference), rel=1e-6
    )


def test_gradcheck_of_the_objective_in_the_weights() -> None:
    model, batch = tiny_model().double(), tiny_batch(8)
    batch = Batch(batch.image.double(), batch.target, None, batch.index)
    objective = build_objective({"sib": SibConfig(window=3, temperature=2.0)}, SHAPE)
    weight = model.head.weight

    def loss(value: Tensor) -> Tensor:
        with torch.no_grad():
            weight.copy_(value)
        step: Step = objective(model, batch)
        return step.loss

    start = weight.detach().clone()
    (gradient,) = torch.autograd.grad(loss(start), weight)
    step = 1e-6 * random(*weight.shape)
    difference = (loss(start + step) - loss(start - step)).detach() / 2
    assert float((gradient * step).sum()) == pytest.approx(float(difference), rel=1e-4)


def test_only_terms_with_a_weight_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def counted(name: str) -> Callable[..., Tensor]:
        original: Callable[..., Tensor] = getattr(sib, name)

        def call(*arguments: Tensor | None) -> Tensor:
            calls.append(name)
            return original(*arguments)

        return call

    for name in ("foreground_hsic", "background_variance"):
        monkeypatch.setattr(sib, name, counted(name))
    for config, expected in (
        (SibConfig(lambda_bg=0.0), ["foreground_hsic"]),
        (SibConfig(lambda_fg=0.0), ["background_variance"]),
    ):
        calls.clear()
        build_objective({"sib": config}, SHAPE)(tiny_model(), tiny_batch())
        assert calls == expected
    assert build_part(SibConfig(lambda_fg=0.0, lambda_bg=0.0), SHAPE) is None


def test_random_features_are_new_in_each_step_and_reproducible() -> None:
    config = SibConfig(random_features=64, lambda_bg=0.0, window=3)

    def values(steps: int) -> list[float]:
        objective = build_objective({"sib": config}, SHAPE)
        model, batch = tiny_model(), tiny_batch()
        return [float(objective(model, batch).loss.detach()) for _ in range(steps)]

    first = values(3)
    assert first == values(3)
    assert len(set(first)) == 3
    exact = build_objective({"sib": SibConfig(lambda_bg=0.0, window=3)}, SHAPE)
    unprojected = float(exact(tiny_model(), tiny_batch()).loss.detach())
    assert sum(first) / 3 == pytest.approx(unprojected, rel=0.5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_stays_finite_and_close(dtype: torch.dtype) -> None:
    batch = tiny_batch(32)
    config = {"sib": SibConfig(window=7)}
    losses = []
    for enabled in (False, True):
        model = tiny_model(nn.ReLU())
        with torch.autocast("cpu", dtype=dtype, enabled=enabled):
            step = build_objective(config, SHAPE)(model, batch)
        torch.autograd.backward(step.loss)
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        losses.append(step.values["sib/foreground_hsic"])
    assert float(losses[1]) == pytest.approx(float(losses[0]), rel=0.1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lambda_fg": -1.0}, "lambda_fg is -1"),
        ({"lambda_bg": -1.0}, "lambda_bg is -1"),
        ({"window": 4}, "window is 4: use an odd"),
        ({"temperature": 0.0}, "temperature is 0"),
        ({"slope": 0.0}, "slope is 0"),
        ({"random_features": 0}, "random_features is 0"),
        ({"objective": "square"}, "objective is square"),
    ],
)
def test_impossible_values_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SibConfig(**wrong)  # type: ignore[arg-type]
