"""Asking a model about images: its logits, its loss, and the gradient of the loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hsplid_core.attacks.losses import Loss, cross_entropy, lost_lead
from hsplid_core.errors import DataError, TrainingDivergedError

Model = Callable[[Tensor], Tensor]
"""Pixel images [B, C, H, W] in [0, 1] to logits [B, K]; normalisation is inside."""


class ModelQueries:
    """Evaluates a model and remembers whether all its logits were numbers.

    The memory is a tensor on the model's device, read once in `verify`: reading it at every step
    would make the host wait for the device each time.

    In a targeted attack the classes given as `target` are those to reach, not the true ones: an
    image fools when it is taken for its class, and every loss changes its sign.

    Attributes:
        model: Images to logits.
        targeted: Whether `target` is what to reach.
    """

    def __init__(self, model: Model, *, targeted: bool = False) -> None:
        self.model = model
        self.targeted = targeted
        self._total: Tensor | None = None
        self._repeats_itself = False

    def logits(self, image: Tensor) -> Tensor:
        """Classify images [B, C, H, W].

        Returns:
            Logits, float32 or float64, [B, K]; half precision is widened, for a loss taken in
            it would round to ties.

        Raises:
            DataError: The model's output is not [B, K].
        """
        logits = self.model(image)
        if logits.ndim != 2 or logits.shape[0] != image.shape[0]:
            raise DataError(
                f"a model gave {list(logits.shape)} for {image.shape[0]} images: "
                "it must return logits of shape [B, K]"
            )
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        total = logits.detach().sum()
        self._total = total if self._total is None else self._total + total
        return logits

    def fooled(self, logits: Tensor, target: Tensor) -> Tensor:
        """Say of logits [B, K] whether an attack has its way with them, bool, [B]."""
        reached = logits.detach().argmax(1) == target
        return reached if self.targeted else ~reached

    def judge(self, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Score images without a graph.

        Returns:
            Whether each fools, bool, [B], and its cross-entropy as an attack climbs it, [B].
        """
        return self.score(image, target, target, cross_entropy)

    def margins(self, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Score images without a graph by the lead that an attack still has to take.

        Returns:
            Whether each fools, bool, [B], and its margin, at most 0 where it does, [B].
        """
        fooled, lost = self.score(image, target, target, lost_lead)
        return fooled, -lost

    def score(
        self, image: Tensor, target: Tensor, goal: Tensor, loss: Loss
    ) -> tuple[Tensor, Tensor]:
        """Score images by any loss, without a graph; see `differentiate`.

        Returns:
            Whether each fools, bool, [B], and its loss, [B].
        """
        with torch.no_grad():
            logits = self.logits(image)
            return self.fooled(logits, target), self._signed(loss(logits, target, goal))

    def judge_with_gradient(self, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score images and differentiate their cross-entropy.

        Args:
            image: Pixels, [B, C, H, W].
            target: Class indices, int64, [B].

        Returns:
            What `judge` returns, and the gradient of each image's own loss, [B, C, H, W].

        Raises:
            DataError: The model's output is not [B, K], or no gradient leads through it.
        """
        return self.differentiate(image, target, target, cross_entropy)

    def differentiate(
        self, image: Tensor, target: Tensor, goal: Tensor, loss: Loss, *, samples: int = 1
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Score images by any loss and differentiate it, on average over some passes.

        A model that gives the same logits twice is not random: one pass then stands for all.

        Args:
            image: Pixels, [B, C, H, W].
            target: True classes, or those to reach, int64, [B].
            goal: Classes that a targeted loss aims at, int64, [B].
            loss: What to differentiate.
            samples: Passes to average over, for models with random outputs.

        Returns:
            Whether each fools by the mean logits, bool, [B], its mean loss, [B], and
            the gradient of that, [B, C, H, W].

        Raises:
            DataError: The model's output is not [B, K], or no gradient leads through it.
        """
        first, value, gradient = self._differentiate(image, target, goal, loss)
        if samples == 1 or self._repeats_itself:
            return self.fooled(first, target), value, gradient
        logits, value, gradient = first.clone(), value.clone(), gradient.clone()
        for number in range(1, samples):
            again, new_value, new_gradient = self._differentiate(image, target, goal, loss)
            if number == 1 and torch.equal(again, first):
                self._repeats_itself = True
                return self.fooled(first, target), value, gradient
            logits += again
            value += new_value
            gradient += new_gradient
        return self.fooled(logits, target), value / samples, gradient / samples

    def _differentiate(
        self, image: Tensor, target: Tensor, goal: Tensor, loss: Loss
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits [B, K], losses [B] and their gradients [B, C, H, W] of one pass."""
        with torch.enable_grad():
            leaf = image.detach().requires_grad_()  # no copy
            logits = self.logits(leaf)
            value = self._signed(loss(logits, target, goal))
            if not value.requires_grad:
                raise DataError(
                    "no gradient leads from the model's logits to its images: "
                    "the model must be torch operations, with no detach or no_grad around them"
                )
            # The sum, not the mean: an image's gradient must not shrink with the batch around it.
            (gradient,) = torch.autograd.grad(value.sum(), leaf)
        return logits.detach(), value.detach(), gradient

    def _signed(self, value: Tensor) -> Tensor:
        return -value if self.targeted else value

    def verify(self) -> None:
        """Check the logits of all calls so far.

        Raises:
            TrainingDivergedError: One of them was NaN or infinite.
        """
        if self._total is not None and not torch.isfinite(self._total):
            raise TrainingDivergedError(
                "the model's logits are NaN or infinite: its robustness cannot be measured; "
                "lower the learning rate or the weights of the loss"
            )
