"""The single-pixel analysis: against an image-by-image computation, and on known models."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hsplid_core.config import ModelConfig
from hsplid_core.config.analyses import PixelConfig
from hsplid_core.data.batch import Batch
from hsplid_core.data.planted_pixel import PlantedPixels
from hsplid_core.errors import ConfigError
from hsplid_core.models import build_model
from hsplid_core.saliency.single_pixel import (
    INCORRECT,
    METHODS,
    OVERALL,
    PixelRow,
    Variant,
    analyse_pixels,
)

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
SIZE, N, STEPS = 16, 12, 5


class Made:
    """Random images of three classes, changed on the way out."""

    def __init__(self, change: PlantedPixels | None, *, masks: bool = True) -> None:
        self.image = torch.rand(N, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
        self.change, self.masks = change, masks

    def __len__(self) -> int:
        return N

    def batch(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        batch = Batch(image=self.image[indices], target=indices % 3, mask=None, index=indices)
        return batch if self.change is None else self.change(batch)


def pixels(**fields: Any) -> PlantedPixels:
    return PlantedPixels(
        config=PixelConfig(**fields), num_classes=3, image_shape=(3, SIZE, SIZE), n_rows=N
    )


def analyse(model: Any, change: PlantedPixels, batch_size: int = 256) -> dict[Variant, PixelRow]:
    rows = analyse_pixels(
        model, Made(change), Made(None), mean=MEAN, std=STD, steps=STEPS, batch_size=batch_size
    )
    return {row.variant: row for row in rows}


def gradient_of(model: Any, x: Tensor, label: int, use_softmax: bool) -> Tensor:
    """The gradient in the normalised space of one image."""
    x = x.clone().requires_grad_()
    pixels = x * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    output = model(pixels[None])[0]
    output = output.softmax(0) if use_softmax else output
    (gradient,) = torch.autograd.grad(output[label], x)
    return gradient


def slowly(model: Any, change: PlantedPixels, variant: Variant) -> dict[str, float]:
    """One image after the other, as the columns are described."""
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    every = torch.arange(N)
    batch, plain = Made(change).batch(every), Made(None).batch(every)
    assert batch.mask is not None
    counts = dict.fromkeys((*OVERALL, *INCORRECT), 0)
    n_incorrect = 0

    def answer(image: Tensor) -> int:
        with torch.no_grad():
            return int(model(image[None]).argmax())

    for image, nopix, target, mask in zip(
        batch.image, plain.image, batch.target.tolist(), batch.mask, strict=True
    ):
        x = (image - mean) / std
        predicted = answer(image)
        label = target if variant.use_y_true else predicted
        gradient = gradient_of(model, x, label, variant.use_softmax)
        if variant.method == "absolute_gradient":
            heat = gradient.abs()
        elif variant.method == "gradient_x_input":
            heat = gradient * x
        elif variant.method == "absolute_gradient_x_absolute_input":
            heat = gradient.abs() * x.abs()
        else:
            colour = 0.0 if variant.method.endswith("black") else 1.0
            start = (torch.full_like(image, colour) - mean) / std
            path = [start + (x - start) * i / (STEPS - 1) for i in range(STEPS)]
            slopes = [gradient_of(model, point, label, variant.use_softmax) for point in path]
            heat = (x - start) * torch.stack(slopes).mean(0)
        heat = heat.mean(0)
        spot = (heat == heat.max())[None]
        correct = bool((spot & mask).any())
        found = {
            "overall.withpix_model_accuracy": predicted == target,
            "overall.attribution_correct_accuracy": correct,
            "overall.nopix_model_accuracy": answer(nopix) == target,
            "overall.truebg_withblackpix_model_accuracy": answer(image * ~mask) == target,
        }
        if not correct:
            n_incorrect += 1
            without = answer(image * ~spot), answer(image * ~mask)
            of_incorrect = (
                answer(nopix) == target,
                predicted == target,
                answer(image * mask) == target,
                answer(image * spot) == target,
                without[0] == target,
                without[1] == target,
                without[0] == predicted,
                without[1] == predicted,
            )
            found |= dict(zip(INCORRECT, of_incorrect, strict=True))
        for name, value in found.items():
            counts[name] += value
    shares: dict[str, float] = {}
    for name, count in counts.items():
        shares[name] = count / (N if name in OVERALL else n_incorrect)
    return {**shares, "overall.attribution_incorrect": n_incorrect}


def network() -> nn.Module:
    config = ModelConfig(width=1 / 16, norm="batch", stem="small")
    return build_model(
        config, image_shape=(3, SIZE, SIZE), num_classes=3, mean=MEAN, std=STD, seed=1
    ).eval()


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return network()


@pytest.fixture(scope="module")
def fast(model: nn.Module) -> dict[Variant, PixelRow]:
    return analyse(model, pixels(position_sd=1.0, colour_sd=5.0))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("use_y_true", [False, True])
@pytest.mark.parametrize("use_softmax", [False, True])
def test_every_column_is_that_of_one_image_after_the_other(
    model: nn.Module,
    fast: dict[Variant, PixelRow],
    method: str,
    use_y_true: bool,
    use_softmax: bool,
) -> None:
    variant = Variant(method, use_y_true, use_softmax)
    expected = slowly(model, pixels(position_sd=1.0, colour_sd=5.0), variant)
    assert fast[variant].columns == pytest.approx(expected)


def test_there_is_a_row_for_every_variant_and_a_column_for_every_name(
    fast: dict[Variant, PixelRow],
) -> None:
    assert len(fast) == len(METHODS) * 2 * 2
    for row in fast.values():
        assert list(row.columns) == [*OVERALL, *INCORRECT, "overall.attribution_incorrect"]


def test_batches_do_not_change_the_result(model: nn.Module, fast: dict[Variant, PixelRow]) -> None:
    assert analyse(model, pixels(position_sd=1.0, colour_sd=5.0), batch_size=5) == fast


def test_a_linear_reader_is_attributed_to_its_pixel() -> None:
    change = pixels(seed=2)
    places = change.base_places

    def linear(image: Tensor) -> Tensor:
        return image[:, :, places[:, 0], places[:, 1]].sum(1)

    bright = dataclasses.replace(change)
    bright.__dict__["_bases"] = (places, torch.full((3, 3), 255))
    rows = analyse(linear, bright)
    for variant, row in rows.items():
        columns = row.columns
        assert columns["overall.withpix_model_accuracy"] == 1
        if variant.method == "absolute_gradient" and not variant.use_softmax:
            # The gradient is 1 at the label's place and 0 elsewhere: always right, so nothing
            # can be said of images where it is wrong.
            assert columns["overall.attribution_correct_accuracy"] == 1
            assert columns["overall.attribution_incorrect"] == 0
            assert all(columns[name] is None for name in INCORRECT)
            assert row.additive_importance is None
    named = rows[Variant("integrated_gradients_black", True, False)]
    assert named.columns["overall.attribution_correct_accuracy"] == 1


def test_what_an_attribution_misses_shows_in_the_importances() -> None:
    change = pixels(seed=2)
    places = change.base_places

    def sees_pixel_but_leans_elsewhere(image: Tensor) -> Tensor:
        """Decides by the pixel; a steep but harmless corner draws the gradient away."""
        corner = 1000 * (image[:, :, -1, -1].sum(1, keepdim=True))
        return image[:, :, places[:, 0], places[:, 1]].sum(1) + corner

    bright = dataclasses.replace(change)
    bright.__dict__["_bases"] = (places, torch.full((3, 3), 255))
    row = analyse(sees_pixel_but_leans_elsewhere, bright)[
        Variant("absolute_gradient", True, False)
    ]
    assert row.columns["overall.attribution_correct_accuracy"] == 0
    assert row.columns["attribution_incorrect.blackbg_withpix_model_accuracy"] == 1
    # Only the corner is left: all logits are equal, and the first class is the answer.
    assert row.columns["attribution_incorrect.blackbg_withattrpix_model_accuracy"] == 1 / 3
    assert row.additive_importance == pytest.approx(2 / 3)
    assert row.columns["attribution_incorrect.truebg_withblackattrpix_model_accuracy"] == 1
    preserved = "attribution_incorrect.truebg_withblackattrpix_preserved_accuracy"
    assert row.columns[preserved] == 1
    assert row.subtractive_importance is not None
    assert row.subtractive_importance > 0.4


def test_a_constant_model_names_no_pixel() -> None:
    def constant(image: Tensor) -> Tensor:
        return 0 * image.mean((2, 3))  # three channels, three classes

    for row in analyse(constant, pixels()).values():
        assert row.columns["overall.attribution_correct_accuracy"] == 0
        assert row.columns["overall.withpix_model_accuracy"] == pytest.approx(1 / 3)
        assert (row.additive_importance, row.subtractive_importance) == (0, 0)


def test_images_without_a_pixel_are_refused(model: nn.Module) -> None:
    with pytest.raises(ConfigError, match=r"set data\.pixel"):
        analyse_pixels(model, Made(None), Made(None), mean=MEAN, std=STD)
