"""The single-pixel analysis: is the pixel that an attribution names the one that decides?

Source: Yasin, Hare and Marcu, "Is Saliency Really Captured by Sensitivity?", and their released
analysis (github.com/ecs-vlc/is-saliency-capturing-gradient), whose columns and definitions these
are. Images carry a planted pixel that gives the class away; an attribution's pixel is where its
map is largest (all of them, where several tie). Then pixels are made black, or all others are, and
the model is asked again.

Symbols: x the image in the model's normalised space; g the gradient of the class's logit or
probability in x; all maps are means over the channels.

==================================  ===========================================
absolute_gradient                   |g|
gradient_x_input                    g x
absolute_gradient_x_absolute_input  |g| |x|
integrated_gradients_black          (x - black) mean of g from black to x
integrated_gradients_white          (x - white) mean of g from white to x
==================================  ===========================================

Each is computed for the true and for the predicted label, and for softmax and logits. One forward
pass serves logit and probability; the predicted label is computed anew only where it is wrong.

Three things differ from the release on purpose. Its README describes
``overall.truebg_withblackpix_model_accuracy`` as the accuracy with the *attributed* pixel black;
its code, and the column's name, blacken the *discriminative* one, and so do we. A share of no
image at all is None here, where the release has 0. And a map that is the same everywhere, as that
of a model with one answer for all images, names no pixel here, where the release lets it name all
and so counts it as correct.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hsplid_core.attacks import Model, frozen
from hsplid_core.data.evaluation_batches import Images, choose_positions, read_batches
from hsplid_core.errors import ConfigError

METHODS = (
    "absolute_gradient",
    "gradient_x_input",
    "absolute_gradient_x_absolute_input",
    "integrated_gradients_black",
    "integrated_gradients_white",
)

# The columns of the release, in its README's order.
OVERALL = (
    "overall.withpix_model_accuracy",
    "overall.attribution_correct_accuracy",
    "overall.nopix_model_accuracy",
    "overall.truebg_withblackpix_model_accuracy",
)
INCORRECT = (
    "attribution_incorrect.nopix_model_accuracy",
    "attribution_incorrect.withpix_model_accuracy",
    "attribution_incorrect.blackbg_withpix_model_accuracy",
    "attribution_incorrect.blackbg_withattrpix_model_accuracy",
    "attribution_incorrect.truebg_withblackattrpix_model_accuracy",
    "attribution_incorrect.truebg_withblackpix_model_accuracy",
    "attribution_incorrect.truebg_withblackattrpix_preserved_accuracy",
    "attribution_incorrect.truebg_withblackpix_preserved_accuracy",
)


class Variant(NamedTuple):
    """One way to attribute.

    Attributes:
        method: One of :data:`METHODS`.
        use_y_true: Attribute the true label's score, else the predicted label's.
        use_softmax: Attribute the probability, else the logit.
    """

    method: str
    use_y_true: bool
    use_softmax: bool


@dataclass(frozen=True, kw_only=True)
class PixelRow:
    """What one variant found on a set of images.

    Attributes:
        variant: How it attributed.
        columns: The release's columns by their names: shares in [0, 1], None where no image
            counts; and ``overall.attribution_incorrect``, the number of images whose
            discriminative pixel the attribution did not name.
        additive_importance: Of those images, the accuracy on black with the discriminative pixel
            less that with the attributed one: above 0, the attribution missed what decides.
        subtractive_importance: The accuracy with the attributed pixel black less that with the
            discriminative one black: the same, on the image itself.
    """

    variant: Variant
    columns: dict[str, float | None]
    additive_importance: float | None
    subtractive_importance: float | None


def analyse_pixels(
    model: Model,
    with_pixel: Images,
    without_pixel: Images,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    steps: int = 100,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    max_images: int | None = None,
) -> list[PixelRow]:
    """Compute every column for every variant.

    Args:
        model: Pixels [B, C, H, W] in [0, 1] to logits [B, K], on `device`.
        with_pixel: The images with the pixel, whose masks mark it (or the cluster).
        without_pixel: The same images without it, in the same order.
        mean: Channel means of the model's normalisation.
        std: Channel standard deviations of it.
        steps: Points on the path of integrated gradients, both ends included.
        batch_size: Images per forward pass; does not change the result.
        device: Where the batches are put.
        max_images: Most images, a fixed subset; None takes all.

    Returns:
        Twenty rows: methods x (predicted, true label) x (logits, softmax).

    Raises:
        ConfigError: The images have no masks, or a number is out of range.
        DataError: There is no image.
    """
    positions = choose_positions(with_pixel, max_images)
    pairs = zip(
        read_batches(with_pixel, positions, batch_size, device),
        read_batches(without_pixel, positions, batch_size, device),
        strict=True,
    )
    space = _Space.of(mean, std, device)
    counts: dict[Variant, Tensor] = {}
    with frozen(model):
        for batch, plain in pairs:
            if batch.mask is None:
                raise ConfigError(
                    "the single-pixel analysis needs masks that mark the pixel: set data.pixel"
                )
            planted = _Planted.look(model, batch.image, plain.image, batch.target, batch.mask)
            for variant, attribution in _maps(model, planted, space, steps):
                found = _count(model, planted, attribution)
                counts[variant] = counts.get(variant, 0) + found
    return [_row(variant, values.tolist(), len(positions)) for variant, values in counts.items()]


class _Space(NamedTuple):
    """The model's normalised space: x = (pixels - mean) / std, both [1, C, 1, 1]."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, mean: Sequence[float], std: Sequence[float], device: torch.device | str) -> _Space:
        values = torch.tensor([list(mean), list(std)], device=device)
        return cls(*values[:, None, :, None, None])


