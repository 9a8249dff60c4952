"""DeepFool within subspaces: how far an image is from the decision boundary in given directions.

Source: Ortiz-Jimenez et al., Hold me tight!, NeurIPS 2020 (arXiv 2002.06349), section 3, and its
released code; DeepFool itself is Moosavi-Dezfooli et al. 2016 (arXiv 1511.04599). Symbols: x an
image, P_s w the projection of w onto subspace s; class 0 the top class of x, k = 1 .. K - 1 its
rivals by falling logit of x; f_k and w_k the gap to rival k at the current point and its gradient.

    k* = argmin_k |f_k| / |P_s w_k|
    r <- r + max(|f_k*| / |P_s w_k*|, 1e-4) P_s w_k* / |P_s w_k*|,    the next point is x + r
    stop when the label of x + 1.02 r is another one; the margin is |1.02 r|

As released: rivals are ranked once, at the clean image; the overshoot of 0.02 counts in the test
and in the result, not in the walk; the margin is that of the predicted label, right or wrong; no
pixel is clipped. Deviations: a search that ends without another label is marked as such, where the
released code lets its length pass for a margin; and where the gradient has nothing in a subspace
but rounding errors, an image stays where it is instead of following them very far.

All images walk in all subspaces at once, and leave the batch when they arrive. The first step of
an image starts at the same point in every subspace and shares its gradients between them. A walk
never leaves its subspace, so only its coordinates are kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hsplid_core.attacks import frozen
from hsplid_core.config import check
from hsplid_core.errors import ConfigError, DataError, TrainingDivergedError
from hsplid_core.margins.subspaces import Subspaces

# Of a gradient, as a multiple of its type's precision: what a projection may be by rounding alone.
_ROUNDING = 16

Classifier = Callable[[Tensor], Tensor]
"""Images [B, C, H, W] to logits [B, K], each image for itself."""


@dataclass(frozen=True, kw_only=True)
class DeepFool:
    """Settings of a search; the defaults are the paper's.

    Attributes:
        num_classes: Classes K that are looked at, the top one included; at least 2.
        overshoot: Share by which a result goes beyond the linearised boundary.
        max_iterations: Steps after which a search gives up.
        min_step: Smallest length of a step.
        batch_size: Images in one pass through the model; a class's gradient counts as one.

    Raises:
        ConfigError: A value is out of range.
    """

    num_classes: int = 10
    overshoot: float = 0.02
    max_iterations: int = 100
    min_step: float = 1e-4
    batch_size: int = 1024

    def __post_init__(self) -> None:
        check(
            [
                (self.num_classes >= 2, f"num_classes is {self.num_classes}: use at least 2"),
                (
                    0 <= self.overshoot < math.inf,
                    f"overshoot is {self.overshoot}: use a share of 0 or more",
                ),
                (
                    self.max_iterations >= 1,
                    f"max_iterations is {self.max_iterations}: use at least 1",
                ),
                (
                    0 < self.min_step < math.inf,
                    f"min_step is {self.min_step}: use a length above 0",
                ),
                (self.batch_size >= 1, f"batch_size is {self.batch_size}: use at least 1"),
            ]
        )

    def __call__(self, model: Classifier, image: Tensor, subspaces: Subspaces) -> Margins:
        """Measure the margins of images; see :func:`subspace_deepfool`."""
        return subspace_deepfool(model, image, subspaces, self)


@dataclass(frozen=True, kw_only=True)
class Margins:
    """The margins of B images in S subspaces.

    Attributes:
        size: Length of the perturbation 1.02 r, [B, S]. Only a margin where ``fooled``; else how
            far the search went.
        fooled: Whether the perturbation changes the label, bool, [B, S].
        label: Predicted class of the clean image, int64, [B].
        new_label: Class after the perturbation, int64, [B, S].
        iterations: Steps taken, int64, [B, S].
        coordinates: The perturbations in their subspaces, [B, S, C, k_1, k_2].
        subspaces: The subspaces.
    """

    size: Tensor
    fooled: Tensor
    label: Tensor
    new_label: Tensor
    iterations: Tensor
    coordinates: Tensor
    subspaces: Subspaces

    def perturbation(self, subspace: int) -> Tensor:
        """Return the perturbations in one subspace as images, [B, C, H, W]."""
        coordinates = self.coordinates[:, subspace]
        which = torch.full((len(coordinates),), subspace, device=coordinates.device)
        return self.subspaces.image_of(coordinates, which)


def subspace_deepfool(
    model: Classifier, image: Tensor, subspaces: Subspaces, settings: DeepFool | None = None
) -> Margins:
    """Search the nearest change of label of every image in every subspace.

    A module is put into eval mode and its parameters need no gradient meanwhile; both are
    restored.

    Args:
        model: Images to logits; the gradient is taken in the images as they are given here, so
            normalisation belongs inside.
        image: B images, float, [B, C, H, W].
        subspaces: S subspaces of such images.
        settings: Settings of the search; None takes the paper's.

    Returns:
        The margins.

    Raises:
        ConfigError: The subspaces are of images of another size.
        DataError: The images are no float tensor [B, C, H, W].
        TrainingDivergedError: The model's logits are NaN or infinite.
    """
    if image.ndim != 4 or not image.is_floating_point():
        raise DataError(
            f"image is {image.dtype} {list(image.shape)}: margins are measured of float images "
            "[B, C, H, W]"
        )
    with frozen(model), torch.inference_mode(False), torch.no_grad():
        search = _Search(model, image.clone(), subspaces.like(image), settings or DeepFool())
        return search.run()


class _Search:
    """One run; a pair is an image in a subspace, numbered image * S + subspace."""

    def __init__(
        self, model: Classifier, image: Tensor, subspaces: Subspaces, settings: DeepFool
    ) -> None:
        self.model = model
        self.image = image
        self.subspaces = subspaces
        self.settings = settings
        pairs = len(image) * len(subspaces)
        window = subspaces.kept.shape[1:]
        self.walked = image.new_zeros(pairs, image.shape[1], *window)
        self.classes = self._ranked_classes()
        self.label = self.classes[:, 0].repeat_interleave(len(subspaces))
        self.new_label = self.label.clone()
        self.iterations = torch.zeros_like(self.label)

    def run(self) -> Margins:
        """Walk until every pair has arrived, cannot move, or has used up its steps."""
        standing = torch.arange(len(self.label), device=self.label.device)
        step = self._first_step
        for _ in range(self.settings.max_iterations):
            standing = step(standing)
            if not len(standing):
                break
            self.iterations[standing] += 1
            self.new_label[standing] = self._labels_at(standing)
            standing = standing[self.new_label[standing] == self.label[standing]]
            step = self._step
        shape = (len(self.image), len(self.subspaces))
        coordinates = (1 + self.settings.overshoot) * self.walked
        size: Tensor = torch.linalg.vector_norm(coordinates.flatten(1), dim=1)
        return Margins(
            size=size.view(shape),
            fooled=(self.new_label != self.label).view(shape),
            label=self.classes[:, 0],
            new_label=self.new_label.view(shape),
            iterations=self.iterations.view(shape),
            coordinates=coordinates.view(*shape, *coordinates.shape[1:]),
            subspaces=self.subspaces,
        )

    def _ranked_classes(self) -> Tensor:
        logits = torch.cat(
            [self.model(x) for x in torch.split(self.image, self.settings.batch_size)]
        )
        if not bool(logits.isfinite().all()):
            raise TrainingDivergedError(
                "the model's logits are NaN or infinite: its margins mean nothing"
            )
        if logits.shape[1] < 2:
            raise ConfigError("the model has one class: there is no boundary to measure")
        return logits.topk(min(self.settings.num_classes, logits.shape[1])).indices

    def _first_step(self, pairs: Tensor) -> Tensor:
        """Step from the clean images, whose gradients serve all subspaces."""
        moving, count = [], len(self.subspaces)
        for images in torch.split(
            torch.arange(len(self.image), device=pairs.device), self._points
        ):
            gaps, gradients = class_differences(
                self.model, self.image[images], self.classes[images]
            )
            coordinates = self.subspaces.all_coordinates(gradients)  # [K - 1, b, C, S, k, k]
            of_pairs = coordinates.permute(1, 3, 0, 2, 4, 5).flatten(0, 1)
            rows = pairs.view(-1, count)[images].flatten()
            shared = (gaps, _lengths(gradients.transpose(0, 1)))
            gaps, lengths = (x.repeat_interleave(count, dim=0) for x in shared)
            moving.append(self._advance(rows, gaps, of_pairs, lengths))
        return torch.cat(moving) if moving else pairs

    def _step(self, pairs: Tensor) -> Tensor:
        """Step from where pairs have walked to; returns those that could move."""
        moving = []
        for rows in torch.split(pairs, self._points):
            images, which = self._parts(rows)
            gaps, gradients = class_differences(
                self.model, self._points_at(rows, 1.0), self.classes[images]
            )
            of_pairs = gradients.transpose(0, 1)
            coordinates = self.subspaces.coordinates(of_pairs, which)
            moving.append(self._advance(rows, gaps, coordinates, _lengths(of_pairs)))
        return torch.cat(moving) if moving else pairs

    def _advance(self, pairs: Tensor, gaps: Tensor, gradients: Tensor, lengths: Tensor) -> Tensor:
        """Walk to the nearest linearised boundary.

        Args:
            pairs: Which ones, [P].
            gaps: f_k, [P, K - 1].
            gradients: Coordinates of w_k, [P, K - 1, C, k, k].
            lengths: Euclidean norms of w_k in all directions, [P, K - 1].

        Returns:
            The pairs that moved; one whose gaps do not change in its subspace cannot.
        """
        slopes = _lengths(gradients)
        noise = _ROUNDING * torch.finfo(slopes.dtype).eps * lengths
        distances = (gaps.abs() / slopes).where(slopes > noise, torch.inf)
        distance, nearest = distances.min(dim=1)
        chosen = torch.arange(len(pairs), device=pairs.device), nearest
        length = distance.clamp(min=self.settings.min_step) / slopes[chosen]
        moves = distance.isfinite()
        pairs = pairs[moves]
        self.walked[pairs] += (length.view(-1, 1, 1, 1) * gradients[chosen])[moves]
        return pairs

    def _labels_at(self, pairs: Tensor) -> Tensor:
        """Classify the pairs' images beyond the point that they have walked to."""
        beyond = 1 + self.settings.overshoot
        return torch.cat(
            [
                self.model(self._points_at(rows, beyond)).argmax(dim=1)
                for rows in torch.split(pairs, self.settings.batch_size)
            ]
        )

    def _points_at(self, pairs: Tensor, share: float) -> Tensor:
        images, which = self._parts(pairs)
        moved = self.subspaces.image_of(self.walked[pairs], which)
        return self.image[images].add_(moved, alpha=share)

    def _parts(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        count = len(self.subspaces)
        return pairs // count, pairs % count

    @property
    def _points(self) -> int:
        """Points whose gradients are taken at once."""
        return max(1, self.settings.batch_size // max(1, self.classes.shape[1] - 1))


def _lengths(gradients: Tensor) -> Tensor:
    """Measure gradients [P, K - 1, C, ..., ...], or their coordinates: norms, [P, K - 1]."""
    lengths: Tensor = torch.linalg.vector_norm(gradients.flatten(2), dim=2)
    return lengths


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
