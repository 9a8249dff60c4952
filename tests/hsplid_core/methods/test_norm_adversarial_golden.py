"""Norm-regularised adversarial training against the published code (golden family advgrad)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError, DataError
from hsplid_core.methods import HumanAttentionConfig, NormAdversarialConfig, Shape, build_part
from hsplid_core.methods._norm_attack import away_from_the_object, group_fast
from hsplid_core.methods.norm_adversarial import Ascent, ascent, loss_gradient
from hsplid_core.models import MaskedClassifier
from tests.golden import load
from tests.hsplid_core.methods.comparing import DTYPES, distance, tensor

GOLDEN = load("advgrad")
CASES = GOLDEN.catalogue["cases"]
COMMON = GOLDEN.case("common")
STORED = [name for name, case in CASES.items() if "mode" in case["params"]]
SHAPE = Shape(num_classes=5, num_features=10, batches_per_epoch=1, batch_size=2)


def stored_model(dtype: torch.dtype) -> MaskedClassifier:
    first, second = (
        nn.Conv2d(kernels.shape[1], kernels.shape[0], kernels.shape[2], 2, kernels.shape[2] // 2)
        for kernels in (COMMON["w_c1.weight"], COMMON["w_c2.weight"])
    )
    head = nn.Linear(COMMON["w_fc.weight"].shape[1], COMMON["w_fc.weight"].shape[0])
    for layer, key in ((first, "c1"), (second, "c2"), (head, "fc")):
        for kind, parameter in layer.named_parameters():
            parameter.data = tensor(COMMON[f"w_{key}.{kind}"])
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    encoder = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), *pool)
    model = MaskedClassifier(encoder, head, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    return model.to(dtype)


def stored_ascent(name: str, dtype: torch.dtype) -> Ascent:
    params = CASES[name]["params"]
    if params["mode"] == "cub":
        mask = tensor(COMMON["seg"], dtype)[:, None]
        return partial(away_from_the_object, epsilon=params["eps"], mask=mask)
    return ascent(
        NormAdversarialConfig(
            mode=params["mode"],
            training=params["training"],
            epsilon=params["eps"],
            epsilon2=params["eps2"],
        )
    )


def statistics(delta: Tensor) -> Tensor:
    flat = delta.double()
    return torch.stack(
        [flat.mean(), flat.std(correction=0), flat.min(), flat.max(), *flat.flatten(1).norm(dim=1)]
    )


def thinned(name: str, perturbed: Tensor) -> dict[str, Tensor]:
    group = CASES[name]["params"]["mode"] == "group"
    kept = perturbed[:1, :1] if group else perturbed
    return {
        "x_adv_sub4_f64": kept[:, :, ::4, ::4],
        "x_adv_sub_f32": perturbed[:, :, ::2, ::2],
        "x_adv_f32": perturbed,
    }


def off(value: Tensor, expected: NDArray[Any], largest_change: float) -> Tensor:
    """How far off a perturbed image is, relative to the largest change of any pixel."""
    return (value.double() - torch.from_numpy(np.array(expected)).double()).abs() / largest_change


@pytest.mark.parametrize("precision", ["f64", "f32"])
@pytest.mark.parametrize("name", STORED)
def test_perturbed_images(name: str, precision: str) -> None:
    arrays, dtype = GOLDEN.case(name), DTYPES[precision]
    model, x = stored_model(dtype), tensor(COMMON["x"], dtype)
    gradient = loss_gradient(model, tensor(COMMON["label"], torch.int64))
    perturbed = stored_ascent(name, dtype)(x, gradient)
    exact = precision == "f64"
    assert distance(statistics(perturbed - x), arrays["stats_f64"]) <= (1e-8 if exact else 1e-4)
    largest = float((perturbed - x).abs().max())
    for key, value in thinned(name, perturbed).items():
        if key not in arrays:
            continue
        error = off(value, arrays[key], largest)
        if exact and key.endswith("_f64"):
            assert error.max() <= 1e-8
        else:
            # Rounding may turn the sign of a tiny gradient or switch a ReLU, in the stored float32
            # images as well as here.
            assert (error > 1e-3).double().mean() <= 4e-4
    assert all(parameter.grad is None for parameter in model.parameters())


def toy_model() -> MaskedClassifier:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten())
    return MaskedClassifier(encoder, nn.Linear(4 * 64, 5), mean=[0.5] * 3, std=[0.25] * 3)


def toy_batch(mask: Tensor | None = None) -> Batch:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(2, 3, 8, 8, generator=generator)
    return Batch(image, torch.tensor([0, 3]), mask, torch.arange(2))


MODES = [
    (mode, training) for mode in ("l1", "elastic", "group") for training in ("fast", "iterative")
]


@pytest.mark.parametrize(("mode", "training"), MODES)
def test_without_any_gradient_the_images_stay(mode: Any, training: Any) -> None:
    model = toy_model()
    nn.init.zeros_(model.head.weight)
    config = NormAdversarialConfig(mode=mode, training=training, patch=4)
    perturbation = build_part(config, SHAPE)
    assert perturbation is not None
    batch = toy_batch()
    torch.testing.assert_close(perturbation(model, batch).image, batch.image)


def test_a_patch_without_gradient_stays_and_the_others_move_by_epsilon() -> None:
    x = torch.zeros(1, 1, 4, 4)
    g = torch.zeros_like(x)
    g[..., :2, :2] = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    g[..., 2:, 2:] = -1e-10
    moved = group_fast(x, lambda _: g, epsilon=0.5, patch=2)
    norms = moved.reshape(2, 2, 2, 2).norm(dim=(1, 3))
    torch.testing.assert_close(norms, torch.tensor([[0.5, 0.0], [0.0, 0.5]]))


def test_group_iterative_keeps_every_patch_within_epsilon() -> None:
    config = NormAdversarialConfig(mode="group", training="iterative", epsilon=0.3, patch=4)
    model, batch = toy_model(), toy_batch()
    perturbation = build_part(config, SHAPE)
    assert perturbation is not None
    change = model.normalise(perturbation(model, batch).image) - model.normalise(batch.image)
    norms = change.reshape(2, 3, 2, 4, 2, 4).norm(dim=(3, 5))
    assert norms.max() == pytest.approx(0.3, rel=1e-4)


def test_patches_must_tile_the_image() -> None:
    perturbation = build_part(NormAdversarialConfig(mode="group"), SHAPE)
    assert perturbation is not None
    with pytest.raises(ConfigError, match=r"patch is 14, but images are 8x8"):
        perturbation(toy_model(), toy_batch())


@pytest.mark.parametrize("soft", [False, True])
def test_human_attention_climbs_outside_and_descends_inside(soft: bool) -> None:
    mask = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    mask[..., :4] = True
    batch = toy_batch(mask.float() if soft else mask)
    model = toy_model()
    perturbation = build_part(HumanAttentionConfig(epsilon=0.5), SHAPE)
    assert perturbation is not None
    before = batch.image.clone()
    moved = perturbation(model, batch)
    inputs = model.normalise(batch.image)
    change = model.normalise(moved.image) - inputs
    gradient = loss_gradient(model, batch.target)(inputs)
    step = 0.5 * gradient / gradient.flatten(1).norm(dim=1)[:, None, None, None]
    expected = torch.where(mask, -step, step)
    torch.testing.assert_close(change, expected, rtol=1e-4, atol=1e-6)
    assert torch.equal(batch.image, before)


def test_an_undecided_mask_leaves_pixels_alone() -> None:
    perturbation = build_part(HumanAttentionConfig(), SHAPE)
    assert perturbation is not None
    batch = toy_batch(torch.full((2, 1, 8, 8), 0.5))
    torch.testing.assert_close(perturbation(toy_model(), batch).image, batch.image)


def test_human_attention_without_masks_is_refused() -> None:
    perturbation = build_part(HumanAttentionConfig(), SHAPE)
    assert perturbation is not None
    with pytest.raises(DataError, match="masks"):
        perturbation(toy_model(), toy_batch())


def test_switched_off_it_is_not_there() -> None:
    assert build_part(NormAdversarialConfig(mode="standard"), SHAPE) is None
    assert build_part(NormAdversarialConfig(mode="l1", epsilon=0.0), SHAPE) is None
    assert build_part(NormAdversarialConfig(mode="elastic", epsilon=0.0), SHAPE) is not None
    assert build_part(HumanAttentionConfig(epsilon=0.0), SHAPE) is None


def test_impossible_values_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"epsilon2 is 0\.0: iterative elastic"):
        NormAdversarialConfig(mode="elastic", training="iterative", epsilon2=0.0)
    with pytest.raises(ConfigError, match=r"epsilon is -1.*patch is 0.*iterations is 0"):
        NormAdversarialConfig(epsilon=-1.0, patch=0, iterations=0)


def test_the_models_mode_stays_as_it_is() -> None:
    model, batch = toy_model(), toy_batch()
    perturbation = build_part(NormAdversarialConfig(mode="l1"), SHAPE)
    assert perturbation is not None
    for training in (True, False):
        model.train(training)
        perturbation(model, batch)
        assert model.training == training