@dataclass(frozen=True, kw_only=True)
class _Planted:
    """A batch, with the model's answers that do not depend on an attribution.

    Attributes:
        image: With the pixel, [B, C, H, W].
        target: True labels, [B].
        mask: True on the discriminative pixel, [B, 1, H, W].
        answer: Predicted labels, [B].
        nopix: Predicted labels without the pixel, [B].
        alone: Predicted labels of the pixel on black, [B].
        blackened: Predicted labels with the pixel black, [B].
    """

    image: Tensor
    target: Tensor
    mask: Tensor
    answer: Tensor
    nopix: Tensor
    alone: Tensor
    blackened: Tensor

    @classmethod
    def look(
        cls, model: Model, image: Tensor, plain: Tensor, target: Tensor, mask: Tensor
    ) -> _Planted:
        return cls(
            image=image,
            target=target,
            mask=mask,
            answer=_answers(model, image),
            nopix=_answers(model, plain),
            alone=_answers(model, image * mask),
            blackened=_answers(model, image * ~mask),
        )


def _answers(model: Model, image: Tensor) -> Tensor:
    with torch.no_grad():
        return model(image).argmax(1)


def _maps(
    model: Model, planted: _Planted, space: _Space, steps: int
) -> Iterator[tuple[Variant, Tensor]]:
    """Yield the map [B, H, W] of every variant."""
    true = _methods(model, planted.image, planted.target, space, steps)
    wrong = (planted.answer != planted.target).nonzero().squeeze(1)
    other = (
        _methods(model, planted.image[wrong], planted.answer[wrong], space, steps)
        if len(wrong)
        else {}
    )
    for (method, use_softmax), of_true in true.items():
        predicted = of_true
        if other:
            predicted = of_true.index_copy(0, wrong, other[method, use_softmax])
        yield Variant(method, use_y_true=False, use_softmax=use_softmax), predicted
        yield Variant(method, use_y_true=True, use_softmax=use_softmax), of_true


def _methods(
    model: Model, image: Tensor, label: Tensor, space: _Space, steps: int
) -> dict[tuple[str, bool], Tensor]:
    """Compute the maps of one label for each image: by (method, softmax), [B, H, W]."""
    gradients = _gradients(model, image, label)
    from_black = _path(model, image, torch.zeros_like(image), label, steps)
    from_white = _path(model, image, torch.ones_like(image), label, steps)
    found: dict[tuple[str, bool], Tensor] = {}
    for use_softmax in (True, False):
        # A gradient in x is std times the gradient in pixels, and x is (pixels - mean) / std.
        slope = gradients[use_softmax] * space.std
        x = (image - space.mean) / space.std
        maps = (
            slope.abs(),
            slope * x,
            slope.abs() * x.abs(),
            image * from_black[use_softmax],
            (image - 1) * from_white[use_softmax],
        )
        for method, values in zip(METHODS, maps, strict=True):
            found[method, use_softmax] = values.mean(1)
    return found


class _Gradients(NamedTuple):
    """Gradients in pixels, [B, C, H, W]; indexed by whether softmax is used."""

    logit: Tensor
    softmax: Tensor


def _gradients(model: Model, image: Tensor, label: Tensor) -> _Gradients:
    """Differentiate the logit and the probability of a label, with one forward pass."""
    pixels = image.detach().requires_grad_()
    with torch.enable_grad():
        logits = model(pixels)
    one_hot = torch.nn.functional.one_hot(label, logits.shape[1]).to(logits.dtype)
    probability = logits.detach().softmax(1)
    # d p_k = p_k (d z_k - sum over j of p_j d z_j)
    of_label = probability.gather(1, label[:, None])
    (logit,) = torch.autograd.grad(logits, pixels, one_hot, retain_graph=True)
    (softmax,) = torch.autograd.grad(logits, pixels, of_label * (one_hot - probability))
    return _Gradients(logit, softmax)


def _path(model: Model, image: Tensor, start: Tensor, label: Tensor, steps: int) -> _Gradients:
    """Average the gradients over equally spaced points of the path, both ends included."""
    logit, softmax = torch.zeros_like(image), torch.zeros_like(image)
    for step in range(steps):
        here = _gradients(model, torch.lerp(start, image, step / (steps - 1)), label)
        logit += here.logit / steps
        softmax += here.softmax / steps
    return _Gradients(logit, softmax)


def _count(model: Model, planted: _Planted, attribution: Tensor) -> Tensor:
    """Count images for every column: int64, [number of columns + 1]; the last are incorrect."""
    largest = attribution.amax((1, 2), keepdim=True)
    uneven = largest > attribution.amin((1, 2), keepdim=True)
    named = ((attribution == largest) & uneven)[:, None]  # [B, 1, H, W]
    correct = (named & planted.mask).flatten(1).any(1)
    rows = (~correct).nonzero().squeeze(1)
    target, answer = planted.target, planted.answer
    right = answer == target
    overall = [right, correct, planted.nopix == target, planted.blackened == target]
    incorrect: list[Tensor] = [rows.new_zeros(0)] * len(INCORRECT)
    if len(rows):
        image, spot, true = planted.image[rows], named[rows], target[rows]
        alone, blackened = _answers(model, image * spot), _answers(model, image * ~spot)
        incorrect = [
            planted.nopix[rows] == true,
            right[rows],
            planted.alone[rows] == true,
            alone == true,
            blackened == true,
            planted.blackened[rows] == true,
            blackened == answer[rows],
            planted.blackened[rows] == answer[rows],
        ]
    counts = [values.sum() for values in (*overall, *incorrect)]
    return torch.stack([*counts, (~correct).sum()])


def _row(variant: Variant, counts: list[int], n_images: int) -> PixelRow:
    n_incorrect = counts[-1]
    columns: dict[str, float | None] = {
        name: count / n_images for name, count in zip(OVERALL, counts, strict=False)
    }
    for name, count in zip(INCORRECT, counts[len(OVERALL) : -1], strict=True):
        columns[name] = count / n_incorrect if n_incorrect else None

    def difference(first: str, second: str) -> float | None:
        if not n_incorrect:
            return None
        at = [*OVERALL, *INCORRECT].index
        prefix = "attribution_incorrect."
        return (counts[at(prefix + first)] - counts[at(prefix + second)]) / n_incorrect

    return PixelRow(
        variant=variant,
        columns={**columns, "overall.attribution_incorrect": float(n_incorrect)},
        additive_importance=difference(
            "blackbg_withpix_model_accuracy", "blackbg_withattrpix_model_accuracy"
        ),
        subtractive_importance=difference(
            "truebg_withblackattrpix_model_accuracy", "truebg_withblackpix_model_accuracy"
        ),
    )
